/// What may go wrong while watching: the relay ends, and catalogs that nobody should have sent.
import { open as openFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launch, open, picture } from './support/browser';
import { makeClip, RATE } from './support/clip';
import { run, scratch } from './support/files';
import { drawsMore, PATIENCE, until } from './support/player';
import { startPublisher, startRelay } from './support/relay';

let browser: Browser;
let clip: string;

beforeAll(async () => {
  [browser, clip] = await Promise.all([launch(), makeClip()]);
}, 120_000);
afterAll(async () => {
  await browser?.close();
}, 60_000);

test('the page turns to another relay when its own ends', { timeout: 240_000 }, async () => {
  const [one, other] = await Promise.all([startRelay(), startRelay()]);
  const publishers = [one, other].map((relay) => startPublisher(relay, 'live/two', ['--loop', clip]));
  const also = encodeURIComponent(`https://localhost:${other.port}/#sha256=${other.hash}`);
  const { page } = await open(browser, `${one.page}/live/two?also=${also}`, { width: 390, height: 780 });
  await drawsMore(page, RATE);
  await picture(page, 'watch-phone');
  expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);

  await one.stop();
  await until(page, 'at the other relay', ({ relay }) => relay.includes(String(other.port)));
  await drawsMore(page, RATE);
  await page.close();
  await Promise.all([...publishers, other].map((running) => running.stop()));
});

test.each([
  ['no JSON', '{"tracks', /no valid MSF JSON/],
  ['an unknown version', '{"version":"9","tracks":[]}', /version that is not known/],
  ['no tracks', '{"version":"draft-01","tracks":[]}', /nothing that can be played/],
  [
    'an unknown codec and markup in its name',
    '{"tracks":[{"name":"<img src=x>","packaging":"loc","codec":"zzzz.1","role":"video"}]}',
    /decodes none/,
  ],
])('a catalog with %s gets a message, and no error', { timeout: 120_000 }, async (_what, catalog, words) => {
  const node = await startRelay();
  // A pipe with a name: the publisher stays while somebody may write to it.
  const lines = join(scratch(), 'catalog');
  await run('mkfifo', [lines]);
  const pipe = await openFile(lines, 'r+');
  await pipe.write(`${catalog}\n`);
  const track = ['--lines', '--track', 'catalog'];
  const publisher = startPublisher(node, 'live/odd', [...track, lines]);
  const { page, complaints } = await open(browser, `${node.page}/live/odd`);
  await page.locator('headwater-watch .message').filter({ hasText: words }).waitFor({ timeout: PATIENCE });
  expect(await page.locator('headwater-watch img').count()).toBe(0);
  expect(complaints).toEqual([]);
  await page.close();
  await Promise.all([publisher.stop(), node.stop()]);
  await pipe.close();
});
