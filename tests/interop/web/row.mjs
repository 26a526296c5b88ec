/// One side of a row of the interop table, in a browser:
///
///   node row.mjs play PAGE PORT NAME SECONDS   plays NAME and prints what was seen and heard
///   node row.mjs publish PAGE PORT NAME        publishes camera and microphone, says "live", and goes on until it is ended
///
/// PAGE: `ours` (the relay's own), or one of this folder: `watch`, `publish`, `net`.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { build } from 'vite';

const HERE = import.meta.dirname;
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--autoplay-policy=no-user-gesture-required',
  '--use-fake-device-for-media-stream',
  '--use-fake-ui-for-media-stream',
];
/// How long a page may take until it plays or publishes.
const PATIENCE = 30_000;
/// Louder than this is sound.
const AUDIBLE = 0.01;

const [action, page, port, name, seconds] = process.argv.slice(2);
const origin = `http://127.0.0.1:${port}`;

/// A script of this folder with all that it needs. What @moq/publish loads where a browser has no encoder stays outside.
async function bundle(entry) {
  const output = await build({
    configFile: false,
    logLevel: 'error',
    root: HERE,
    build: {
      write: false,
      target: 'es2022',
      lib: { entry: join(HERE, `${entry}.js`), name: 'row', formats: ['iife'] },
      rollupOptions: { external: [/^@libav\.js\//, /^@kixelated\//] },
    },
  });
  return [output].flat()[0].output[0].code;
}

/// Serves one page with that script at localhost, a secure context; the address with what the page is asked for.
async function serve(entry) {
  const script = await bundle(entry);
  const server = createServer(({ url }, response) => {
    const isScript = url.endsWith('.js');
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
    response.end(isScript ? script : '<!doctype html><link rel="icon" href="data:,"><body></body><script src="/row.js"></script>');
  });
  server.unref();
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const hash = (await (await fetch(`${origin}/certificate.sha256`)).text()).trim();
  const asked = new URLSearchParams({ name, hash, relay: `https://127.0.0.1:${port}/` });
  return `http://localhost:${server.address().port}/?${asked}`;
}

async function open(browser) {
  const tab = await browser.newPage();
  tab.on('pageerror', (error) => process.stderr.write(`page: ${error.stack ?? error.message}\n`));
  tab.on('console', (message) => {
    if (process.env.VERBOSE || ['error', 'warning'].includes(message.type())) process.stderr.write(`page: ${message.text()}\n`);
  });
  await tab.addInitScript(await readFile(join(HERE, 'sound.js'), 'utf8'));
  const path = action === 'play' ? `/${name}` : `/-/publish?source=camera&height=360&simulcast=0&name=${name}`;
  await tab.goto(page === 'ours' ? `${origin}${path}` : await serve(page));
  return tab;
}

/// Runs in the page: how many different pictures a canvas showed in that time, and in how many looks there was sound.
async function measure({ milliseconds, audible, patience }) {
  const canvasIn = (root) => {
    for (const element of root.querySelectorAll('*')) {
      if (element instanceof HTMLCanvasElement && element.width > 1) return element;
      const inside = element.shadowRoot && canvasIn(element.shadowRoot);
      if (inside) return inside;
    }
    return undefined;
  };
  const small = new OffscreenCanvas(64, 36).getContext('2d', { willReadFrequently: true });
  const look = () => {
    const canvas = canvasIn(document);
    if (!canvas) return undefined;
    small.drawImage(canvas, 0, 0, 64, 36);
    return small.getImageData(0, 0, 64, 36).data.join();
  };
  const rest = () => new Promise((done) => setTimeout(done, 20));
  const first = look();
  const givesUp = performance.now() + patience;
  while (look() === first && performance.now() < givesUp) await rest();
  let pictures = 0;
  let heard = 0;
  let looks = 0;
  let loudest = 0;
  let last = first;
  for (const end = performance.now() + milliseconds; performance.now() < end; await rest()) {
    const now = look();
    if (now !== last) pictures += 1;
    last = now;
    looks += 1;
    const loudness = globalThis.loudness();
    if (loudness > audible) heard += 1;
    loudest = Math.max(loudest, loudness);
  }
  return { pictures, heard: Math.round((100 * heard) / looks), loudest };
}

async function play(tab) {
  const milliseconds = Number(seconds) * 1000;
  if (page === 'net') {
    await tab.waitForFunction(() => globalThis.counts.video?.objects > 0, undefined, { timeout: PATIENCE }).catch(() => {});
    await new Promise((done) => setTimeout(done, milliseconds));
    const counts = await tab.evaluate(() => Object.entries(globalThis.counts));
    const told = counts.map(([kind, { groups, objects }]) => `${kind} ${objects} objects in ${groups} groups`);
    return { well: counts.some(([, { objects }]) => objects > 0), words: told.join(', ') || 'nothing' };
  }
  const { pictures, heard, loudest } = await tab.evaluate(measure, { milliseconds, audible: AUDIBLE, patience: PATIENCE });
  const words = `${pictures} different pictures, sound ${heard} % of the time (peak ${loudest.toFixed(2)})`;
  return { well: pictures > milliseconds / 200 && heard > 0, words };
}

async function goLive(tab) {
  if (page === 'ours') {
    await tab.locator('video').evaluate((preview) => {
      if (preview.videoWidth === 0) return new Promise((done) => preview.addEventListener('loadeddata', done, { once: true }));
    });
    await tab.getByRole('button', { name: 'Go live' }).click();
    await tab.getByText(/^Live at /).waitFor({ timeout: PATIENCE });
  } else {
    await tab.waitForFunction(() => globalThis.version(), undefined, { timeout: PATIENCE });
  }
  process.stdout.write('live\n');
  await new Promise((done) => process.once('SIGTERM', done));
}

const browser = await chromium.launch({
  executablePath: process.env.HARNESS_CHROMIUM ?? '/usr/bin/chromium',
  args: FLAGS,
  handleSIGTERM: false,
});
try {
  const tab = await open(browser);
  if (action === 'publish') {
    await goLive(tab);
  } else {
    const { well, words } = await play(tab);
    const version = await tab.evaluate(() => globalThis.version?.());
    process.stdout.write(`${words} in ${seconds} s${version ? `, ${version}` : ''}\n`);
    process.exitCode = well ? 0 : 1;
  }
} finally {
  await browser.close();
}
