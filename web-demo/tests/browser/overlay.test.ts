/// The overlay page, of a real mesh of three relays and of a made one of 200.
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { namespaceHash } from '../../src/overlay/hash';
import { readMesh } from '../../src/overlay/model';
import { waysTo } from '../../src/overlay/ways';
import { answer, id, large } from '../unit/overlay/mesh';
import { exceptions, launch, open, picture } from './support/browser';
import { startLine } from './support/mesh';
import { Moq } from './support/moq';
import { startDemo, startPublisher, startRelay } from './support/relay';

const SOON = { timeout: 30_000 };
/** Costs, and what is pulled, settle within some echoes; on a busy machine they turn once more. */
const SETTLED = { timeout: 60_000 };
let browser: Awaited<ReturnType<typeof launch>>;

beforeAll(async () => {
  browser = await launch();
}, 60_000);
afterAll(() => browser?.close());

/** Waits until the table says this of these nodes, in its last column. */
async function tells(page: Page, expected: Readonly<Record<string, string>>): Promise<void> {
  for (const [node, words] of Object.entries(expected)) {
    const row = page.locator('tr', { has: page.getByRole('button', { name: node, exact: true }) });
    await row.locator('td:last-child').getByText(words, { exact: true }).waitFor(SETTLED);
  }
}

/** The arrows of the picture, in words. */
async function arrows(page: Page): Promise<string[]> {
  return (await page.locator('.mesh line.pull title').allTextContents()).sort();
}

/** A broadcast of relay 18 that every fourth node wants, by the shortest ways. */
function withTree(told: ReturnType<typeof answer>, hash: string) {
  const mesh = readMesh(told);
  const ways = mesh === undefined ? new Map() : waysTo(mesh, id(17));
  const pullers = new Set<string>();
  for (const { node } of told.nodes.filter((_, index) => index % 4 === 0)) {
    for (let at: string | undefined = node; at !== undefined && at !== id(17); at = ways.get(at)) pullers.add(at);
  }
  const nodes = told.nodes.map((node) => {
    const pulls = [...(pullers.has(node.node) ? [{ hash, from: ways.get(node.node) }] : [])];
    return { ...node, pulls: node.node === id(17) ? [{ hash, from: null }] : pulls };
  });
  return { ...told, nodes };
}

test('three relays and their links, asked at one of them', async () => {
  const three = await startDemo('--relays', '3', '--delay', '50ms');
  try {
    const { page, complaints } = await open(browser, `${new URL(three.page).origin}/-/overlay`);
    await page.getByText('3 nodes, 3 links, as relay 3 sees them.').waitFor(SOON);
    expect(await page.locator('.mesh .label').allTextContents()).toEqual(
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
    // The only broadcast is shown by itself, as it really flows. The first echoes on a busy machine are late; costs, and the
    // tree with them, settle within some of them.
    await tells(page, { 'relay 1': 'published here', 'relay 2': 'relay 1', 'relay 3': 'relay 2' });
    await page.getByText('demo is published at relay 1; 2 relays pull it.').waitFor(SOON);
    await expect
      .poll(() => arrows(page), SETTLED)
      .toEqual(['relay 2 pulls from relay 1', 'relay 3 pulls from relay 2']);
    expect(await page.locator('.mesh .node.publisher').textContent()).toContain('relay 1');
    await picture(page, 'overlay-3');

    await page.getByLabel('Show', { exact: true }).selectOption({ label: 'relay 2' });
    await tells(page, { 'relay 1': 'relay 2', 'relay 2': '–', 'relay 3': 'relay 2' });
    expect(await page.locator('.mesh line.way').count()).toBe(2);
    await expect.poll(() => arrows(page), SETTLED).toEqual([]);
    // The demo listens on IPv4 alone, and the page looks for its relay at localhost first.
    expect(exceptions(complaints)).toEqual([]);
    await page.close();
  } finally {
    await three.stop();
  }
}, 120_000);

test('when a relay dies, any other one tells who turned, and the tree that is left', async () => {
  const { relays, stop } = await startLine();
  const [first, second, third] = relays;
  const publisher = startPublisher(first, 'live/room', ['--lines', '--track', 'chat']);
  let viewer: Moq | undefined;
  try {
    await publisher.says(/publishing live/);
    const near = await open(browser, `${first.page}/-/overlay`);
    await near.page.getByText('live/room is published at relay 1; no other relay pulls it.').waitFor(SOON);
    viewer = new Moq([
      'subscribe',
      '--insecure',
      '--lines',
      '--track',
      'chat',
      `https://localhost:${third.port}/live/room`,
    ]);
    const far = await open(browser, `${third.page}/-/overlay`);
    const pages = [near.page, far.page];
    for (const page of pages) {
      await tells(page, { 'relay 1': 'published here', 'relay 2': 'relay 1', 'relay 3': 'relay 2' });
      await expect
        .poll(() => arrows(page), SETTLED)
        .toEqual(['relay 2 pulls from relay 1', 'relay 3 pulls from relay 2']);
    }
    await second.process.end('SIGKILL');
    for (const page of pages) {
      await page.getByRole('log').getByText('relay 3 now pulls from relay 1').first().waitFor(SOON);
      await page.getByRole('log').getByText('relay 2 is gone').waitFor(SOON);
      await tells(page, { 'relay 1': 'published here', 'relay 3': 'relay 1' });
      await page.getByText('live/room is published at relay 1; 1 relay pulls it.').waitFor(SOON);
      await expect.poll(() => arrows(page), SETTLED).toEqual(['relay 3 pulls from relay 1']);
    }
    await picture(far.page, 'overlay-switch');

    // What is in no menu can be asked for by name.
    await far.page.getByLabel('or a broadcast by name').fill('nowhere');
    await far.page.getByRole('button', { name: 'Show its tree' }).click();
    await far.page.getByText('No relay says that it has nowhere.').waitFor(SOON);
    await expect.poll(() => arrows(far.page), SETTLED).toEqual([]);
    await far.page.getByLabel('Show', { exact: true }).selectOption({ label: 'live/room' });
    await tells(far.page, { 'relay 3': 'relay 1' });
    expect([...near.complaints, ...far.complaints]).toEqual([]);
    for (const page of pages) await page.close();
  } finally {
    await viewer?.stop();
    await publisher.stop();
    await stop();
  }
}, 180_000);

test('two hundred nodes are drawn apart, what happens is told, and the keyboard keeps its place', async () => {
  const node = await startRelay({ args: ['--public-overlay'] });
  try {
    let told = withTree(answer(200, large()), await namespaceHash(['live', 'cam']));
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

    await page.getByLabel('or a broadcast by name').fill('live/cam');
    await page.getByRole('button', { name: 'Show its tree' }).click();
    const pullers = told.nodes.filter(({ pulls }) => pulls.some(({ from }) => from !== null)).length;
    await page.getByText(`live/cam is published at relay 18; ${pullers} relays pull it.`).waitFor(SOON);
    expect(await page.locator('.mesh .node.puller').count()).toBe(pullers);
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
