/** A trace of 10,000 spans, for the test that it is shown whole and the bench that says how fast. */
import { expect, type Page } from '@playwright/test';
import { attributes, send, type Weir } from './weir';

export const SPANS = 10_000,
  ID = 'ab'.repeat(16);
/** Spans in one request. */
const BATCH = 2_000;

/** A tree in which each span has up to six children one after another, in eight services. */
export async function sendTrace(weir: Weir, page: Page): Promise<void> {
  const start = BigInt(Date.now() - 5_000) * 1_000_000n,
    at = [0],
    length = [2_000_000_000];
  const hex = (i: number) => (i + 1).toString(16).padStart(16, '0'),
    service = (i: number) => `svc-${Math.floor(Math.log(i + 1)) % 8}`;
  const spans = Array.from({ length: SPANS }, (_, i) => {
    const parent = i === 0 ? -1 : Math.floor((i - 1) / 6);
    if (i > 0) {
      length[i] = Math.max(1000, length[parent] / 6.5);
      at[i] = at[parent] + length[parent] * (0.02 + ((i - 1) % 6) * 0.16);
    }
    return {
      of: service(i),
      span: {
        traceId: ID,
        spanId: hex(i),
        ...(parent >= 0 && { parentSpanId: hex(parent) }),
        name: `operation ${i % 40}`,
        kind: i % 2 ? 2 : 3,
        startTimeUnixNano: String(start + BigInt(Math.round(at[i]))),
        endTimeUnixNano: String(start + BigInt(Math.round(at[i] + length[i]))),
        attributes: attributes({ 'http.route': `/route/${i % 40}` }),
      },
    };
  });
  for (let i = 0; i < SPANS; i += BATCH) {
    const batch = spans.slice(i, i + BATCH);
    await send(weir, 'traces', {
      resourceSpans: [...new Set(batch.map(s => s.of))].map(of => ({
        resource: { attributes: attributes({ 'service.name': of }) },
        scopeSpans: [{ scope: { name: 'e2e' }, spans: batch.filter(s => s.of === of).map(s => s.span) }],
      })),
    });
  }
  await expect(async () => {
    const answer = await page.request.get(`${weir.ui}/api/v1/traces/${ID}`);
    expect(answer.ok() ? (await answer.json()).spans.id.length : 0).toBe(SPANS);
  }).toPass();
}

/** Scrolls the waterfall from its first row to its last, a step a frame. */
export const scrollThrough = (page: Page): Promise<void> =>
  page.getByRole('treegrid').evaluate(async el => {
    const FRAMES = 120;
    for (let i = 0; i <= FRAMES; i++) {
      el.scrollTop = ((el.scrollHeight - el.clientHeight) * i) / FRAMES;
      await new Promise(requestAnimationFrame);
    }
  });
