/// What may go wrong while watching: the relay ends.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { PlayerStats } from '../../src/media/player/status';
import { launch, open, picture } from './support/browser';
import { makeClip } from './support/clip';
import { moq, relay } from './support/moq';

const PATIENCE = 60_000;

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
