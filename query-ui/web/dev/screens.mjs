// Takes a picture of every page and state of a running Weir, in both themes and at two widths, to be looked at.
//   WEIR_URL=http://127.0.0.1:7070 CHROMIUM=/usr/bin/chromium npm run screens -- FOLDER [only these, such as trace-dark]
import { chromium } from '@playwright/test';
import { mkdirSync } from 'node:fs';

const URL_ = process.env.WEIR_URL ?? 'http://127.0.0.1:7070',
  [folder = 'screens', ...only] = process.argv.slice(2);
const WIDTHS = { wide: { width: 1440, height: 900 }, narrow: { width: 820, height: 900 } };
/** Longest wait for a page to stand. */
const PATIENCE_MS = 20_000;

/** The largest trace of the newest ones, or the one that was asked for. */
async function someTrace() {
  if (process.env.TRACE) return process.env.TRACE;
  const { traces } = await (await fetch(`${URL_}/api/v1/traces?limit=200`)).json();
  if (!traces?.length) throw new Error(`${URL_} has no trace`);
  const settled = traces.slice(traces.length > 20 ? 10 : 0);
  return settled.sort((a, b) => b.spans - a.spans)[0].traceId;
}
const trace = await someTrace();
const { hosts } = await (await fetch(`${URL_}/api/v1/hosts`)).json();
const rows = page => page.locator('.tt tbody a, .empty').first().waitFor(),
  tree = page => page.locator('.wr').first().waitFor(),
  lines = page => page.locator('.lr .msg, .empty').first().waitFor(),
  key = (page, ...keys) => keys.reduce((p, k) => p.then(() => page.keyboard.press(k)), Promise.resolve());
const range = process.env.RANGE ? `from=${process.env.RANGE}` : '';

/** Name: address, and what is done there. */
const SHOTS = {
  traces: [`/traces?${range}`, rows],
  complete: [
    `/traces?${range}&q=duration+%3E+1ms`,
    async page => {
      await rows(page);
      await key(page, '/');
      await page.locator('.ac-i').nth(3).waitFor();
      await key(page, 'ArrowDown');
    },
  ],
  filtered: [`/traces?${range}&q=trace.duration+%3E+30ms`, rows],
  empty: [
    `/traces?${range}&q=${encodeURIComponent('duration > 1ns duration > 1000s')}`,
    page => page.locator('.empty .btns .pri').waitFor(),
  ],
  error: [
    `/traces?${range}`,
    async page => {
      await rows(page);
      await page.route('**/api/**', route => route.abort());
      await page.locator('.ban').waitFor();
      await page.locator('#status .fresh.err').waitFor();
    },
  ],
  wrong: [
    `/traces?${range}&q=${encodeURIComponent('service = order duration > soon')}`,
    page => page.locator('.ban').waitFor(),
  ],
  trace: [
    `/traces/${trace}`,
    async page => {
      await tree(page);
      // A span with log lines, if there is one.
      const withLines = page.locator('.wr:has(.lc) .op');
      await withLines.nth(Math.min(3, (await withLines.count()) - 1)).click();
      await page.locator('.sp .kv').first().waitFor();
    },
  ],
  'trace-logs': [
    `/traces/${trace}`,
    async page => {
      await tree(page);
      await key(page, 'l');
      await page.locator('.wr.log').first().waitFor();
    },
  ],
  'trace-quiet': [`/traces/${trace}?quiet=1`, tree],
  'trace-find': [
    `/traces/${trace}?find=order`,
    async page => {
      await tree(page);
    },
  ],
  logs: [
    `/logs?${range}`,
    async page => {
      await lines(page);
      const bad = page.locator('.lr.s2 .msg');
      await ((await bad.count()) ? bad.first() : page.locator('.lr .msg').nth(3)).click();
      await page.locator('.ld .kv').first().waitFor();
    },
  ],
  live: [
    `/logs?live=1`,
    async page => {
      await lines(page);
      await page.locator('.lr .msg').nth(40).waitFor({ state: 'attached' });
      await page.locator('.lrows').evaluate(el => el.scrollTo({ top: 120 }));
      await page.locator('.pill').waitFor();
    },
  ],
  hosts: ['/hosts', page => page.locator('.tt tbody a, .empty').first().waitFor()],
  ...(hosts?.length && {
    host: [
      `/hosts/${encodeURIComponent(hosts[0].name)}`,
      async page => {
        await page.locator('.chart canvas').first().waitFor();
        const box = await page.locator('.chart canvas').first().boundingBox();
        await page.mouse.move(box.x + box.width * 0.9, box.y + 60);
      },
    ],
  }),
  palette: [
    `/traces/${trace}`,
    async page => {
      await tree(page);
      await key(page, 'Control+k');
      await page.getByRole('dialog').waitFor();
      await page.keyboard.type('or');
      await page.getByRole('option').nth(3).waitFor();
    },
  ],
  keys: [
    `/traces/${trace}`,
    async page => {
      await tree(page);
      await key(page, '?');
      await page.getByRole('dialog').waitFor();
    },
  ],
  time: [
    `/traces?${range}`,
    async page => {
      await rows(page);
      await page.locator('.time > button').click();
      await page.getByRole('dialog').waitFor();
    },
  ],
};

mkdirSync(folder, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox'],
});
const wanted = name => only.length === 0 || only.some(o => name.startsWith(o));
for (const lang of (process.env.LANGS ?? 'en zh').split(' '))
  for (const theme of ['light', 'dark'])
    for (const [width, viewport] of Object.entries(WIDTHS))
      for (const [name, [path, act]] of Object.entries(SHOTS)) {
        const file = [
          name,
          theme,
          ...(width === 'narrow' ? ['narrow'] : []),
          ...(lang === 'zh' ? ['zh'] : []),
        ].join('-');
        if (!wanted(file)) continue;
        const context = await browser.newContext({
          viewport,
          colorScheme: theme,
          locale: lang === 'zh' ? 'zh-CN' : 'en-US',
          timezoneId: 'UTC',
          reducedMotion: 'reduce',
          ...(process.env.FORCED && { forcedColors: 'active' }),
        });
        const page = await context.newPage();
        page.setDefaultTimeout(PATIENCE_MS);
        try {
          await page.goto(URL_ + path);
          await page.locator('#status .fresh').waitFor();
          await act(page);
          await page.evaluate(() => document.fonts.ready);
          await page.screenshot({ path: `${folder}/${file}.png` });
        } catch (e) {
          console.error(`${file}: ${e.message.split('\n')[0]}`);
        }
        await context.close();
      }
await browser.close();
