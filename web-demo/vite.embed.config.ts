/// The second build: `<headwater-watch>` with all it needs as one file, `dist/headwater-watch.js`.
import { defineConfig } from 'vite';

const here = import.meta.dirname;

export default defineConfig({
  root: here,
  build: {
    outDir: 'dist',
    // The pages are there already.
    emptyOutDir: false,
    target: 'es2022',
    lib: { entry: `${here}/src/embed/headwater-watch.ts`, formats: ['es'], fileName: () => 'headwater-watch.js' },
  },
});
