import { expect, test, visit } from './weir';

test('the ledger tells of every followed file that all of it is stored', async ({ page }) => {
  await visit(page, '/traces');
  await page.keyboard.press('g');
  await page.keyboard.press('d');
  await expect(page).toHaveURL(/\/ledger/);
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Ledger');
  const row = page.getByRole('row', { name: /payment\.log/ });
  await expect(row).toBeVisible();
  // The shop writes all the time, so that some of it may be on its way, but nothing is missing or refused.
  await expect(row).toContainText(/complete|on its way/);
  await expect(page.locator('.sources .err')).toHaveCount(0);
  await expect(page.getByRole('row', { name: /^spans/ })).toBeVisible();
});
