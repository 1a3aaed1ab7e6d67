import { expect, openCheckout, test, visit } from './weir';

const copied = async (page: import('@playwright/test').Page) => {
  await page.keyboard.press('y');
  await expect(page.locator('.toast')).toHaveText('Link copied');
  return new URL(await page.evaluate(() => navigator.clipboard.readText()));
};

test('a copied link has a time that stays', async ({ page }) => {
  await visit(page, '/traces?from=-15m&q=service+%3D+order');
  await page.locator('.tt tbody tr a').first().waitFor();
  expect(page.url()).toContain('from=-15m');
  const link = await copied(page),
    [from, to] = ['from', 'to'].map(k => Date.parse(link.searchParams.get(k)!));
  expect(to - from).toBe(15 * 60e3);
  expect(Math.abs(Date.now() - to)).toBeLessThan(60e3);
  expect(link.searchParams.get('q')).toBe('service = order');
});

test('a page and a filter can be gone back from, a selection and a zoom can not', async ({ page }) => {
  await openCheckout(page);
  const opened = page.url();
  await page.keyboard.press('j');
  await expect(page).toHaveURL(/span=/);
  await page.keyboard.press('w');
  await expect(page).toHaveURL(/zoom=/);
  await page.goBack();
  await expect(page).toHaveURL(/\/traces\?.*q=entry/);
  await page.goForward();
  await expect(page).toHaveURL(/zoom=/);
  expect(page.url()).toContain(new URL(opened).pathname);
});

test('all that is seen of a trace is in its address', async ({ page, context }) => {
  await openCheckout(page);
  await page.keyboard.press('2');
  await page.keyboard.press('j');
  await page.keyboard.press('l');
  await page.keyboard.press('w');
  await page.keyboard.press('d');
  await page.keyboard.press('c');
  await page.getByRole('button', { name: 'product' }).first().click();
  for (const part of ['depth=2', 'span=', 'logs=all', 'zoom=', 'crit=0', 'only=product'])
    await expect(page).toHaveURL(new RegExp(part));
  const seen = async (p: typeof page) => ({
    rows: await p.locator('.wr').evaluateAll(all => all.map(el => el.textContent)),
    dim: await p.locator('.wr.dim').count(),
    panel: await p.locator('.sp header').textContent(),
    axis: await p.locator('.mm-l').evaluate(el => el.style.width),
  });
  await page.locator('.wr.log').first().waitFor();
  const here = await seen(page),
    other = await context.newPage();
  await other.goto(page.url());
  await other.locator('.wr.log').first().waitFor();
  await expect(async () => expect(await seen(other)).toEqual(here)).toPass();
});

test('the time range is chosen from a list or written, in either zone', async ({ page }) => {
  await visit(page, '/traces');
  const button = page.getByRole('button', { name: /^Time range/ });
  await button.click();
  await page.getByRole('button', { name: 'Last 1 h' }).click();
  await expect(page).toHaveURL(/from=-1h/);
  await expect(button).toContainText('Last 1 h');
  await button.click();
  const [from, to] = [page.getByLabel('From'), page.getByLabel('To', { exact: true })];
  await from.fill('next week');
  await page.getByRole('button', { name: 'Apply' }).click();
  await expect(page.getByRole('alert')).toContainText('Not a time');
  await from.fill('2026-01-29 08:43');
  await to.fill('2026-01-29 09:13');
  await page.getByRole('button', { name: 'Apply' }).click();
  await expect(page).toHaveURL(/from=2026-01-29T08%3A43%3A00.000Z&to=2026-01-29T09%3A13%3A00.000Z/);
  await expect(button).toContainText('29 Jan 2026 08:43');
  await button.click();
  await page.getByRole('button', { name: 'UTC', exact: true }).click();
  await expect(page).toHaveURL(/tz=utc/);
});
