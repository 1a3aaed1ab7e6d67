import AxeBuilder from '@axe-core/playwright';
import type { Page } from '@playwright/test';
import { HOST, measure } from './host';
import { expect, fail, openCheckout, test, visit, type Weir } from './weir';

/** What to look at: how to get there. */
const VIEWS: Record<string, (page: Page, weir: Weir) => Promise<unknown>> = {
  traces: async page => {
    await visit(page, '/traces');
    await page.locator('.tt tbody tr a').first().waitFor();
  },
  'a trace with its panel and lines': async page => {
    await openCheckout(page);
    await page.keyboard.press('j');
    await page.keyboard.press('l');
    await page.locator('.sp .kv').first().waitFor();
  },
  'logs with an open line': async page => {
    await visit(page, '/logs');
    await page.locator('.lr .msg').nth(2).click();
    await page.locator('.ld .kv').first().waitFor();
  },
  hosts: async page => {
    await visit(page, '/hosts');
    await page.getByRole('heading').first().waitFor();
  },
  'a host': async (page, weir) => {
    await measure(weir);
    await visit(page, `/hosts/${HOST}`);
    await page.locator('.chart').first().waitFor();
  },
  'the ledger': async page => {
    await visit(page, '/ledger');
    await page.locator('.sources .path').first().waitFor();
  },
  'an empty result': async page => {
    await visit(page, '/traces?q=service+%3D+nosuch');
    await page.locator('.empty').waitFor();
  },
  'the palette': async page => {
    await visit(page, '/logs');
    await page.keyboard.press('Control+k');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.type('o');
    await page.getByRole('option').first().waitFor();
  },
  'the keys': async page => {
    await visit(page, '/traces');
    await page.keyboard.press('?');
    await page.getByRole('dialog').waitFor();
  },
  'a stage in trouble': async page => {
    await fail(page, 'files: /srv/x.log: permission denied');
    await visit(page, '/traces');
    await page.getByRole('button', { name: /agent failing/ }).click();
    await page.getByRole('dialog').waitFor();
  },
  'the time range': async page => {
    await visit(page, '/traces');
    await page.getByRole('button', { name: /Time range/ }).click();
    await page.getByRole('dialog').waitFor();
  },
};

for (const colorScheme of ['light', 'dark'] as const)
  test.describe(`in the ${colorScheme} theme`, () => {
    test.use({ colorScheme });
    for (const [name, show] of Object.entries(VIEWS))
      test(`axe finds no serious fault on ${name}`, async ({ page, weir }) => {
        await show(page, weir);
        const { violations } = await new AxeBuilder({ page })
          .options({ rules: { 'target-size': { enabled: true } } })
          .analyze();
        const serious = violations.filter(v => v.impact === 'serious' || v.impact === 'critical');
        expect(serious.map(v => `${v.id}: ${v.nodes.map(n => n.html.slice(0, 200)).join('\n')}`)).toEqual([]);
      });
  });
