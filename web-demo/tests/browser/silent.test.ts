/// A relay that falls silent without a word, as one whose machine stands still: what the pages make of it that do not play.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launch, open } from './support/browser';
import { startMesh } from './support/mesh';
import { drawsMore, keepGaps, longestGap, PATIENCE } from './support/player';
import { startRelay } from './support/relay';
import { goLive } from './support/studio';

/** Seven seconds to be sure, and the way to another relay; and what a busy machine adds. */
const SEND_MS = 36_000;
/** Seven seconds at most to be sure; on a busy machine more. */
const LIST_MS = 27_000;

let browser: Browser;

beforeAll(async () => {
  browser = await launch();
}, 60_000);
afterAll(async () => {
  await browser?.close();
});

test('the publish page goes on at another relay of the mesh', { timeout: 240_000 }, async ({ annotate }) => {
  const [other, own] = await startMesh();
  const query = 'source=pattern&height=360&simulcast=0&name=live/moving';
  const studio = await goLive(browser, own, query);
  const viewer = await open(browser, `${other.page}/live/moving`);
  await drawsMore(viewer.page, 30);
  await keepGaps(viewer.page);

  own.process.signal('SIGSTOP');
  const began = Date.now();
  await studio.page.getByText(new RegExp(`^Live at .+:${other.port}\\.$`)).waitFor({ timeout: PATIENCE });
  const took = Date.now() - began;
  await drawsMore(viewer.page, 30);
  const gap = await longestGap(viewer.page);
  await annotate(`${took} ms until the page sends elsewhere, ${gap} ms without a picture`);
  expect(took).toBeLessThan(SEND_MS);
  await Promise.all([studio.page.close(), viewer.page.close()]);
  await Promise.all([other, own].map((relay) => relay.stop()));
});

test('the front page says that its relay is silent, and lists again when it is back', { timeout: 240_000 }, async ({
  annotate,
}) => {
  const relay = await startRelay();
  const { page } = await open(browser, `${relay.page}/`);
  const status = page.getByRole('status');
  await status.filter({ hasText: 'No broadcast yet' }).waitFor({ timeout: PATIENCE });
  relay.process.signal('SIGSTOP');
  const began = Date.now();
  await status.filter({ hasText: /is gone; looking again|does not answer/ }).waitFor({ timeout: PATIENCE });
  const took = Date.now() - began;
  await annotate(`${took} ms until the page says so`);
  expect(took).toBeLessThan(LIST_MS);
  relay.process.signal('SIGCONT');
  await status.filter({ hasText: 'No broadcast yet' }).waitFor({ timeout: PATIENCE });
  await page.close();
  await relay.stop();
});
