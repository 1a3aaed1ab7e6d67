import { defineConfig } from '@playwright/test';

/** Debian's Chromium: the tests download no browser. */
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';

export default defineConfig({
  testDir: '.',
  outputDir: '../node_modules/.cache/e2e',
  // One server and one browser at a time: two cores, and figures that are counted.
  workers: 1,
  timeout: 60_000,
  // Generous: it is only reached when something is broken.
  expect: { timeout: 20_000 },
  forbidOnly: true,
  reporter: [['list']],
  use: {
    viewport: { width: 1440, height: 900 },
    locale: 'en-US',
    timezoneId: 'UTC',
    colorScheme: 'light',
    contextOptions: { reducedMotion: 'reduce' },
    permissions: ['clipboard-read', 'clipboard-write'],
    actionTimeout: 20_000,
    launchOptions: { executablePath: CHROMIUM, args: ['--no-sandbox'] },
  },
});
