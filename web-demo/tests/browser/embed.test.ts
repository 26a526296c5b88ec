/// The example of an embedded player, and the other relays that the demo names: each of them opened once.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launch, open, picture } from './support/browser';
import { drawsMore, message } from './support/player';
import { startDemo } from './support/relay';

let browser: Browser;
let demo: Awaited<ReturnType<typeof startDemo>>;

beforeAll(async () => {
  [browser, demo] = await Promise.all([launch(), startDemo('--relays', '3', '--delay', '5ms')]);
}, 120_000);
afterAll(async () => {
  await browser?.close();
  await demo?.stop();
}, 60_000);

/** Relays of the demo listen on this address alone. */
const at = (port: string) => `http://127.0.0.1:${port}`;

test('the example page plays what its two lines say', { timeout: 120_000 }, async () => {
  const { port } = new URL(demo.page);
  const { page, complaints } = await open(browser, `${at(port)}/-/embed`);
  const lines = await page.locator('#lines').textContent();
  expect(lines).toContain(`src="https://127.0.0.1:${port}/-/headwater-watch.js"`);
  // Without a name in the address, the demo's own clip.
  expect(lines).toContain(`<headwater-watch src="https://127.0.0.1:${port}/demo">`);
  // Nothing begins by itself without the attribute autoplay.
  await page.locator('headwater-watch button.start').click();
  await drawsMore(page, 25);
  expect(await message(page)).toBe('');
  await picture(page, 'embed');
  expect(complaints).toEqual([]);
  await page.close();
});

test('the relays that the demo names play the clip too', { timeout: 180_000 }, async () => {
  const { port } = new URL(demo.page);
  const answer = await fetch(`${at(port)}/api/v1/alternates`);
  const alternates = (await answer.json()) as { url: string; sha256?: string }[];
  expect(alternates).toHaveLength(2);
  for (const { url, sha256 } of alternates) {
    expect(sha256).toMatch(/^[0-9a-f]{64}$/);
    const { page, complaints } = await open(browser, `${at(new URL(url).port)}/demo`);
    const { relay } = await drawsMore(page, 25);
    expect(new URL(relay).host).toBe(new URL(url).host);
    expect(complaints).toEqual([]);
    await page.close();
  }
});
