/** What is broken in the shop is seen where one would look for it. */
import type { Page } from '@playwright/test';
import { expect, fault, test, visit } from './weir';

test.describe.configure({ timeout: 120_000 });
test.afterEach(({ weir }) => fault(weir, '--clear'));

/** Opens the newest trace that a filter finds, as soon as it finds one. */
async function openFound(page: Page, q: string): Promise<void> {
  await visit(page, `/traces?from=-5m&q=${encodeURIComponent(q)}`);
  await page.locator('.tt tbody tr a').first().click({ timeout: 60_000 });
  await expect(page.getByRole('treegrid')).toBeVisible();
}
const panel = (page: Page) => page.getByRole('complementary');

test('a slow payment makes the whole call long, and payment is where the time went', async ({
  page,
  weir,
}) => {
  fault(weir, 'payment', 'slow', '--for', '60s');
  await openFound(page, 'service = payment duration > 700ms');
  await expect(page.locator('.went-l .leg').first()).toContainText('payment');
  await expect(page.locator('.tp-f .big')).toHaveText(/^(8|9)\d\d ms$|^[12]\.\d\d s$/);
});

test('an error is red on its span, on its callers and in the list', async ({ page, weir }) => {
  fault(weir, 'inventory', 'error', '--for', '60s');
  await visit(page, `/traces?from=-5m&q=${encodeURIComponent('service = inventory status = error')}`);
  await expect(page.locator('.tt tbody tr .ec').first()).toBeVisible({ timeout: 60_000 });
  await openFound(page, 'service = inventory status = error');
  await expect(page.locator('.tp-f .err').first()).toContainText('errors');
  await page.keyboard.press('e');
  await expect(page.getByRole('row', { selected: true })).toHaveAccessibleName(/Error/);
  await page
    .getByRole('row', { name: /^inventory POST .*Error/ })
    .first()
    .click();
  await expect(panel(page)).toContainText('Error: answered 500');
  await expect(panel(page).locator('.plogs .s-err')).toContainText('answered 500');
});

test('an exception shows its event on the span and its stack trace with the line', async ({ page, weir }) => {
  fault(weir, 'order', 'exception', '--for', '60s');
  await openFound(page, 'service = order event = exception');
  await page
    .getByRole('row', { name: /^order POST .*Error/ })
    .first()
    .click();
  await expect(panel(page)).toContainText('java.lang.IllegalStateException');
  await expect(panel(page).locator('.plogs .s-err').first()).toContainText('⏎');

  await visit(page, `/logs?from=-5m&q=${encodeURIComponent('service = order "injected exception"')}`);
  await page.locator('.lr.s2 .msg').first().click();
  await expect(page.locator('.ld pre')).toContainText('at java.base/java.lang.Thread.run(Thread.java:1583)');
});

test('a crash leaves its last words, a call without an answer, and a service that comes back', async ({
  page,
  weir,
}) => {
  fault(weir, 'payment', 'crash', '--for', '5s');
  await openFound(
    page,
    'service = order server.address = payment status = error NOT http.response.status_code *',
  );
  await page
    .getByRole('row', { name: /^order POST .*Error.*/ })
    .last()
    .click();
  await expect(panel(page)).toContainText('payment');
  await visit(page, `/logs?from=-5m&q=${encodeURIComponent('service = payment "injected crash"')}`);
  await expect(page.locator('.lr.s2 .msg').first()).toContainText('panic: injected crash', {
    timeout: 60_000,
  });
  const crash = await page.locator('.lr.s2 .num').first().textContent();
  await visit(page, `/logs?from=-5m&q=${encodeURIComponent('service = payment "answered 200"')}`);
  await expect(async () =>
    expect((await page.locator('.lr .num').first().textContent())! > crash!).toBe(true),
  ).toPass();
});
