import { expect, fail, openCheckout, test, visit } from './weir';

test('theme and language are chosen once and stay', async ({ page }) => {
  await visit(page, '/traces');
  const html = page.locator('html'),
    background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor),
    light = await background();
  await page.keyboard.press('Shift+T');
  await expect(html).toHaveAttribute('data-theme', 'dark');
  expect(await background()).not.toBe(light);
  await page.getByRole('button', { name: '切换到中文' }).click();
  await expect(html).toHaveAttribute('lang', 'zh-CN');
  await expect(page.getByRole('link', { name: '日志' })).toBeVisible();
  await page.reload();
  await expect(html).toHaveAttribute('data-theme', 'dark');
  await expect(page.getByRole('link', { name: '日志' })).toBeVisible();
  await page.getByRole('button', { name: 'Switch to English' }).click();
  await expect(page.getByRole('link', { name: 'Logs' })).toBeVisible();
});

test('the palette finds a service and goes to its traces', async ({ page }) => {
  await visit(page, '/logs');
  // Nobody waits between the key that asks for it and the first letter.
  await page.keyboard.press('Control+k');
  await page.keyboard.type('payment');
  await expect(page.getByRole('dialog').getByRole('combobox')).toHaveValue('payment');
  await expect(page.getByRole('option', { name: /^payment/ }).first()).toBeVisible();
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/\/traces\?.*q=service/);
  await expect(page.locator('.tt tbody tr a').first()).toBeVisible();
});

test('the keys do what their sheet says', async ({ page }) => {
  await visit(page, '/traces');
  await expect(page.locator('.tt tbody tr a').first()).toBeVisible();
  await page.keyboard.press('?');
  const sheet = page.getByRole('dialog', { name: 'Keys' });
  await expect(sheet).toContainText('Next error');
  await page.keyboard.press('Escape');
  await expect(sheet).toHaveCount(0);

  await page.keyboard.press('g');
  await page.keyboard.press('l');
  await expect(page).toHaveURL(/\/logs/);
  await page.keyboard.press('g');
  await page.keyboard.press('h');
  await expect(page).toHaveURL(/\/hosts/);
  await page.keyboard.press('g');
  await page.keyboard.press('t');
  await expect(page).toHaveURL(/\/traces/);
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/\/traces\/[0-9a-f]{32}/);
  await expect(page.getByRole('treegrid')).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(page).toHaveURL(/\/traces(\?|$)/);
});

test('the keys of a trace move, fold and zoom', async ({ page }) => {
  await openCheckout(page);
  const selected = page.getByRole('row', { selected: true });
  await page.keyboard.press('j');
  await expect(selected).toHaveAttribute('aria-level', '1');
  await expect(selected).toHaveAttribute('aria-expanded', 'true');
  await page.keyboard.press('ArrowLeft');
  await expect(selected).toHaveAttribute('aria-expanded', 'false');
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowRight');
  await expect(selected).toHaveAttribute('aria-level', '2');
  await page.keyboard.press('p');
  await expect(selected).toHaveAttribute('aria-level', '1');
  await page.keyboard.press('w');
  await expect(page).toHaveURL(/zoom=/);
  await page.keyboard.press('0');
  await expect(page).not.toHaveURL(/zoom=/);
  await page.keyboard.press('y');
  await expect(page.locator('.toast')).toHaveText('Link copied');
});

test('the bar tells of a stage in trouble and its cause', async ({ page }) => {
  await visit(page, '/traces');
  const bar = page.locator('#status .fresh'),
    cause = 'files: /srv/x.log: permission denied';
  await expect(bar).not.toContainText('agent');
  await bar.click();
  await expect(page.getByRole('dialog').getByRole('row', { name: /^agent ok/ })).toBeVisible();
  await page.keyboard.press('Escape');
  await fail(page, cause);
  await expect(bar).toContainText('agent failing');
  await expect(bar).toHaveAttribute('title', `agent: ${cause}`);
  await expect(page.locator('#status [role=status]')).toHaveText('agent failing');
  await bar.click();
  await expect(page.getByRole('dialog').getByRole('row', { name: /^agent failing/ })).toContainText(cause);
  await page.keyboard.press('Escape');
  await expect(page.getByRole('dialog')).toHaveCount(0);
});

test('a page or a trace that is not there says so', async ({ page }) => {
  await visit(page, '/nowhere');
  await expect(page.getByRole('heading')).toHaveText('There is no such page');
});

test.describe('with errors that belong to it', () => {
  test.use({ tolerated: /404|ERR_FAILED/ });

  test('a trace that is not stored says so', async ({ page }) => {
    await visit(page, '/traces/00000000000000000000000000000001');
    await expect(page.getByRole('heading')).toHaveText('No such trace is stored');
  });

  test('a server that does not answer is named, and what was loaded stays', async ({ page }) => {
    await visit(page, '/traces?from=-5m');
    const rows = page.locator('.tt tbody tr a');
    await expect(rows.first()).toBeVisible();
    await page.route('**/api/**', route => route.abort());
    await expect(page.getByRole('alert')).toContainText('does not answer');
    await expect(page.locator('#status .fresh.err')).toContainText('no answer');
    await expect(rows.first()).toBeVisible();
    await page.unroute('**/api/**');
    await page.getByRole('button', { name: 'Try now' }).click();
    await expect(page.getByRole('alert')).toHaveCount(0);
  });
});
