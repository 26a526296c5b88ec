import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type * as Library from '../../src/moqt';
import { exceptions, launch } from './support/browser';
import { type LibraryPage, libraryPage } from './support/library';
import { Moq } from './support/moq';
import { type Relay, startRelay } from './support/relay';

declare const moqt: typeof Library;

let relay: Relay;
let browser: Browser;
let library: LibraryPage;
let page: Page;

beforeAll(async () => {
  [relay, browser] = await Promise.all([startRelay({ host: '127.0.0.1' }), launch()]);
  library = await libraryPage(browser);
  page = library.page;
}, 60_000);

afterAll(async () => {
  await library?.stop();
  await browser?.close();
  await relay?.stop();
}, 30_000);

/** What every script in the page needs to reach the relay. */
const target = () => ({ url: `https://localhost:${relay.port}/`, hash: relay.hash });

function cli(command: string, namespace: string, ...args: string[]): Moq {
  const url = `https://localhost:${relay.port}/${namespace}`;
  return new Moq([command, url, ...args], { stateDir: relay.stateDir });
}

test('a page reads what moq publishes, from the current group on', async () => {
  const publisher = cli('publish', 'lines/out', '--lines', '--track', 'log');
  publisher.write('one\ntwo\n');
  try {
    const reading = page.evaluate(async ({ url, hash }) => {
      const bytes = Uint8Array.from(hash.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
      const session = await moqt.connect(url, { certificateHashes: [bytes] });
      const track = { namespace: ['lines', 'out'], name: 'log' };
      const subscription = await session.join(track, { rendezvousMs: 10_000, groups: 10 });
      const texts: string[] = [];
      const places: string[] = [];
      while (!texts.includes('last')) {
        const object = await subscription.next();
        if (!object) break;
        if (object.status !== 'normal') continue;
        texts.push(new TextDecoder().decode(object.payload));
        places.push(`${object.group}/${object.object}`);
        (globalThis as { seen?: number }).seen = texts.length;
      }
      subscription.cancel();
      const { rtt, implementation } = session;
      session.close();
      return { texts, places, rtt, implementation, end: await session.closed };
    }, target());
    await page.waitForFunction(() => ((globalThis as { seen?: number }).seen ?? 0) >= 2);
    publisher.write('three\nlast\n');
    const { texts, places, rtt, implementation, end } = await reading;
    expect(texts).toEqual(['one', 'two', 'three', 'last']);
    expect(new Set(places).size).toBe(4);
    expect(rtt).toBeGreaterThan(0);
    expect(implementation).toMatch(/headwater/i);
    expect(end).toEqual({ code: 0, reason: '', byPeer: false });
  } finally {
    await publisher.stop();
  }
}, 60_000);

test('moq subscribe reads what a page publishes, live and before it came', async () => {
  await page.evaluate(async ({ url, hash }) => {
    const bytes = Uint8Array.from(hash.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
    const session = await moqt.connect(url, { certificateHashes: [bytes] });
    const track = new moqt.PublishedTrack({ keepGroups: 3 });
    const publication = await session.publishNamespace(['from', 'page'], (name) =>
      name === 'log' ? track : undefined,
    );
    const utf8 = (text: string) => new TextEncoder().encode(text);
    const first = track.beginGroup(7n);
    first.write(utf8('early'));
    first.end();
    const state = {
      track,
      session,
      publication,
      group: 8n,
      write: (text: string) => {
        const group = track.beginGroup(state.group++);
        group.write(utf8(text));
        group.write(utf8(`${text} again`), { properties: new Map([[0x10n, 5n]]) });
        group.end();
      },
    };
    Object.assign(globalThis, { state });
  }, target());
  type State = {
    state: { write(text: string): void; track: { subscribers: number; end(): void }; session: Library.Session };
  };
  const live = cli('subscribe', 'from/page', '--track', 'log', '--lines');
  const past = cli('subscribe', 'from/page', '--track', 'log', '--lines', '--start', '7', '--end', '7');
  try {
    await past.says(/^early$/m);
    await page.waitForFunction(() => (globalThis as unknown as State).state.track.subscribers > 0);
    await page.evaluate(() => (globalThis as unknown as State).state.write('live'));
    await live.says(/^live$/m);
    await live.says(/^live again$/m);
    await page.evaluate(() => (globalThis as unknown as State).state.write('more'));
    await live.says(/^more again$/m);
  } finally {
    await Promise.all([live.stop(), past.stop()]);
    await page.evaluate(() => (globalThis as unknown as State).state.session.close());
  }
}, 60_000);

test('a page sees namespaces come and go, and two pages exchange objects', async () => {
  const seen = await page.evaluate(async ({ url, hash }) => {
    const bytes = Uint8Array.from(hash.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
    const [one, two] = await Promise.all([
      moqt.connect(url, { certificateHashes: [bytes] }),
      moqt.connect(url, { certificateHashes: [bytes] }),
    ]);
    const track = new moqt.PublishedTrack({ priority: 7 });
    const changes: string[] = [];
    const watch = two.namespaces(['room']);
    const watching = (async () => {
      for await (const { namespace, active } of watch) {
        changes.push(`${active ? '+' : '-'}${namespace.join('/')}`);
        if (!active) return;
      }
    })();
    const publication = await one.publishNamespace(['room', 'a'], () => track);
    const group = track.beginGroup(1n);
    group.write(new Uint8Array(300_000).fill(9), { properties: new Map([[0x10n, 42n]]) });
    const name = { namespace: ['room', 'a'], name: 'x' };
    const subscription = await two.join(name, { rendezvousMs: 5000 });
    const first = await subscription.next();
    group.write(Uint8Array.of(1, 2, 3));
    const second = await subscription.next();
    const fetched = await two.fetch(name, { group: 1n, object: 0n }, { group: 1n, object: 1n });
    const sizes: number[] = [];
    for (let object = await fetched.next(); object; object = await fetched.next()) sizes.push(object.payload.length);
    track.end();
    const done = await subscription.done;
    const refused = await two
      .subscribe({ namespace: ['nobody'], name: 'x' })
      .catch((error: Library.MoqtError) => error);
    publication.end();
    await watching;
    one.close();
    two.close();
    return {
      changes,
      first: first && [
        first.payload.length,
        first.priority,
        Number(first.properties.get(0x10n)),
        first.object.toString(),
      ],
      second: second && [...second.payload],
      sizes,
      done: done.code,
      refused: refused instanceof moqt.MoqtError && [refused.kind, refused.code],
    };
  }, target());
  expect(seen).toEqual({
    changes: ['+room/a', '-room/a'],
    first: [300_000, 7, 42, '0'],
    second: [1, 2, 3],
    sizes: [300_000, 3],
    done: 2,
    refused: ['refused', 0x10],
  });
}, 60_000);

test('the library works in a worker, many megabytes and all', async () => {
  const script = `(async () => {
    const value = Uint8Array.from('${relay.hash}'.match(/../g), (pair) => parseInt(pair, 16));
    const open = () => moqt.connect('https://localhost:${relay.port}/', { certificateHashes: [value] });
    const [one, two] = await Promise.all([open(), open()]);
    const track = new moqt.PublishedTrack({ subgroups: 'single' });
    await one.publishNamespace(['from', 'worker'], () => track);
    const subscription = await two.subscribe({ namespace: ['from', 'worker'], name: 'x' }, { rendezvousMs: 5000 });
    let objects = 0;
    let sum = 0;
    for (let group = 0n; group < 20n; group++) {
      const writer = track.beginGroup(group);
      for (let index = 0; index < 10; index++) writer.write(new Uint8Array(100_000).fill(index));
      writer.end();
      for (let index = 0; index < 10; index++) {
        const object = await subscription.next();
        objects += object.status === 'normal' ? 1 : 0;
        sum += object.payload[99_999];
      }
    }
    return { objects, sum, bytes: subscription.bytes, skipped: subscription.groupsSkipped, document: typeof document };
  })()`;
  const answer = await page.evaluate(
    (script) =>
      new Promise((resolve, reject) => {
        const worker = new Worker('/worker.js');
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = ({ message }) => reject(new Error(message));
        worker.postMessage(script);
      }),
    script,
  );
  expect(answer).toEqual({ objects: 200, sum: 900, bytes: 20_000_000, skipped: 0, document: 'undefined' });
  expect(exceptions(library.complaints)).toEqual([]);
}, 60_000);

test('connecting fails in clear words', async () => {
  const failures = await page.evaluate(async ({ url }) => {
    const kind = (error: unknown) => (error instanceof moqt.ConnectError ? [error.kind, error.message] : String(error));
    const wrong = new Uint8Array(32);
    return [
      await moqt.connect('no address').catch(kind),
      await moqt.connect(url, { certificateHashes: [wrong] }).catch(kind),
      await moqt.connect(url, { signal: AbortSignal.abort() }).catch(kind),
    ];
  }, target());
  expect(failures).toEqual([
    ['refused', 'no address is no address.'],
    ['refused', expect.stringContaining('cannot be reached')],
    ['refused', 'Connecting was given up.'],
  ]);
}, 60_000);
