/** `weir up --demo` on free ports and a data folder of its own, and a page that must not log an error. */
import { test as base, expect, type Page } from '@playwright/test';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const BINARY = process.env.WEIR_BIN ?? new URL('../../../target/debug/weir', import.meta.url).pathname;
const START_MS = 60_000,
  STOP_MS = 15_000;

export interface Weir {
  ui: string;
  otlp: string;
  /** Folder of the shop, by which its faults are switched. */
  shop: string;
}

/** Every address that the configuration would listen on, by its environment variable, moved to a free port. */
function freePorts(dir: string): Record<string, string> {
  const file = join(dir, 'weir.yaml'),
    env: Record<string, string> = {};
  writeFileSync(file, '');
  let section = '';
  for (const line of execFileSync(BINARY, ['config', 'print', file], { encoding: 'utf8' }).split('\n')) {
    section = /^(\w+):$/.exec(line)?.[1] ?? section;
    const key = /^ {2}(\w+): 127\.0\.0\.1:\d+$/.exec(line)?.[1];
    if (key) env[`WEIR_${section}__${key}`.toUpperCase()] = '127.0.0.1:0';
  }
  return env;
}

async function start(dir: string): Promise<{ child: ChildProcess; weir: Weir }> {
  const child = spawn(BINARY, ['up', '--demo', '--data-dir', join(dir, 'data')], {
    env: { ...process.env, ...freePorts(dir), WEIR_LOG: 'warn' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const urls: Record<string, string> = {};
  const ready = new Promise<void>((resolve, reject) => {
    createInterface({ input: child.stdout! }).on('line', line => {
      const [, stage, url] = /^\s*(\w+)\s.*?(http:\/\/\S+)?/.exec(line) ?? [];
      const address = /http:\/\/127\.0\.0\.1:\d+/.exec(line)?.[0];
      if (stage && (url ?? address)) urls[stage] ??= address!;
      if (stage === 'ready') resolve();
    });
    child.on('exit', code => reject(new Error(`weir ended with ${code} before it was ready`)));
    setTimeout(() => reject(new Error('weir did not become ready')), START_MS).unref();
  });
  await ready;
  return { child, weir: { ui: urls.ui, otlp: urls.otlp, shop: join(dir, 'data', 'demo') } };
}

/** Switches a fault of the shop on, or all off. */
export function fault(weir: Weir, ...args: string[]): void {
  execFileSync(BINARY, ['demo', '--run-dir', weir.shop, 'fault', ...args]);
}

async function stop(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit');
  child.kill('SIGINT');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await ended;
  clearTimeout(timer);
}

/** Errors that a test expects the page to log. */
type Options = { tolerated: RegExp | null };

export const test = base.extend<Options, { weir: Weir }>({
  weir: [
    async ({}, use) => {
      const dir = mkdtempSync(join(tmpdir(), 'weir-e2e-')),
        { child, weir } = await start(dir);
      await use(weir);
      await stop(child);
      rmSync(dir, { recursive: true, force: true });
    },
    { scope: 'worker', timeout: START_MS + STOP_MS },
  ],
  tolerated: [null, { option: true }],
  baseURL: async ({ weir }, use) => use(weir.ui),
  page: async ({ page, tolerated }, use) => {
    const errors: string[] = [];
    page.on('pageerror', e => errors.push(e.stack ?? e.message));
    page.on('console', m => {
      if (m.type() === 'error' && !tolerated?.test(m.text())) errors.push(m.text());
    });
    await use(page);
    // A route that still waits for the server when its page goes would fail the next test.
    await page.unrouteAll({ behavior: 'wait' });
    expect(errors, 'errors that the page logged').toEqual([]);
  },
});
export { expect };

/** Opens a page and waits until the app listens. */
export async function visit(page: Page, path: string): Promise<void> {
  await page.goto(path);
  await page.locator('#status .fresh').waitFor();
}

/** Opens a trace that has passed all five services of the shop, and returns its id. */
export async function openCheckout(page: Page): Promise<string> {
  await visit(page, '/traces?q=entry+%3D+"POST+%2Fcheckout"');
  const whole = page.locator('.tt tbody tr', { has: page.locator('.wt2 .num', { hasText: /^5$/ }) });
  await whole.first().click();
  await expect(page).toHaveURL(/\/traces\/[0-9a-f]{32}/);
  await expect(page.getByRole('treegrid')).toBeVisible();
  return /[0-9a-f]{32}/.exec(page.url())![0];
}

/** Lets the server say that a stage of the agent is failing, and why. */
export async function fail(page: Page, cause: string): Promise<void> {
  await page.route('**/api/v1/status', async route => {
    const response = await route.fetch(),
      status = await response.json();
    const agent = status.stages.find((s: { name: string }) => s.name === 'agent');
    Object.assign(agent, { state: 'failing', detail: cause });
    await route.fulfill({ response, json: status });
  });
}

/** Sends OTLP as JSON. */
export async function send(weir: Weir, signal: 'traces' | 'metrics' | 'logs', body: unknown): Promise<void> {
  const answer = await fetch(`${weir.otlp}/v1/${signal}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  expect(answer.status, await answer.text()).toBe(200);
}
export const attributes = (of: Record<string, string>) =>
  Object.entries(of).map(([key, value]) => ({ key, value: { stringValue: value } }));
