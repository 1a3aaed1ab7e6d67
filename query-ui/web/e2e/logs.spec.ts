import { expect, test, visit } from './weir';

test('a facet filters, a line opens, and leads to its trace', async ({ page }) => {
  await visit(page, '/logs');
  await page.locator('.facets').getByRole('button', { name: 'payment', exact: true }).click();
  await expect(page).toHaveURL(/q=service/);
  const services = page.locator('.lr .sv');
  await expect(services.first()).toHaveText('payment');
  await expect(services.filter({ hasNotText: 'payment' })).toHaveCount(0);

  await page.keyboard.press('j');
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  const detail = page.locator('.ld');
  await expect(detail.locator('dt', { hasText: 'trace.id' })).toBeVisible();
  await expect(detail.locator('dt', { hasText: 'log.file.path' })).toBeVisible();
  await detail.getByRole('button', { name: 'Open trace' }).click();
  await expect(page).toHaveURL(/\/traces\/[0-9a-f]{32}\?.*span=[0-9a-f]{16}/);
  await expect(page.getByRole('row', { selected: true })).toHaveAccessibleName(/payment/);
});

test('a drag over the histogram narrows the range, a double click widens it', async ({ page }) => {
  await visit(page, '/logs?from=-24h');
  await expect(page.locator('.lr').first()).toBeVisible();
  const canvas = page.locator('.lgh canvas'),
    box = (await canvas.boundingBox())!;
  await page.mouse.move(box.x + 200, box.y + 40);
  await page.mouse.down();
  await page.mouse.move(box.x + 300, box.y + 40, { steps: 4 });
  await page.mouse.up();
  await expect(page).toHaveURL(/from=\d{4}.*to=\d{4}/);
  // The shop did not run then.
  await expect(page.locator('.lgh b')).toHaveText('0');
  await expect(page.locator('.empty')).toContainText('No line matches');
  await canvas.dblclick();
  await expect(page).not.toHaveURL(/from=/);
  await expect(page.locator('.lr').first()).toBeVisible();
});

test('the live tail follows, pauses on scroll, and goes on', async ({ page }) => {
  await visit(page, '/logs');
  await page.getByRole('button', { name: 'Live tail' }).click();
  await expect(page).toHaveURL(/live=1/);
  const first = page.locator('.lr .num').first(),
    shown = (await first.textContent())!;
  await expect(first).not.toHaveText(shown);
  const times = await page.locator('.lr .num').allTextContents();
  expect(times).toEqual([...times].sort().reverse());

  await page.locator('.lrows').evaluate(list => list.scrollTo({ top: 200 }));
  const pill = page.getByRole('button', { name: /^paused: / });
  await expect(pill).toBeVisible();
  const still = await first.textContent();
  await expect(pill).not.toHaveText(/^paused: [01] new/);
  expect(await first.textContent()).toBe(still);
  await pill.click();
  await expect(pill).toHaveCount(0);
  await expect(first).not.toHaveText(still!);
});

test.describe('a filter that is wrong', () => {
  test.use({ tolerated: /400/ });
  test('is marked where it is wrong', async ({ page }) => {
    await visit(page, '/logs?q=service+%3D+order+severity+%3E');
    await expect(page.getByRole('alert')).toContainText('The filter was not understood');
    await expect(page.locator('.wrong u')).toBeVisible();
  });
});

test('where nothing matches, the page says why and offers a way out', async ({ page }) => {
  await visit(page, '/logs?q=service+%3D+order+nowheretobefound');
  await expect(page.locator('.empty')).toContainText('nowheretobefound');
  await page.getByRole('button', { name: 'Remove nowheretobefound' }).last().click();
  await expect(page.locator('.lr').first()).toBeVisible();
  await expect(page.locator('.chip')).toHaveCount(1);
});
