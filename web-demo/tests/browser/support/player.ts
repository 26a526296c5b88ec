/// What a test sees of the player on a page: its numbers and its words.
import type { Page } from 'playwright-core';
import type { PlayerStats } from '../../../src/media/player/status';

/** How long a test waits for what must come, on a busy machine too. */
export const PATIENCE = 60_000;

/** The player's numbers, at `now` of the page's clock in milliseconds. */
export type Stats = PlayerStats & { readonly now: number };

export function stats(page: Page): Promise<Stats | undefined> {
  return page.evaluate(() => {
    const player = document.querySelector('headwater-watch') as (Element & { stats?: PlayerStats }) | null;
    return player?.stats && { ...player.stats, now: performance.now() };
  });
}

/** Waits until the numbers are as wanted; the browser looks, frame by frame, so nothing depends on how long it takes. */
export async function until(page: Page, what: string, wanted: (stats: Stats) => boolean): Promise<Stats> {
  const end = Date.now() + PATIENCE;
  for (let last = await stats(page); Date.now() < end; last = await stats(page)) {
    if (last !== undefined && wanted(last)) return last;
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(done)));
  }
  throw new Error(`never ${what}: ${await message(page)} ${JSON.stringify(await stats(page))}`);
}

/** Waits until `count` more pictures are drawn than now. */
export async function drawsMore(page: Page, count: number): Promise<Stats> {
  const before = (await stats(page))?.framesDrawn ?? 0;
  return until(page, `${count} pictures further`, ({ framesDrawn }) => framesDrawn >= before + count);
}

/** What the player says; empty while all is well. */
export async function message(page: Page): Promise<string> {
  return (await page.locator('headwater-watch .message').textContent()) ?? '';
}

type Keeper = { longestGap?: number };

/** From now on the page keeps the longest time without a new picture. What it keeps is gone if it is loaded anew. */
export async function keepGaps(page: Page): Promise<void> {
  await page.evaluate(() => {
    const keeper = globalThis as Keeper;
    const drawn = () =>
      (document.querySelector('headwater-watch') as (Element & { stats?: PlayerStats }) | null)?.stats?.framesDrawn;
    let before = drawn();
    let since = performance.now();
    keeper.longestGap = 0;
    const look = () => {
      const now = performance.now();
      keeper.longestGap = Math.max(keeper.longestGap ?? 0, now - since);
      if (drawn() !== before) {
        before = drawn();
        since = now;
      }
      requestAnimationFrame(look);
    };
    look();
  });
}

/** The longest time without a new picture since `keepGaps`, in milliseconds; fails if the page was loaded anew. */
export async function longestGap(page: Page): Promise<number> {
  const longest = await page.evaluate(() => (globalThis as Keeper).longestGap);
  if (longest === undefined) throw new Error('the page was loaded anew');
  return Math.round(longest);
}
