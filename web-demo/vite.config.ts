/// The build: every page of this folder (`*.html`) becomes a page of `dist`, what they share goes to `dist/assets`.
/// The relay serves `dist` under `/-/`, hence the base.
import { readdirSync } from 'node:fs';
import { defineConfig } from 'vite';

const here = import.meta.dirname;
const pages = readdirSync(here).filter((name) => name.endsWith('.html'));

export default defineConfig({
  root: here,
  base: '/-/',
  build: {
    outDir: 'dist',
    assetsDir: 'assets',
    // The content security policy of the relay forbids inline and data: scripts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: 'es2022',
    rolldownOptions: { input: pages.map((name) => `${here}/${name}`) },
  },
  worker: { format: 'es' },
});
