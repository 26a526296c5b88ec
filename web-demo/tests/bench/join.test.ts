/// How long it takes to join a running stream: a page against `moq subscribe`, through one relay and through three.
///
/// A measurement, printed as a table; nothing is asserted of the times. Before each join the relays have let the track go, and
/// nobody else watches, so that each join goes all the way to the publisher.
import { spawn } from 'node:child_process';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launch, open } from '../browser/support/browser';
import { run, scratch } from '../browser/support/files';
import { Moq } from '../browser/support/moq';
import { startDemo, startRelay } from '../browser/support/relay';

const JOINS = Number(process.env['JOINS'] ?? 20);
const NAME = 'live/join';
const RATE = 25;
const GROUP_SECONDS = 2;
/// Longer than a relay keeps a track that nobody reads.
const LET_GO_MS = 2500;

/// Milliseconds of the page's clock.
interface Marks {
  /// The first `new WebTransport`.
  readonly connect: number;
  /// The browser calls the connection ready.
  readonly ready: number;
  /// The first chunk of video goes to the decoder, and the first picture comes out of it.
  readonly fed: number;
  readonly decoded: number;
  /// `play` was called, and its first picture was drawn.
  readonly play: number;
  readonly drawn: number;
}

let browser: Browser;
let clip: string;

beforeAll(async () => {
  [browser, clip] = await Promise.all([launch(), makeClip()]);
}, 120_000);
afterAll(() => browser?.close());

async function makeClip(): Promise<string> {
  const path = join(scratch(), 'clip.mp4');
  const input = ['-f', 'lavfi', '-i', `testsrc2=size=640x360:rate=${RATE}:duration=20`];
  const sound = ['-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000:duration=20', '-c:a', 'aac'];
  const group = String(GROUP_SECONDS * RATE);
  const video = ['-c:v', 'libx264', '-preset', 'veryfast', '-pix_fmt', 'yuv420p', '-bf', '0'];
  const groups = ['-g', group, '-keyint_min', group, '-sc_threshold', '0'];
  await run('ffmpeg', ['-v', 'error', '-y', ...input, ...sound, ...video, ...groups, path]);
  return path;
}

/** Runs in the page, before anything else of it. */
function watchClasses(): void {
  const marks: Record<string, number> = {};
  Object.assign(globalThis, { marks });
  const mark = (name: string) => {
    marks[name] ??= performance.now();
  };
  globalThis.WebTransport = class extends WebTransport {
    constructor(url: string | URL, options?: WebTransportOptions) {
      mark('connect');
      super(String(url), options);
      this.ready.then(
        () => mark('ready'),
        () => {},
      );
    }
  };
  globalThis.VideoDecoder = class extends VideoDecoder {
    constructor(init: VideoDecoderInit) {
      const output = (frame: VideoFrame) => {
        mark('decoded');
        init.output(frame);
      };
      super({ ...init, output });
    }
    override decode(chunk: EncodedVideoChunk): void {
      mark('fed');
      super.decode(chunk);
    }
  };
}

async function pageJoin(origin: string): Promise<Marks> {
  const { page } = await open(browser, `${origin}/${NAME}?autoplay=0`);
  await page.addInitScript(watchClasses);
  await page.reload();
  await page.locator('headwater-watch button.start').waitFor();
  const marks = await page.evaluate(async () => {
    type Player = HTMLElement & { play(): void; stats?: { readonly firstFrame: number | undefined } };
    const player = document.querySelector('headwater-watch') as Player;
    const play = performance.now();
    player.play();
    while (player.stats?.firstFrame === undefined) await new Promise((done) => requestAnimationFrame(done));
    const { marks } = globalThis as unknown as { marks: Record<string, number> };
    return { ...marks, play, drawn: play + player.stats.firstFrame };
  });
  await page.close();
  return marks as unknown as Marks;
}

