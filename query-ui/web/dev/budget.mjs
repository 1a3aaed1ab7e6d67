// Fails when what a browser loads before the first page stands is larger than the design allows. Run after a build.
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

/** Bytes, compressed, without fonts. */
const FIRST_LOAD_MAX = 150_000;

const dist = new URL('../dist/', import.meta.url);
const read = path => readFileSync(new URL(`.${path}`, dist));
const page = readFileSync(new URL('index.html', dist));
const files = [...page.toString().matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)].map(m => m[1]);
if (!files.some(f => f.endsWith('.js')) || !files.some(f => f.endsWith('.css')))
  throw new Error('index.html names no script or no style: the build has changed, and this check with it');
const size = [page, ...files.map(read)].reduce((n, bytes) => n + gzipSync(bytes, { level: 9 }).length, 0);
console.log(`first load: ${(size / 1000).toFixed(1)} kB of ${FIRST_LOAD_MAX / 1000} kB`);
if (size > FIRST_LOAD_MAX) {
  console.error('The first load is too large. Load what the traces page does not need with import().');
  process.exit(1);
}
