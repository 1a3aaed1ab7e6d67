import type { Page } from '@playwright/test';
import { attributes, expect, send, test, visit, type Weir } from './weir';

const SPANS = 10_000,
  ID = 'ab'.repeat(16);
/** Spans in one request. */
const BATCH = 2_000;
/** The design asks for 300 and 50 ms on an idle machine; a machine that also runs other tests is given more. */
const OPENS_MS = 1_000,
  TASK_MS = 250;

/** A tree in which each span has up to six children one after another, in eight services. */
async function sendTrace(weir: Weir): Promise<void> {
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
}

/** Longest task of the page's main thread while something is done, in milliseconds; 0 stands for all below 50. */
async function longestTask(page: Page, act: () => Promise<unknown>): Promise<number> {
  await page.evaluate(() => {
    const seen: number[] = [];
    Object.assign(window, { seen });
    new PerformanceObserver(list => seen.push(...list.getEntries().map(e => e.duration))).observe({
      type: 'longtask',
    });
  });
  await act();
  return page.evaluate(async () => {
    // A task is reported after it has ended.
    await new Promise(r => requestAnimationFrame(() => setTimeout(r)));
    return Math.max(0, ...(window as unknown as { seen: number[] }).seen);
  });
}

const scrollThrough = (page: Page) =>
  page.getByRole('treegrid').evaluate(async el => {
    const FRAMES = 120;
    for (let i = 0; i <= FRAMES; i++) {
      el.scrollTop = ((el.scrollHeight - el.clientHeight) * i) / FRAMES;
      await new Promise(requestAnimationFrame);
    }
  });

test('a trace of 10,000 spans opens and scrolls at once', async ({ page, weir }) => {
  await sendTrace(weir);
  await expect(async () => {
    const answer = await page.request.get(`${weir.ui}/api/v1/traces/${ID}`);
    expect(answer.ok() ? (await answer.json()).spans.id.length : 0).toBe(SPANS);
  }).toPass();
  await page.addInitScript(() => {
    new MutationObserver((_, self) => {
      if (!document.querySelector('.wr')) return;
      self.disconnect();
      // The second frame begins when the first has been painted.
      requestAnimationFrame(() => requestAnimationFrame(() => performance.mark('rows')));
    }).observe(document, { childList: true, subtree: true });
  });
  await visit(page, `/traces/${ID}`);
  await expect(page.locator('.tp-f')).toContainText('10,000 spans');
  const opened = await page.evaluate(id => {
    const bytes = performance
      .getEntriesByType('resource')
      .find(e => e.name.endsWith(`/traces/${id}`)) as PerformanceResourceTiming;
    return performance.getEntriesByName('rows')[0].startTime - bytes.responseEnd;
  }, ID);
  const busy = () =>
    page.evaluate(
      () =>
        new Promise<void>(done =>
          setTimeout(() => {
            for (const end = performance.now() + 100; performance.now() < end;);
            done();
          }),
        ),
    );
  expect(await longestTask(page, busy), 'the measurement sees a long task').toBeGreaterThanOrEqual(100);
  const folded = await longestTask(page, () => scrollThrough(page));
  const unfold = await longestTask(page, () => page.keyboard.press(']'));
  await expect(page.getByRole('treegrid')).toHaveAttribute('aria-rowcount', String(SPANS));
  expect(await page.locator('.wr').count()).toBeLessThan(100);
  const whole = await longestTask(page, () => scrollThrough(page));
  const ms = (v: number) => `${Math.round(v)} ms`;
  console.log(
    `10,000 spans: open ${ms(opened)} after the bytes; longest task while scrolling ${ms(folded)} folded, ${ms(whole)} whole; unfolding ${ms(unfold)}`,
  );
  expect(opened).toBeLessThan(OPENS_MS);
  expect(Math.max(folded, whole)).toBeLessThan(TASK_MS);
});
