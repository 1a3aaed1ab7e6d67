import type { Page } from '@playwright/test';
import { HOST, measure } from './host';
import { expect, openCheckout, test, visit } from './weir';

const rows = (page: Page) => page.locator('.tt tbody tr a').first();

/** Nothing stands beyond the right edge of the window, where no one can scroll to. */
async function expectNoSidewaysScroll(page: Page): Promise<void> {
  const beyond = await page.evaluate(() =>
    [
      ...document.querySelectorAll<HTMLElement>(
        '#top, #main, #main > *:not(.sr), .tp-head, .tp-body, .sp, .lgm, .pop, #status',
      ),
    ]
      .filter(
        el =>
          el.getBoundingClientRect().right > innerWidth + 1 ||
          el.scrollWidth > Math.max(el.clientWidth, el.offsetWidth) + 1,
      )
      .map(el => `${el.tagName}#${el.id}.${el.className} ${el.scrollWidth} in ${el.clientWidth}`),
  );
  expect(beyond).toEqual([]);
}

test('the panel of a span stands beside the waterfall, inside the window', async ({ page }) => {
  await openCheckout(page);
  await page.keyboard.press('j');
  await page.locator('.sp .kv').first().waitFor();
  const panel = (await page.locator('.sp').boundingBox())!,
    chart = (await page.locator('.wf-axis').boundingBox())!;
  expect(panel.x + panel.width).toBeLessThanOrEqual(1440);
  expect(chart.x + chart.width).toBeLessThanOrEqual(panel.x + 1);
  await expectNoSidewaysScroll(page);
});

test('the number of lines stands in the middle of its row', async ({ page }) => {
  await openCheckout(page);
  const number = page.locator('.lc').first(),
    row = page.locator('.wr', { has: page.locator('.lc') }).first();
  const [a, b] = [(await number.boundingBox())!, (await row.boundingBox())!];
  expect(Math.abs(a.y + a.height / 2 - (b.y + b.height / 2))).toBeLessThan(1.5);
});

test.describe('at 200 % zoom', () => {
  // Zooming to 200 % halves the window in CSS pixels.
  test.use({ viewport: { width: 720, height: 450 }, deviceScaleFactor: 2 });
  test('no page scrolls sideways', async ({ page, weir }) => {
    await measure(weir);
    for (const [path, ready] of [
      ['/traces', '.tt tbody tr a'],
      ['/logs', '.lr .msg'],
      ['/hosts', '.tt tbody tr a'],
      ['/ledger', '.sources .path'],
      [`/hosts/${HOST}`, '.chart canvas'],
      ['/traces?q=service+%3D+nosuch', '.empty'],
    ]) {
      await visit(page, path);
      await page.locator(ready).first().waitFor();
      await expectNoSidewaysScroll(page);
    }
    await openCheckout(page);
    await page.keyboard.press('j');
    await page.locator('.sp .kv').first().waitFor();
    await expectNoSidewaysScroll(page);
  });
});

test.describe('in a narrow window', () => {
  test.use({ viewport: { width: 820, height: 900 } });
  test('facets stand behind a button, the panel becomes a sheet, the list loses two columns', async ({
    page,
  }) => {
    await visit(page, '/logs');
    await expect(page.locator('.facets')).toBeHidden();
    await page.getByRole('button', { name: 'Facets' }).click();
    await expect(page.locator('.facets').getByRole('button', { name: 'payment', exact: true })).toBeVisible();

    await visit(page, '/traces');
    await rows(page).waitFor();
    await expect(page.getByRole('columnheader').filter({ visible: true })).toHaveCount(6);
    const last = (await page.locator('.tt th').last().boundingBox())!;
    expect(last.x + last.width, 'the columns fill the window').toBe(820);

    await openCheckout(page);
    await page.keyboard.press('j');
    const sheet = (await page.locator('.sp').boundingBox())!;
    expect([sheet.x, sheet.width]).toEqual([0, 820]);
    expect(sheet.y).toBeGreaterThan(400);
  });
});

test('compact rows are chosen in the palette and stay', async ({ page }) => {
  await visit(page, '/traces');
  const height = async () =>
    Math.round((await page.locator('.tt tbody tr:has(a)').first().boundingBox())!.height);
  await rows(page).waitFor();
  expect(await height()).toBe(32);
  await page.keyboard.press('Control+k');
  await page.keyboard.type('compact');
  await page.getByRole('option', { name: 'Row height: compact' }).click();
  await expect.poll(height).toBe(26);
  await page.reload();
  await rows(page).waitFor();
  expect(await height()).toBe(26);
});

test.describe('with forced colours', () => {
  test.use({ contextOptions: { forcedColors: 'active' } });
  test('what is chosen and what is coloured has an outline', async ({ page }) => {
    await openCheckout(page);
    await page.keyboard.press('j');
    const outline = (of: string) =>
      page
        .locator(of)
        .first()
        .evaluate(el => getComputedStyle(el).outlineStyle);
    expect(await outline('.wr.sel')).toBe('solid');
    expect(await outline('.went-b i')).toBe('solid');
    await visit(page, '/logs');
    await page.locator('.lr .msg').first().waitFor();
    await page.keyboard.press('j');
    expect(await outline('.lr.sel')).toBe('solid');
  });
});

for (const [reducedMotion, still] of [
  ['reduce', true],
  ['no-preference', false],
] as const)
  test.describe(`where motion is wanted: ${reducedMotion}`, () => {
    test.use({ contextOptions: { reducedMotion } });
    test(`floats ${still ? 'stand at once' : 'fade in'}`, async ({ page }) => {
      await visit(page, '/traces');
      await page.keyboard.press('?');
      const veil = page.locator('.veil');
      const seconds = await veil.evaluate(el => parseFloat(getComputedStyle(el).animationDuration));
      expect(seconds === 0).toBe(still);
    });
  });
