/// What may go wrong while watching: the relay ends, and catalogs that nobody should have sent.
import { execFile } from 'node:child_process';
import { mkdtemp, open as openFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { PlayerStats } from '../../src/media/player/status';
import { launch, open, picture } from './support/browser';
import { makeClip } from './support/clip';
import { moq, relay } from './support/moq';

const PATIENCE = 60_000;
const run = promisify(execFile);

let browser: Browser;
let clip: string;

beforeAll(async () => {
  [browser, clip] = await Promise.all([launch(), makeClip()]);
}, 120_000);
afterAll(async () => {
  await browser?.close();
}, 60_000);

function stats(page: Page): Promise<PlayerStats | undefined> {
  return page.evaluate(
    () => (document.querySelector('headwater-watch') as (Element & { stats?: PlayerStats }) | null)?.stats,
  );
}

const drawn = async (page: Page) => (await stats(page))?.framesDrawn ?? 0;

test('the page turns to another relay when its own ends', { timeout: 240_000 }, async () => {
  const [one, other] = await Promise.all([relay(), relay()]);
  const publishers = await Promise.all(
    [one, other].map(({ port }) => moq('publish', '--insecure', '--loop', `https://localhost:${port}/live/two`, clip)),
  );
  const hash = (await (await fetch(`${other.page}/certificate.sha256`)).text()).trim();
  const also = encodeURIComponent(`https://localhost:${other.port}/#sha256=${hash}`);
  const { page } = await open(browser, `${one.page}/live/two?also=${also}`, { width: 390, height: 780 });
  await expect.poll(() => drawn(page), { timeout: PATIENCE }).toBeGreaterThan(25);
  await picture(page, 'watch-phone');
  expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);

  await one.stop();
  await expect.poll(async () => (await stats(page))?.relay, { timeout: PATIENCE }).toContain(String(other.port));
  const before = await drawn(page);
  await expect.poll(() => drawn(page), { timeout: PATIENCE }).toBeGreaterThan(before + 25);
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
  const node = await relay();
  // A pipe with a name: the publisher stays while somebody may write to it.
  const lines = join(await mkdtemp(join(tmpdir(), 'headwater-lines-')), 'catalog');
  await run('mkfifo', [lines]);
  const pipe = await openFile(lines, 'r+');
  await pipe.write(`${catalog}\n`);
  const track = ['--lines', '--track', 'catalog'];
  const publisher = await moq('publish', '--insecure', ...track, `https://localhost:${node.port}/live/odd`, lines);
  const { page, complaints } = await open(browser, `${node.page}/live/odd`);
  await page.locator('headwater-watch .message').filter({ hasText: words }).waitFor({ timeout: PATIENCE });
  expect(await page.locator('headwater-watch img').count()).toBe(0);
  expect(complaints).toEqual([]);
  await page.close();
  await Promise.all([publisher.stop(), node.stop()]);
  await pipe.close();
});
