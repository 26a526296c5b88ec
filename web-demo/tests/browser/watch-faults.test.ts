/// What may go wrong while watching: the relay ends, and catalogs that nobody should have sent.
import { open as openFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { exceptions, launch, open, picture } from './support/browser';
import { makeClip, pictureNumber, RATE } from './support/clip';
import { run, scratch } from './support/files';
import { Link } from './support/link';
import { startMesh } from './support/mesh';
import { drawsMore, keepGaps, longestGap, message, PATIENCE, until } from './support/player';
import { startPublisher, startRelay } from './support/relay';

let browser: Browser;
let clip: string;

beforeAll(async () => {
  [browser, clip] = await Promise.all([launch(), makeClip()]);
}, 120_000);
afterAll(async () => {
  await browser?.close();
}, 60_000);

test('the page turns to another relay when its own ends', { timeout: 240_000 }, async ({ annotate }) => {
  const [one, other] = await Promise.all([startRelay(), startRelay()]);
  const publishers = [one, other].map((relay) => startPublisher(relay, 'live/two', ['--loop', clip]));
  const also = encodeURIComponent(`https://localhost:${other.port}/#sha256=${other.hash}`);
  const { page } = await open(browser, `${one.page}/live/two?also=${also}`, { width: 390, height: 780 });
  await drawsMore(page, RATE);
  await picture(page, 'watch-phone');
  expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);

  await keepGaps(page);
  await one.stop();
  await until(page, 'at the other relay', ({ relay }) => relay.includes(String(other.port)));
  await drawsMore(page, RATE);
  await annotate(`${await longestGap(page)} ms without a picture while the relay ends`);
  await page.close();
  await Promise.all([...publishers, other].map((running) => running.stop()));
});

test.for([
  ['is killed', 'SIGKILL'],
  ['stands still', 'SIGSTOP'],
] as const)(
  'the page plays on through another relay of the mesh when its own %s',
  { timeout: 240_000 },
  async ([what, signal], { annotate }) => {
    const [other, own] = await startMesh();
    const publisher = startPublisher(other, 'live/mesh', ['--loop', clip]);
    const { page } = await open(browser, `${own.page}/live/mesh`);
    await drawsMore(page, RATE);
    await keepGaps(page);

    own.process.signal(signal);
    await until(page, 'at the other relay', ({ relay }) => relay.includes(String(other.port)));
    await drawsMore(page, RATE);
    expect(await message(page)).toBe('');
    const gap = await longestGap(page);
    await annotate(`${gap} ms without a picture after the relay ${what}`);
    // Some four seconds to be sure, and the way to the other; the browser alone believes in a silent relay for ten.
    expect(gap).toBeLessThan(8000);
    await page.close();
    await Promise.all([publisher, other, own].map((running) => running.stop()));
  },
);

test('the page looks at another relay for a broadcast that pauses, and comes back', { timeout: 240_000 }, async () => {
  const [other, own] = await startMesh();
  const publisher = startPublisher(other, 'live/paused', ['--loop', clip]);
  const { page, complaints } = await open(browser, `${own.page}/live/paused`);
  await drawsMore(page, RATE);
  await publisher.stop();
  await page.locator('headwater-watch .message').filter({ hasText: 'has paused' }).waitFor({ timeout: PATIENCE });
  await until(page, 'at the other relay', ({ relay }) => relay.includes(String(other.port)));
  await until(page, 'back at its own', ({ relay }) => relay.includes(String(own.port)));
  const again = startPublisher(other, 'live/paused', ['--loop', clip]);
  await drawsMore(page, RATE);
  expect(await message(page)).toBe('');
  // The other's pages come with a certificate that the browser does not know.
  expect(exceptions(complaints)).toEqual([]);
  await page.close();
  await Promise.all([again, other, own].map((running) => running.stop()));
});

test('the page says that its only relay is silent, and goes on when it is back', { timeout: 240_000 }, async () => {
  const relay = await startRelay();
  const publisher = startPublisher(relay, 'live/only', ['--loop', clip]);
  const { page } = await open(browser, `${relay.page}/live/only`);
  await drawsMore(page, RATE);
  await keepGaps(page);
  relay.process.signal('SIGSTOP');
  await expect.poll(() => message(page), { timeout: PATIENCE }).toMatch(/does not answer: .+ Trying again …$/);
  relay.process.signal('SIGCONT');
  await drawsMore(page, RATE);
  expect(await longestGap(page)).toBeGreaterThan(0);
  await page.close();
  await Promise.all([publisher, relay].map((running) => running.stop()));
});

test('the page plays on over a way that takes 50 ms and loses 2 % of its packets', { timeout: 240_000 }, async ({
  annotate,
}) => {
  const relay = await startRelay();
  const link = await Link.start(relay.port, { delayMs: 50, loss: 0.02 });
  const publisher = startPublisher(link, 'live/far', ['--loop', clip]);
  const { page, complaints } = await open(browser, `${link.page}/live/far`);
  const first = await until(page, 'playing', ({ framesDrawn, level }) => framesDrawn > RATE && level > 0.05);
  await keepGaps(page);
  const before = await pictureNumber(page);
  const levels: number[] = [];
  const later = await until(page, 'ten seconds further', ({ level, position }) => {
    levels.push(level);
    return (position ?? 0) - (first.position ?? 0) > 10_000;
  });
  const gap = await longestGap(page);
  const counted = `${later.groupsSkipped} groups skipped, ${later.stalls} stalls, ${later.framesDropped} pictures dropped`;
  await annotate(`${link.lost} packets lost: ${counted}, latency ${later.latency} ms, longest gap ${gap} ms`);
  expect(await pictureNumber(page)).not.toBe(before);
  expect(link.lost).toBeGreaterThan(10);
  expect(gap).toBeLessThan(3000);
  expect(later.framesDrawn - first.framesDrawn).toBeGreaterThan(5 * RATE);
  // Beeps, and silence between them.
  expect(levels.filter((level) => level > 0.05).length).toBeGreaterThan(2);
  expect(levels.filter((level) => level < 0.01).length).toBeGreaterThan(2);
  expect(complaints).toEqual([]);
  await page.close();
  await Promise.all([publisher.stop(), link.stop()]);
  await relay.stop();
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
  [
    'a sample rate that no loudspeaker has',
    '{"version":"draft-01","tracks":[{"name":"a","packaging":"loc","codec":"opus","role":"audio","samplerate":100}]}',
    /its sound cannot be played in this browser/,
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
