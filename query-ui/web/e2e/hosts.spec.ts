import { HOST, measure } from './host';
import { expect, test, visit } from './weir';

test('Enter opens the row that was moved to, whatever was clicked before', async ({ page, weir }) => {
  await measure(weir);
  await visit(page, '/traces');
  await page.getByRole('button', { name: '切换到中文' }).click();
  await page.keyboard.press('g');
  await page.keyboard.press('h');
  await expect(page.getByRole('row', { name: new RegExp(HOST) })).toBeVisible();
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/\/hosts\/.+/);
});

test('a host shows what was measured on it', async ({ page, weir }) => {
  await measure(weir);
  await visit(page, '/hosts');
  await page.getByRole('row', { name: new RegExp(HOST) }).click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText(HOST);
  await expect(page.getByRole('img', { name: 'CPU: user 25 %' })).toBeVisible();
  await expect(page.getByRole('img', { name: 'Memory: used 38.0 GB' })).toBeVisible();
  await expect(page.locator('.disks')).toContainText('78 %');
  await expect(page.getByRole('row', { name: /java 812/ })).toContainText('182');

  const box = (await page.locator('.chart canvas').first().boundingBox())!;
  await page.mouse.move(box.x + box.width * 0.8, box.y + 40);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.9, box.y + 40, { steps: 4 });
  await page.mouse.up();
  await expect(page).toHaveURL(/from=\d{4}.*to=\d{4}/);
  await page.keyboard.press('0');
  await expect(page).not.toHaveURL(/from=/);
});
