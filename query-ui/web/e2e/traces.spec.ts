import { expect, openCheckout, test, visit } from './weir';

const SHOP = ['storefront', 'order', 'product', 'inventory', 'payment'];

test('a search finds the traces of one operation', async ({ page }) => {
  await visit(page, '/');
  await expect(page).toHaveURL(/\/traces$/);
  await expect(page.getByRole('row', { name: /POST \/checkout/ }).first()).toBeVisible();
  await page.keyboard.press('/');
  await page.keyboard.type('entry = "GET /"');
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/q=entry/);
  const operations = page.locator('.tt tbody .rt .mono');
  await expect(operations.first()).toHaveText('GET /');
  await expect(operations.filter({ hasNotText: /^GET \/$/ })).toHaveCount(0);
  // The field still has the focus: the key that asks for it is no text of the filter.
  await page.keyboard.press('/');
  await page.keyboard.type('service = product');
  await page.keyboard.press('Enter');
  await expect(page.locator('.chip').last()).toHaveText('service = product');
});

test('a key that nothing has is named, with the one that was meant', async ({ page }) => {
  await visit(page, '/traces?q=servcie+%3D+payment');
  await expect(page.locator('.empty')).toContainText('Nothing that is stored has a field servcie.');
  await page.getByRole('button', { name: 'Use service = payment' }).click();
  await expect(page.locator('.chip')).toHaveText('service = payment');
  await expect(page.locator('.tt tbody tr a').first()).toBeVisible();
});

test.describe('with a filter that is wrong', () => {
  test.use({ tolerated: /400/ });

  test('what is wrong with a filter is said in the language of the page, and mended', async ({ page }) => {
    await visit(page, '/traces');
    await page.getByRole('button', { name: '切换到中文' }).click();
    await page.keyboard.press('/');
    await page.keyboard.type('service == payment');
    await page.keyboard.press('Enter');
    await expect(page.getByRole('alert')).toContainText('“==” 不是运算符');
    await page.getByRole('button', { name: '改用 =' }).click();
    await expect(page.locator('.chip')).toHaveText('service = payment');
    await expect(page.locator('.tt tbody tr a').first()).toBeVisible();
  });
});

test('a trace shows the spans of all services and their logs', async ({ page }) => {
  await openCheckout(page);
  const tree = page.getByRole('treegrid');
  await page.keyboard.press(']');
  for (const service of SHOP) await expect(tree.locator('.sv', { hasText: service }).first()).toBeVisible();
  const legend = page.locator('.went-l .leg');
  await expect(legend).toHaveCount(SHOP.length);

  await page.keyboard.press('l');
  await expect(tree.locator('.wr.log').nth(3)).toBeVisible();
  await page.keyboard.press('l');
  await expect(tree.locator('.wr.log')).toHaveCount(0);

  const payment = tree.getByRole('row', { name: /^payment / }).first();
  await payment.click();
  const panel = page.getByRole('complementary');
  await expect(panel.getByText('payment', { exact: true }).first()).toBeVisible();
  await expect(panel.locator('.plogs .msg').first()).toHaveText(/./);
  await expect(panel.locator('.kv dt', { hasText: 'service.name' })).toBeVisible();
});

test('a deep link shows the same in a fresh browser', async ({ page, browser, baseURL }) => {
  await openCheckout(page);
  await page
    .getByRole('treegrid')
    .getByRole('row', { name: /^inventory / })
    .first()
    .click();
  await page.keyboard.press('c');
  await page.getByRole('button', { name: 'Copy link' }).click();
  const link = await page.evaluate(() => navigator.clipboard.readText());
  expect(link).toContain(`${baseURL}/traces/`);
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, timezoneId: 'UTC' }),
    fresh = await context.newPage();
  await fresh.goto(link);
  await expect(fresh.getByRole('row', { selected: true })).toHaveAccessibleName(/^inventory /);
  await expect(fresh.getByRole('complementary')).toContainText('inventory');
  await expect(fresh.getByRole('button', { name: 'Critical path' })).toHaveAttribute('aria-pressed', 'false');
  expect(await fresh.locator('.tp-f .big').textContent()).toBe(
    await page.locator('.tp-f .big').textContent(),
  );
  await context.close();
});

test('a find in a trace counts and reaches its hits', async ({ page }) => {
  await openCheckout(page);
  await page.keyboard.press('/');
  await page.keyboard.type('INSERT INTO payments');
  await expect(page.locator('.find [role=status]')).toHaveText(/^1 of \d+$/);
  await page.keyboard.press('Enter');
  await expect(page.getByRole('row', { selected: true })).toHaveAccessibleName(/payment/);
});

test('the scatter filters by a brush', async ({ page }) => {
  await visit(page, '/traces?from=-5m');
  await expect(page.locator('.tt tbody tr a').nth(5)).toBeVisible();
  const box = (await page.locator('.scat canvas').boundingBox())!;
  await page.mouse.move(box.x + box.width * 0.5, box.y + 20);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width - 8, box.y + box.height - 24, { steps: 4 });
  await page.mouse.up();
  await expect(page).toHaveURL(/brush=/);
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/trace\.duration/);
  await expect(page.locator('.chip')).toHaveCount(2);
  await expect(page.locator('.tt tbody tr a').first()).toBeVisible();
});
