/// The overlay page, of a real mesh of three relays and of a made one of 200.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { answer, large } from '../unit/overlay/mesh';
import { launch, open, picture } from './support/browser';
import { startDemo, startRelay } from './support/relay';

const SOON = { timeout: 30_000 };
let browser: Awaited<ReturnType<typeof launch>>;

beforeAll(async () => {
  browser = await launch();
}, 60_000);
afterAll(() => browser?.close());

test('three relays and their links, asked at one of them', async () => {
  const three = await startDemo('--relays', '3', '--delay', '50ms');
  try {
    const { page, complaints } = await open(browser, `${new URL(three.page).origin}/-/overlay`);
    await page.getByText('3 nodes, 3 links, as relay 3 sees them.').waitFor(SOON);
    expect(await page.locator('.mesh .node .label').allTextContents()).toEqual(
      expect.arrayContaining(['relay 1', 'relay 2', 'relay 3']),
    );
    // The echoes between two relays take a moment; then each link tells its round trip, the long ones a longer one.
    await page.waitForFunction(
      () => [...document.querySelectorAll('.mesh .number')].every((text) => /^\d/.test(text.textContent)),
      undefined,
      SOON,
    );
    expect(await page.locator('.mesh line.link').count()).toBe(3);
    const cells = (index: number) =>
      page.locator('section', { hasText: 'Links' }).locator(`tbody td:nth-child(${index})`);
    expect((await cells(1).allTextContents()).length).toBe(3);
    for (const rtt of await cells(3).allTextContents()) expect(Number.parseFloat(rtt)).toBeGreaterThan(95);
    // Who is nearest to the root is seen in the table as in the picture.
    await page.getByLabel('Shortest ways to').selectOption({ label: 'relay 1' });
    // The first echoes on a busy machine are late; costs settle within some of them.
    const row = page.locator('tr', { has: page.getByRole('button', { name: 'relay 3' }) });
    await row.locator('td:last-child', { hasText: 'relay 2' }).waitFor({ timeout: 60_000 });
    expect(await page.locator('.mesh line.way').count()).toBe(2);
    await picture(page, 'overlay-3');
    expect(complaints).toEqual([]);
    await page.close();
  } finally {
    await three.stop();
  }
}, 120_000);

test('two hundred nodes are drawn apart, what happens is told, and the keyboard keeps its place', async () => {
  const node = await startRelay({ args: ['--public-overlay'] });
  try {
    let told = answer(200, large());
    const { page } = await open(browser, `${node.page}/-/overlay`, { width: 1280, height: 900 });
    await page.route('**/api/v1/overlay', (route) => route.fulfill({ json: told }));
    await page.getByText('200 nodes').waitFor(SOON);
    expect(await page.locator('.mesh circle').count()).toBe(200);
    const button = page.getByRole('button', { name: 'relay 7', exact: true });
    await button.press('Enter');
    await page.locator('.mesh .node.chosen').waitFor(SOON);

    told = { ...told, nodes: told.nodes.filter(({ name }) => name !== 'relay 42') };
    await page.getByRole('log').getByText('relay 42 is gone').waitFor(SOON);
    expect(await page.locator('.mesh circle').count()).toBe(199);
    expect(await page.locator(':focus').textContent()).toBe('relay 7');
    await page.evaluate(() => scrollTo(0, 0));
    await picture(page, 'overlay-200');

    await page.setViewportSize({ width: 390, height: 800 });
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
    await picture(page, 'overlay-200-phone');
    await page.close();
  } finally {
    await node.stop();
  }
}, 120_000);

test('names with markup in them are text, and a relay without a mesh or with nonsense says why there is no picture', async () => {
  const node = await startRelay();
  try {
    const { page } = await open(browser, `${node.page}/-/overlay`);
    await page.getByText('moq relay --public-overlay').waitFor(SOON);
    let body = '{"nodes":7}';
    await page.route('**/api/v1/overlay', (route) => route.fulfill({ contentType: 'application/json', body }));
    await page.getByText('no overlay. Asking again').waitFor(SOON);
    const one = answer(1, []);
    body = JSON.stringify(one).replace('relay 1', '<img src=x id=injected>');
    await page.getByRole('button', { name: '<img src=x id=injected>' }).waitFor(SOON);
    expect(await page.locator('#injected').count()).toBe(0);
    await page.close();
  } finally {
    await node.stop();
  }
}, 120_000);
