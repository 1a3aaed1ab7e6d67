import { ID, SPANS, scrollThrough, sendTrace } from './large';
import { expect, test, visit } from './weir';

test('a trace of 10,000 spans is shown whole with few rows in the document', async ({ page, weir }) => {
  await sendTrace(weir, page);
  await visit(page, `/traces/${ID}`);
  await expect(page.locator('.tp-f')).toContainText('10,000 spans');
  await page.keyboard.press(']');
  const tree = page.getByRole('treegrid');
  await expect(tree).toHaveAttribute('aria-rowcount', String(SPANS));
  await scrollThrough(page);
  await expect(tree.locator(`[aria-rowindex="${SPANS}"]`)).toBeVisible();
  expect(await page.locator('.wr').count()).toBeLessThan(100);
});