/** Milliseconds from the start of the process until a whole fragment, a box `mdat` behind its `moof`, is on its stdout. */
async function nativeJoin(url: string): Promise<number> {
  const began = performance.now();
  const args = ['subscribe', '--insecure', '--quiet', '--no-audio', url];
  const child = spawn(process.env['HARNESS_MOQ'] ?? '', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const over = new Promise((resolve) => child.once('close', resolve));
  let bytes = Buffer.alloc(0);
  for await (const piece of child.stdout) {
    bytes = Buffer.concat([bytes, piece as Buffer]);
    if (holds(bytes, 'mdat')) break;
  }
  const took = performance.now() - began;
  child.kill('SIGKILL');
  await over;
  expect(holds(bytes, 'mdat')).toBe(true);
  return took;
}

/** Whether there is a whole box of this kind at the top level. */
function holds(file: Buffer, kind: string): boolean {
  let at = 0;
  while (at + 8 <= file.length) {
    const end = at + file.readUInt32BE(at);
    if (end <= file.length && file.toString('latin1', at + 4, at + 8) === kind) return true;
    at = end;
  }
  return false;
}

/** How long a process of this program takes to begin and end, which is part of each native join. */
async function processStart(): Promise<number> {
  const began = performance.now();
  await run(process.env['HARNESS_MOQ'] ?? '', ['--version']);
  return performance.now() - began;
}

interface Way {
  readonly relays: number;
  /** Of the last relay: its pages, and where a native client connects. */
  readonly page: string;
  readonly url: string;
  stop(): Promise<void>;
}

async function one(): Promise<Way> {
  const relay = await startRelay();
  const publisher = new Moq(['publish', '--insecure', '--loop', `https://localhost:${relay.port}/${NAME}`, clip]);
  const stop = async () => void (await Promise.all([publisher.stop(), relay.stop()]));
  return { relays: 1, page: relay.page, url: `https://localhost:${relay.port}/${NAME}`, stop };
}

/** Three in a line: the short links have no delay, and the long one around the middle is 10 ms, so nothing takes it. */
async function three(): Promise<Way> {
  const demo = await startDemo('--relays', '3', '--delay', '0ms');
  const { port } = new URL(demo.page);
  const last = `127.0.0.1:${port}`;
  // The nearest is named first.
  const alternates = (await (await fetch(`http://${last}/api/v1/alternates`)).json()) as { url: string }[];
  const first = new URL(alternates.at(-1)?.url ?? '').host;
  const publisher = new Moq(['publish', '--insecure', '--loop', `https://${first}/${NAME}`, clip]);
  const stop = async () => void (await Promise.all([publisher.stop(), demo.stop()]));
  return { relays: 3, page: `http://${last}`, url: `https://${last}/${NAME}`, stop };
}

function row(what: string, relays: number, times: readonly number[]): string {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share: number) => (sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN).toFixed(0);
  return `| ${what} | ${relays} | ${sorted.length} | ${at(0.5)} | ${at(0.95)} | ${at(1)} |`;
}

test('joins of a running stream', { timeout: 1_800_000 }, async () => {
  const rows: string[] = [];
  for (const begin of [one, three]) {
    const way = await begin();
    // The first of each waits for the publisher, and is not counted.
    await pageJoin(way.page);
    await nativeJoin(way.url);
    const pages: Marks[] = [];
    const native: number[] = [];
    const starts: number[] = [];
    for (let index = 0; index < JOINS; index += 1) {
      // Each join meets its group at another place.
      const wait = LET_GO_MS + (index * GROUP_SECONDS * 1000) / JOINS;
      await pause(wait);
      pages.push(await pageJoin(way.page));
      await pause(wait);
      native.push(await nativeJoin(way.url));
      starts.push(await processStart());
    }
    await way.stop();
    const of = (what: string, time: (marks: Marks) => number) => rows.push(row(what, way.relays, pages.map(time)));
    of('page: `new WebTransport` to the first decoded picture', ({ connect, decoded }) => decoded - connect);
    of('of it: until the connection is ready', ({ connect, ready }) => ready - connect);
    of('of it: from there to the first chunk at the decoder', ({ ready, fed }) => fed - ready);
    of('of it: in the decoder', ({ fed, decoded }) => decoded - fed);
    of('page: play to the first picture drawn', ({ play, drawn }) => drawn - play);
    rows.push(row('`moq subscribe`: process to the first fragment of video', way.relays, native));
    rows.push(row('of it: a process alone (`moq --version`)', way.relays, starts));
  }
  const load = loadavg().map((value) => value.toFixed(1));
  const head = ['| what, in ms | relays | joins | p50 | p95 | max |', '| --- | --- | --- | --- | --- | --- |'];
  const machine = `${new Date().toISOString().slice(0, 10)}, ${cpus().length} cores, load ${load.join(' ')} (1, 5, 15 min)`;
  process.stdout.write(['', ...head, ...rows, '', machine, ''].join('\n'));
});
