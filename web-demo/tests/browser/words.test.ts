/// What pages say when there is nothing to watch, no way to the relay, or no leave to publish.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { exceptions, launch, open } from './support/browser';
import { makeClip, RATE } from './support/clip';
import { Link } from './support/link';
import { drawsMore, PATIENCE } from './support/player';
import { type Relay, startPublisher, startRelay } from './support/relay';

const TOKEN = 'the right one';

let browser: Browser;
let relay: Relay;

beforeAll(async () => {
  [browser, relay] = await Promise.all([launch(), startRelay({ args: ['--publish-token', TOKEN] })]);
}, 90_000);
afterAll(async () => {
  await browser?.close();
  await relay?.stop();
});

/** Waits until the player says so. */
async function says(page: Page, words: RegExp): Promise<void> {
  await page.locator('headwater-watch .message').filter({ hasText: words }).waitFor({ timeout: PATIENCE });
}

test('a broadcast that is not there is waited for', { timeout: 120_000 }, async () => {
  const { page, complaints } = await open(browser, `${relay.page}/live/nobody`);
  await says(page, /^There is no broadcast live\/nobody yet. It starts here by itself as soon as it is there.$/);
  expect(complaints).toEqual([]);
  await page.close();
});

test('a network that lets no UDP through is told of, and playing begins when it does', {
  timeout: 240_000,
}, async () => {
  const link = await Link.start(relay.port, { cut: true });
  const publisher = startPublisher(relay, 'live/blocked', ['--token', TOKEN, '--loop', await makeClip()]);
  const { page, complaints } = await open(browser, `${link.page}/live/blocked`);
  const front = await open(browser, `${link.page}/`);
  await says(page, /does not answer: it is away, or this network blocks UDP. Trying again …$/);
  await front.page.getByRole('status').filter({ hasText: 'this network blocks UDP' }).waitFor({ timeout: PATIENCE });
  link.weather = {};
  await drawsMore(page, RATE);
  await front.page.getByRole('link', { name: 'live/blocked' }).waitFor({ timeout: PATIENCE });
  expect(exceptions([...complaints, ...front.complaints])).toEqual([]);
  await Promise.all([page.close(), front.page.close()]);
  await Promise.all([publisher.stop(), link.stop()]);
});

test('a port where nobody listens is told of', { timeout: 120_000 }, async () => {
  const gone = await startRelay();
  await gone.stop();
  const { page, complaints } = await open(browser, `${relay.page}/live/nobody`);
  await page.evaluate((src) => {
    const player = document.querySelector('headwater-watch') as (Element & { play(): void }) | null;
    player?.setAttribute('src', src);
    player?.play();
  }, `https://localhost:${gone.port}/live/nobody#sha256=${gone.hash}`);
  await says(
    page,
    /cannot be reached over QUIC: it is away, .+ its certificate has expired .+\(.+\)\. Trying again …$/,
  );
  expect(exceptions(complaints)).toEqual([]);
  await page.close();
});

test('who may not publish under a name is told so', { timeout: 120_000 }, async () => {
  const holder = startPublisher(relay, 'live/held', ['--token', TOKEN, '--lines', '--track', 'log']);
  holder.write('mine\n');
  await holder.says(/publishing/i);
  const query = 'source=pattern&height=360&simulcast=0&name=live/held';
  const { page, complaints } = await open(browser, `${relay.page}/-/publish?${query}#token=wrong`);
  await page.getByRole('button', { name: 'Go live' }).click();
  const words =
    'The relay does not let us publish under this name: somebody else has it, or an access token is needed.';
  await page.getByRole('alert').getByText(words).waitFor({ timeout: PATIENCE });
  await page.getByText('Not live.').waitFor();
  expect(complaints).toEqual([]);
  await page.close();
  await holder.stop();
});
