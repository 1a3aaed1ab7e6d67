/** How spans are shown that are not simply sent: observed, derived, asynchronous, from a clock that differs, after a long silence. */
import { attributes, expect, send, test, visit, type Weir } from './weir';

const MS = 1_000_000n;
const hex = (n: number) => n.toString(16).padStart(16, '0');

/** A call of 1 s whose callee's clock is 79 µs ahead, with a silence of 600 ms and work after its end; the third span left only lines. */
async function sendStory(weir: Weir, trace: string): Promise<void> {
  const start = BigInt(Date.now() - 20_000) * MS;
  const span = (id: number, parent: number, name: string, from: bigint, to: bigint, more = {}) => ({
    traceId: trace,
    spanId: hex(id),
    ...(parent && { parentSpanId: hex(parent) }),
    name,
    kind: 1,
    startTimeUnixNano: String(start + from),
    endTimeUnixNano: String(start + to),
    ...more,
  });
  const of = (service: string, spans: object[]) => ({
    resource: { attributes: attributes({ 'service.name': service }) },
    scopeSpans: [{ spans }],
  });
  await send(weir, 'traces', {
    resourceSpans: [
      of('caller', [
        span(1, 0, 'POST /story', 0n, 1000n * MS),
        span(2, 1, 'call', 100n * MS, 300n * MS, { kind: 3 }),
        span(5, 1, 'afterwards', 1100n * MS, 1200n * MS),
        span(6, 1, 'refused', 950n * MS, 990n * MS, { status: { code: 2, message: 'out of stock' } }),
      ]),
      of('callee', [span(3, 2, 'answer', 100n * MS - 79_000n, 290n * MS, { kind: 2 })]),
    ],
  });
  const line = (id: number, at: bigint, text: string, severityNumber = 9) => ({
    traceId: trace,
    spanId: hex(id),
    timeUnixNano: String(start + at),
    severityNumber,
    body: { stringValue: text },
  });
  await send(weir, 'logs', {
    resourceLogs: [
      {
        resource: { attributes: attributes({ 'service.name': 'silent' }) },
        scopeLogs: [
          {
            logRecords: [
              line(4, 120n * MS, 'began'),
              line(4, 200n * MS, 'not well', 13),
              line(4, 280n * MS, 'failed', 17),
            ],
          },
        ],
      },
    ],
  });
}

test('marks and notes tell where a span comes from and what is odd about it', async ({ page, weir }) => {
  const trace = 'cd'.repeat(16);
  await sendStory(weir, trace);
  await expect(async () => {
    const answer = await page.request.get(`${weir.ui}/api/v1/traces/${trace}`);
    const body = answer.ok() ? await answer.json() : null;
    expect([body?.spans.id.length, body?.logTicks.row.length]).toEqual([6, 3]);
  }).toPass();
  await visit(page, `/traces/${trace}`);
  const row = (name: RegExp) => page.getByRole('row', { name }),
    panel = page.getByRole('complementary');
  await expect(page.locator('.tp-f')).toContainText('6 spans');
  await expect(page.locator('.tp-f')).toContainText('1 error');
  await expect(page.locator('.tp-f')).toContainText('1 ERROR line');

  await row(/^callee answer/).click();
  await expect(panel).toContainText('Starts 79 µs before its parent');
  await row(/afterwards/).click();
  await expect(panel).toContainText('Starts 100 ms after its parent ended');
  await row(/refused/).click();
  await expect(panel).toContainText('Error: out of stock');
  await row(/^silent /).click();
  await expect(panel).toContainText('Observed: from the first to the last log line');
  await expect(page.locator('.wr.sel .mk.observed')).toHaveCount(1);
  await row(/POST \/story/).click();
  await expect(panel).toContainText('in one piece without a child span');
  await expect(panel).toContainText('No log line in between.');

  // The keys for errors and lines.
  await page.keyboard.press('Escape');
  await page.keyboard.press('e');
  await expect(page.getByRole('row', { selected: true })).toHaveAccessibleName(/silent|refused/);
  await page.locator('.lc').first().click();
  await expect(page.locator('.wr.log')).toHaveCount(3);
  await expect(page.locator('.wr.log.s-err')).toHaveText(/failed/);
  await page.getByRole('button', { name: 'Shorten quiet' }).click();
  await expect(page).toHaveURL(/quiet=1/);
  await page.keyboard.press('z');
  await expect(page).toHaveURL(/zoom=/);
  await page.locator('.mm canvas').dblclick();
  await expect(page).not.toHaveURL(/zoom=/);
});

test('an attribute filters to its value, by its button and by a key', async ({ page, weir }) => {
  const trace = 'ce'.repeat(16);
  await sendStory(weir, trace);
  await visit(page, `/traces/${trace}`);
  await page.getByRole('row', { name: /^callee answer/ }).click();
  const fact = page.locator('.sp .kv > div', { has: page.locator('dt', { hasText: 'service.name' }) });
  await fact.hover();
  await page.keyboard.press('f');
  await expect(page).toHaveURL(/\/traces\?.*q=service.name\+%3D\+callee/);
  await page.goBack();
  await fact.hover();
  await fact.getByRole('button', { name: /^Exclude this value/ }).click();
  await expect(page).toHaveURL(/q=NOT\+service.name\+%3D\+callee/);
});
