/// What `moq demo` tells people to open: the clip plays, the mesh is to be seen, and relays may go. `--kill` silences a relay
/// between the ends, never the one of the page, and all of them are one process; so the page's own relay goes by the way to it.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { exceptions, launch, open } from './support/browser';
import { Link } from './support/link';
import { drawsMore, keepGaps, longestGap, message, PATIENCE, until } from './support/player';
import { startDemo } from './support/relay';

/** Of the clip that is built in. */
const RATE = 25;
/** Four seconds to be sure that a relay is silent, and the way to the next one; and what a busy machine adds. */
const TURN_MS = 24_000;
/** A relay on the way is done without in less than a second; until the page has a group to begin with, another two. Busy too. */
const AROUND_MS = 12_000;
/** Late enough that the page plays by then. */
const KILL = '--kill=20';

let browser: Browser;

beforeAll(async () => {
  browser = await launch();
}, 60_000);
afterAll(() => browser?.close());

test('its page plays the clip, and plays on when the relay that it came from is gone', { timeout: 240_000 }, async ({
  annotate,
}) => {
  const demo = await startDemo('--relays', '3');
  const link = await Link.start(Number(new URL(demo.page).port), {});
  const front = await open(browser, `${link.page}/`);
  await front.page.getByRole('link', { name: 'See the overlay' }).click();
  await front.page.getByText(/^3 nodes, 3 links, /).waitFor({ timeout: PATIENCE });
  await front.page.getByRole('link', { name: 'Headwater' }).click();
  await front.page.getByRole('link', { name: 'demo', exact: true }).click();
  const { page, complaints } = front;
  const { relay: first } = await drawsMore(page, RATE);
  expect(new URL(first).port).toBe(String(link.port));
  expect(complaints).toEqual([]);
  await keepGaps(page);

  link.weather = { cut: true };
  const { relay: second } = await until(page, 'at another relay', ({ relay }) => relay !== first && relay !== '');
  await drawsMore(page, RATE);
  const told = (await (await fetch(`${link.page}/api/v1/alternates`)).json()) as { readonly url: string }[];
  expect(told.map(({ url }) => new URL(url).host)).toContain(new URL(second).host);
  expect(await message(page)).toBe('');
  const gap = await longestGap(page);
  await annotate(`${gap} ms without a picture`);
  expect(gap).toBeLessThan(TURN_MS);
  await page.close();
  await Promise.all([demo.stop(), link.stop()]);
});

test('its page plays on when a relay on the way falls silent', { timeout: 240_000 }, async ({ annotate }) => {
  const demo = await startDemo('--relays', '3', '--delay', '50ms', KILL);
  const { page, complaints } = await open(browser, demo.page);
  await drawsMore(page, RATE);
  await keepGaps(page);
  expect(demo.process.said).not.toContain('falls silent');
  await demo.process.says(/relay 2 falls silent on the way 1-2-3\n[\s\S]*way 1-3/);
  await drawsMore(page, 2 * RATE);
  const gap = await longestGap(page);
  await annotate(`${gap} ms without a picture`);
  expect(gap).toBeLessThan(AROUND_MS);
  expect(await message(page)).toBe('');
  // It listens at 127.0.0.1 alone, and `localhost` is tried at ::1 first.
  expect(exceptions(complaints)).toEqual([]);
  await page.close();
  await demo.stop();
});

test('a page of the relay that falls silent to the others finds the clip at one of them', { timeout: 240_000 }, async ({
  annotate,
}) => {
  const demo = await startDemo('--relays', '3', '--delay', '50ms', KILL);
  const told = (await (await fetch(`${new URL(demo.page).origin}/api/v1/alternates`)).json()) as {
    readonly url: string;
  }[];
  const middle = new URL(told[0]?.url ?? '').host;
  const { page, complaints } = await open(browser, `http://${middle}/demo`);
  await drawsMore(page, RATE);
  await keepGaps(page);
  expect(demo.process.said).not.toContain('falls silent');
  await demo.process.says(/relay 2 falls silent/);
  await until(page, 'at another relay', ({ relay }) => relay !== '' && new URL(relay).host !== middle);
  await drawsMore(page, RATE);
  await annotate(`${await longestGap(page)} ms without a picture`);
  expect(await message(page)).toBe('');
  expect(exceptions(complaints)).toEqual([]);
  await page.close();
  await demo.stop();
});
