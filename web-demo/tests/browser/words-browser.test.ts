/// What pages say when the browser is too old, or does not take the relay's certificate.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { exceptions, launch, type Opened, open, visit } from './support/browser';
import { makeCertificate } from './support/certificate';
import { makeClip, RATE } from './support/clip';
import type { Moq } from './support/moq';
import { drawsMore, message, PATIENCE, until } from './support/player';
import { type Relay, startPublisher, startRelay } from './support/relay';

const NAME = 'live/old';
const TOO_OLD = /^This browser has no WebTransport, .+ Use a current Chrome, Edge, Firefox or Safari\.$/;

let browser: Browser;
let relay: Relay;
let publisher: Moq;

beforeAll(async () => {
  [browser, relay] = await Promise.all([launch(), startRelay()]);
  publisher = startPublisher(relay, NAME, ['--loop', await makeClip()]);
}, 90_000);
afterAll(async () => {
  await browser?.close();
  await publisher?.stop();
  await relay?.stop();
}, 60_000);

/** The page in a browser without these, as old ones are. Its worker has them, but is not asked for anything. */
async function openWithout(missing: readonly string[], url: string): Promise<Opened> {
  const page = await browser.newPage();
  await page.addInitScript((names) => {
    for (const name of names) Reflect.deleteProperty(globalThis, name);
  }, missing);
  return visit(page, url);
}

function says(page: Page, words: RegExp): Promise<void> {
  return page.locator('headwater-watch .message').filter({ hasText: words }).waitFor({ timeout: PATIENCE });
}

test('a browser without WebTransport is told so, on each page', { timeout: 120_000 }, async () => {
  const missing = ['WebTransport'];
  const watch = await openWithout(missing, `${relay.page}/${NAME}`);
  await says(watch.page, TOO_OLD);
  const front = await openWithout(missing, `${relay.page}/`);
  await front.page.getByRole('status').filter({ hasText: TOO_OLD }).waitFor({ timeout: PATIENCE });
  const studio = await openWithout(missing, `${relay.page}/-/publish?source=pattern&height=360&name=live/none`);
  const alert = studio.page.getByRole('alert').filter({ hasText: TOO_OLD });
  await alert.waitFor({ timeout: PATIENCE });
  await studio.page.getByRole('button', { name: 'Go live' }).click();
  await studio.page.getByText('Not live.').waitFor({ timeout: PATIENCE });
  await alert.waitFor({ timeout: PATIENCE });
  for (const { page, complaints } of [watch, front, studio]) {
    expect(complaints).toEqual([]);
    await page.close();
  }
});

test('a browser without VideoDecoder plays the sound and says what it lacks', { timeout: 120_000 }, async () => {
  const { page, complaints } = await openWithout(['VideoDecoder'], `${relay.page}/${NAME}`);
  await until(page, 'heard', ({ level }) => level > 0.05);
  expect(await message(page)).toBe('');
  const note = page.locator('headwater-watch .notes').filter({ hasText: /no VideoDecoder; use a current Chrome/ });
  await note.waitFor({ timeout: PATIENCE });
  expect(complaints).toEqual([]);
  await page.close();
});

test('a browser without WebCodecs is told so', { timeout: 120_000 }, async () => {
  const missing = ['VideoDecoder', 'AudioDecoder', 'VideoEncoder', 'AudioEncoder'];
  const watch = await openWithout(missing, `${relay.page}/${NAME}`);
  await says(watch.page, /^This browser cannot decode for a page: it has no WebCodecs\. Use a current /);
  const studio = await openWithout(missing, `${relay.page}/-/publish?name=live/none`);
  const words = 'This browser cannot encode video. Use a current Chrome, Edge, Firefox or Safari.';
  await studio.page.getByRole('alert').getByText(words).waitFor({ timeout: PATIENCE });
  for (const { page, complaints } of [watch, studio]) {
    expect(complaints).toEqual([]);
    await page.close();
  }
});

test('the page plays with a certificate from files, and tells when it has expired', { timeout: 240_000 }, async () => {
  const good = makeCertificate({ endsInDays: 5 });
  const fresh = await startRelay({ args: good.args });
  const source = startPublisher(fresh, NAME, ['--loop', await makeClip()]);
  const playing = await open(browser, `${fresh.page}/${NAME}#sha256=${good.hash}`);
  await drawsMore(playing.page, RATE);
  expect(playing.complaints).toEqual([]);
  await playing.page.close();

  const old = makeCertificate({ endsInDays: -1 });
  const stale = await startRelay({ args: old.args });
  const expired =
    /^The relay’s certificate expired on \d{4}-\d\d-\d\d \d\d:\d\d UTC, .+ has to renew it, .+ Trying again …$/;
  const watch = await open(browser, `${stale.page}/${NAME}#sha256=${old.hash}`);
  await says(watch.page, expired);
  const front = await open(browser, `${stale.page}/#sha256=${old.hash}`);
  await front.page.getByRole('status').filter({ hasText: 'certificate expired on' }).waitFor({ timeout: PATIENCE });
  const query = 'source=pattern&height=360&simulcast=0&name=live/late';
  const studio = await open(browser, `${stale.page}/-/publish?${query}#sha256=${old.hash}`);
  await studio.page.getByRole('button', { name: 'Go live' }).click();
  await studio.page.getByRole('alert').filter({ hasText: 'certificate expired on' }).waitFor({ timeout: PATIENCE });
  // The certificate of another relay is not taken either, and that is told apart.
  const other = await open(browser, `${fresh.page}/${NAME}#sha256=${old.hash}`);
  await says(other.page, /^The relay has another certificate than the address of this page names: /);
  for (const { page, complaints } of [watch, front, studio, other]) {
    expect(exceptions(complaints)).toEqual([]);
    await page.close();
  }
  await Promise.all([source, fresh, stale].map((running) => running.stop()));
});
