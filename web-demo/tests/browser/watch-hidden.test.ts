/// The player in a tab that is not looked at for a while.
import type { CDPSession, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { PlayerStats } from '../../src/media/player/status';
import { launchWindow, visit } from './support/browser';
import { makeClip, RATE } from './support/clip';
import type { Moq } from './support/moq';
import { drawsMore, message, PATIENCE, stats, until } from './support/player';
import { type Relay, startPublisher, startRelay } from './support/relay';

const POLL = { timeout: PATIENCE };
/** One group of the clip, in milliseconds. */
const GROUP = 1000;
/** How long the tab is away, in milliseconds. */
const AWAY = 5000;

let window: Awaited<ReturnType<typeof launchWindow>>;
let relay: Relay;
let publisher: Moq;
/** What stands before the player's tab. */
let front: Page;

beforeAll(async () => {
  let clip: string;
  [window, relay, clip] = await Promise.all([launchWindow(), startRelay(), makeClip()]);
  publisher = startPublisher(relay, 'live/tab', ['--loop', clip]);
  front = await window.tabs.newPage();
}, 120_000);
afterAll(async () => {
  await window?.stop();
  await publisher?.stop();
  await relay?.stop();
}, 60_000);

type Log = { events: string[]; shownAfter?: number };

/** The page writes down what happens to it, and how long the first picture takes once it is seen again. */
async function keepLog(page: Page): Promise<void> {
  await page.evaluate(() => {
    const drawn = () =>
      (document.querySelector('headwater-watch') as (Element & { stats?: PlayerStats }) | null)?.stats?.framesDrawn;
    const log: Log = { events: [] };
    Object.assign(globalThis, { log });
    document.addEventListener('freeze', () => log.events.push('frozen'));
    document.addEventListener('visibilitychange', () => {
      log.events.push(document.visibilityState);
      if (document.visibilityState === 'hidden') return;
      const since = performance.now();
      const before = drawn();
      const look = () => {
        if (drawn() === before) requestAnimationFrame(look);
        else log.shownAfter = Math.round(performance.now() - since);
      };
      look();
    });
  });
}

/** Fails if the page was loaded anew since `keepLog`. */
async function log(page: Page): Promise<Log> {
  const log = await page.evaluate(() => (globalThis as { log?: Log }).log);
  if (!log) throw new Error('the page was loaded anew');
  return log;
}

async function back(page: Page): Promise<number> {
  await page.bringToFront();
  await expect.poll(async () => (await log(page)).shownAfter, POLL).toBeDefined();
  await drawsMore(page, RATE);
  expect(await message(page)).toBe('');
  await until(page, 'near the live edge again', ({ latency }) => (latency ?? PATIENCE) < GROUP);
  return (await log(page)).shownAfter ?? Number.NaN;
}

test('a hidden tab is heard on, and shows the picture at once when it is seen again', { timeout: 240_000 }, async ({
  annotate,
}) => {
  const { page, complaints } = await visit(await window.tabs.newPage(), `${relay.page}/live/tab`);
  await drawsMore(page, RATE);
  await keepLog(page);

  await front.bringToFront();
  await expect.poll(async () => (await log(page)).events, POLL).toEqual(['hidden']);
  const hidden = await stats(page);
  await expect.poll(async () => (await stats(page))?.position, POLL).toBeGreaterThan((hidden?.position ?? 0) + AWAY);
  await expect.poll(async () => (await stats(page))?.level, POLL).toBeGreaterThan(0.05);
  // Nothing is decoded that nobody sees.
  expect((await stats(page))?.framesDrawn).toBeLessThanOrEqual((hidden?.framesDrawn ?? 0) + 1);

  const shownAfter = await back(page);
  await annotate(`${shownAfter} ms to the first picture`);
  expect(shownAfter).toBeLessThan(GROUP);
  expect((await log(page)).events).toEqual(['hidden', 'visible']);
  expect(complaints).toEqual([]);
  await page.close();
});

test('a tab that the browser froze connects again by itself', { timeout: 240_000 }, async ({ annotate }) => {
  const { page, complaints } = await visit(await window.tabs.newPage(), `${relay.page}/live/tab`);
  await drawsMore(page, RATE);
  await keepLog(page);

  await front.bringToFront();
  await expect.poll(async () => (await log(page)).events, POLL).toEqual(['hidden']);
  const devtools: CDPSession = await window.tabs.newCDPSession(page);
  await devtools.send('Page.setWebLifecycleState', { state: 'frozen' });
  await expect.poll(async () => (await log(page)).events, POLL).toEqual(['hidden', 'frozen']);
  const since = await page.evaluate(() => performance.now());
  await expect.poll(() => page.evaluate(() => performance.now()), POLL).toBeGreaterThan(since + AWAY);
  await devtools.send('Page.setWebLifecycleState', { state: 'active' });

  const shownAfter = await back(page);
  await annotate(`${shownAfter} ms to the first picture`);
  // A connection, and a group.
  expect(shownAfter).toBeLessThan(2 * GROUP);
  expect(complaints).toEqual([]);
  await page.close();
});
