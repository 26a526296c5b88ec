/// The watch page in a real browser: it plays, in time and in step, and goes on when the publisher starts over.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launch, open, picture } from './support/browser';
import { makeClip, pictureNumber, RATE } from './support/clip';
import type { Moq } from './support/moq';
import { keepGaps, longestGap, message, PATIENCE, stats, until } from './support/player';
import { type Relay, startPublisher, startRelay } from './support/relay';

const NAME = 'live/counter';

let browser: Browser;
let node: Relay;
let clip: string;

beforeAll(async () => {
  [browser, node, clip] = await Promise.all([launch(), startRelay(), makeClip()]);
}, 120_000);
afterAll(async () => {
  await browser?.close();
  await node?.stop();
}, 60_000);

function publish(): Moq {
  return startPublisher(node, NAME, ['--loop', clip]);
}

test('a broadcast plays in real time, picture and sound in step', { timeout: 180_000 }, async () => {
  const publisher = publish();
  const { page, complaints } = await open(browser, `${node.page}/${NAME}`);
  const first = await until(
    page,
    'playing',
    ({ framesDrawn, avOffset }) => framesDrawn > 2 * RATE && avOffset !== undefined,
  );
  const before = await pictureNumber(page);
  const levels: number[] = [];
  const offsets: number[] = [];
  const later = await until(page, 'five seconds further', ({ level, avOffset, position }) => {
    levels.push(level);
    offsets.push(...(avOffset === undefined ? [] : [avOffset]));
    return (position ?? 0) - (first.position ?? 0) > 5000;
  });
  const after = await pictureNumber(page);
  await page.keyboard.press('Tab');
  await page.locator('headwater-watch').getByRole('button', { name: 'Statistics' }).click();
  await page.locator('headwater-watch dd').first().filter({ hasText: 'ms' }).waitFor();
  await picture(page, 'watch');

  expect(before).toBeDefined();
  expect(after).not.toBe(before);
  const media = (later.position ?? 0) - (first.position ?? 0);
  expect(Math.abs(media / (later.now - first.now) - 1)).toBeLessThan(0.1);
  expect(later.framesDrawn - first.framesDrawn).toBeGreaterThan(2 * RATE);
  // Beeps, and silence between them.
  expect(levels.filter((level) => level > 0.05).length).toBeGreaterThan(2);
  expect(levels.filter((level) => level < 0.01).length).toBeGreaterThan(2);
  offsets.sort((a, b) => a - b);
  expect(Math.abs(offsets[Math.floor(offsets.length / 2)] ?? Number.NaN)).toBeLessThanOrEqual(40);
  expect(later.latency).toBeLessThan(1000);
  expect(complaints).toEqual([]);
  await page.close();
  await publisher.stop();
});

test('the page waits for a broadcast, plays it, and goes on when its publisher starts over', {
  timeout: 240_000,
}, async () => {
  const { page, complaints } = await open(browser, `${node.page}/${NAME}`);
  await expect.poll(() => message(page), { timeout: PATIENCE }).toMatch(/starts here by itself/);
  await keepGaps(page);
  for (const round of [1, 2]) {
    const before = (await stats(page))?.framesDrawn ?? 0;
    const publisher = publish();
    await until(page, `playing in round ${round}`, ({ framesDrawn }) => framesDrawn > before + RATE);
    expect(await message(page)).toBe('');
    await publisher.stop();
    await expect.poll(() => message(page), { timeout: PATIENCE }).toMatch(/has paused/);
  }
  // It was never loaded anew.
  expect(await longestGap(page)).toBeGreaterThan(0);
  expect(complaints).toEqual([]);
  await page.close();
});

test('the front page lists broadcasts as they come and go', { timeout: 120_000 }, async () => {
  const { page, complaints } = await open(browser, `${node.page}/`);
  const link = page.getByRole('link', { name: NAME });
  const publisher = publish();
  await link.waitFor({ timeout: PATIENCE });
  await picture(page, 'front');
  await publisher.stop();
  await link.waitFor({ state: 'detached', timeout: PATIENCE });
  expect(complaints).toEqual([]);
  await page.close();
});
