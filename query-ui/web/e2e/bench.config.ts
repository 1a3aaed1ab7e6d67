import config from './playwright.config';

/** The same browser and server, and what measures instead of what tests. */
export default { ...config, testMatch: '*.bench.ts', outputDir: '../node_modules/.cache/bench' };
