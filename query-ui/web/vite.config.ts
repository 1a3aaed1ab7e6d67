import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

// WEIR_URL: the server that the development server passes API calls to, `weir up` or the fixture server.
const api = process.env.WEIR_URL ?? 'http://127.0.0.1:7070';

export default defineConfig({
  plugins: [react()],
  server: { host: '127.0.0.1', port: 5173, proxy: { '/api': api } },
  preview: { host: '127.0.0.1', port: 4173, proxy: { '/api': api } },
  build: { target: 'es2023', assetsInlineLimit: 0, sourcemap: false },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
});
