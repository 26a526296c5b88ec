/// Keeping a broadcast published: what is tried again, what is not, and where.

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Link } from '../../../src/media/publish/link';
import type { FromWorker, Settings } from '../../../src/media/publish/messages';
import { ConnectError, MoqtError, PublishedTrack, RequestCode, type SessionEnd } from '../../../src/moqt';

const moqt = vi.hoisted(() => ({ connect: vi.fn() }));
vi.mock('../../../src/moqt', async (original) => ({ ...(await original<object>()), connect: moqt.connect }));

const HASH = 'ab'.repeat(32);
const SETTINGS: Settings = {
  relay: 'https://a:1/',
  certificateHashes: [],
  token: undefined,
  namespace: ['live', 'x'],
  packaging: 'cmaf',
  codec: undefined,
  height: 360,
  framerate: 30,
  simulcast: false,
  temporalLayers: false,
};

/** A session that ends when the test says so. */
function session(url: string) {
  const end: { close: (end: SessionEnd) => void; leave: (uri: string) => void } = { close: vi.fn(), leave: vi.fn() };
  const closed = new Promise<SessionEnd>((resolve) => {
    end.close = resolve;
  });
  const goaway = new Promise<{ uri: string }>((resolve) => {
    end.leave = (uri) => resolve({ uri });
  });
  const publishNamespace = vi.fn(async (_namespace: readonly string[], _track: unknown) => ({
    closed: new Promise(() => undefined),
    end: () => undefined,
  }));
  const ping = vi.fn(async () => 1);
  return { url, rtt: undefined, closed, goaway, publishNamespace, ping, close: vi.fn(), end };
}

/** A link at work and what it tells. */
function start(track: PublishedTrack, settings = SETTINGS) {
  const told: FromWorker[] = [];
  const waiting: { kind: string; count: number; resolve: () => void }[] = [];
  const count = (kind: string) => told.filter((message) => message.kind === kind).length;
  const link = new Link(
    settings,
    () => track,
    (message) => {
      told.push(message);
      for (const wait of waiting) if (count(wait.kind) >= wait.count) wait.resolve();
    },
  );
  const heard = (kind: FromWorker['kind'], times: number) =>
    new Promise<void>((resolve) => {
      waiting.push({ kind, count: times, resolve });
      if (count(kind) >= times) resolve();
    });
  return { link, told, heard, running: link.run() };
}

beforeEach(() => {
  vi.stubGlobal('location', { origin: 'http://a:1' });
  const answers: Record<string, string> = {
    '/certificates.sha256': `${HASH}\n${'cd'.repeat(32)}\n`,
    '/api/v1/alternates': JSON.stringify([{ url: 'https://b:2/', sha256: HASH }, { url: 7 }, null]),
  };
  vi.stubGlobal('fetch', async (url: string) => new Response(answers[new URL(url).pathname]));
});

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
  moqt.connect.mockReset();
});

test('a lost session is followed by another with the same tracks, at the places the page knows of in turn', async () => {
  const track = new PublishedTrack();
  const [first, second] = [session('https://a:1/'), session('https://a:1/')];
  moqt.connect.mockResolvedValueOnce(first);
  moqt.connect.mockRejectedValueOnce(new ConnectError('refused', 'The relay does not answer.'));
  moqt.connect.mockResolvedValueOnce(second);
  const { link, told, heard, running } = start(track);
  await heard('live', 1);
  first.end.close({ code: 0, reason: '', byPeer: true });
  await heard('live', 2);
  expect(moqt.connect.mock.calls.map(([url]) => url)).toEqual(['https://a:1/', 'https://b:2/', 'https://a:1/']);
  const [hash, next] = [new Uint8Array(32).fill(0xab), new Uint8Array(32).fill(0xcd)];
  expect(moqt.connect.mock.calls[0]?.[1]).toMatchObject({ certificateHashes: [hash, next] });
  expect(moqt.connect.mock.calls[1]?.[1]).toMatchObject({ certificateHashes: [hash] });
  const serves = second.publishNamespace.mock.calls[0]?.[1] as (name: string) => unknown;
  expect(serves('video0')).toBe(track);
  expect(told.filter(({ kind }) => kind === 'connecting')).toContainEqual({ kind: 'connecting', again: true });
  link.close();
  second.end.close({ code: 0, reason: '', byPeer: false });
  await running;
});

test('a relay that answers no more is left for another one', async () => {
  vi.useFakeTimers();
  const [first, second] = [session('https://a:1/'), session('https://b:2/')];
  moqt.connect.mockResolvedValueOnce(first).mockResolvedValueOnce(second);
  const { link, heard, running } = start(new PublishedTrack());
  await heard('live', 1);
  await vi.advanceTimersByTimeAsync(20_000);
  expect(first.close).not.toHaveBeenCalled();
  first.ping.mockReturnValue(new Promise(() => undefined));
  await vi.advanceTimersByTimeAsync(9000);
  await heard('live', 2);
  expect(first.close).toHaveBeenCalled();
  expect(moqt.connect.mock.calls[1]?.[0]).toBe('https://b:2/');
  link.close();
  second.end.close({ code: 0, reason: '', byPeer: false });
  await running;
});

test('the relay that died is not the next one, whatever failed before it served', async () => {
  const first = session('https://a:1/');
  moqt.connect.mockRejectedValueOnce(new ConnectError('timeout', 'The relay does not answer.'));
  moqt.connect.mockResolvedValueOnce(first);
  const { link, heard, running } = start(new PublishedTrack());
  await heard('live', 1);
  const second = session('https://b:2/');
  moqt.connect.mockResolvedValueOnce(second);
  first.end.close({ code: 0, reason: '', byPeer: true });
  await heard('live', 2);
  expect(moqt.connect.mock.calls.map(([url]) => url)).toEqual(['https://a:1/', 'https://a:1/', 'https://b:2/']);
  link.close();
  second.end.close({ code: 0, reason: '', byPeer: false });
  await running;
});

test('who is sent to and fro waits longer each time, and in the end chooses for itself', async () => {
  vi.useFakeTimers();
  const began = performance.now();
  const dialled: [string, number][] = [];
  moqt.connect.mockImplementation(async (url: string) => {
    dialled.push([url, Math.round((performance.now() - began) / 100) * 100]);
    const sends = session(url);
    sends.end.leave(dialled.length % 2 === 1 ? 'https://c:3/way?to=here' : '');
    return sends;
  });
  const { link, running } = start(new PublishedTrack());
  await vi.advanceTimersByTimeAsync(60_000);
  link.close();
  await vi.advanceTimersByTimeAsync(5000);
  await running;
  const [a, c] = ['https://a:1/', 'https://c:3/way?to=here'];
  expect(dialled.slice(0, 6)).toEqual([
    [a, 0],
    [c, 0],
    [c, 200],
    [c, 700],
    [c, 1700],
    [a, 2200],
  ]);
  expect(dialled.length).toBeLessThan(60);
  expect(dialled.slice(-10).map(([url]) => url)).toContain(c);
});

test('a relay that falls silent before it takes the broadcast is given up', async () => {
  vi.useFakeTimers();
  const [first, second] = [session('https://a:1/'), session('https://a:1/')];
  first.publishNamespace.mockReturnValue(new Promise(() => undefined));
  first.ping.mockReturnValue(new Promise(() => undefined));
  moqt.connect.mockResolvedValueOnce(first).mockResolvedValueOnce(second);
  const { link, told, heard, running } = start(new PublishedTrack());
  await vi.advanceTimersByTimeAsync(9000);
  await heard('live', 1);
  expect(first.close).toHaveBeenCalled();
  expect(told).toContainEqual({ kind: 'warning', message: 'The relay does not answer any more. Trying again.' });
  link.close();
  second.end.close({ code: 0, reason: '', byPeer: false });
  await running;
});

test('each relay that serves is asked anew for others and their certificates', async () => {
  const [first, second, third] = ['https://a:1/', 'https://b:2/', 'https://c:3/'].map(session);
  if (!first || !second || !third) throw new Error('three sessions');
  const newer = 'ef'.repeat(32);
  const answers: Record<string, unknown[]> = {
    'http://a:1': [{ url: 'https://b:2/', sha256: HASH }],
    'https://b:2': [
      { url: 'https://a:1/', sha256: HASH },
      { url: 'https://c:3/', sha256: newer },
    ],
  };
  vi.stubGlobal('fetch', async (url: string) => new Response(JSON.stringify(answers[new URL(url).origin] ?? [])));
  moqt.connect.mockResolvedValueOnce(first).mockResolvedValueOnce(second).mockResolvedValueOnce(third);
  const { link, heard, running } = start(new PublishedTrack());
  await heard('live', 1);
  first.end.close({ code: 0, reason: '', byPeer: true });
  await heard('live', 2);
  second.end.close({ code: 0, reason: '', byPeer: true });
  await heard('live', 3);
  expect(moqt.connect.mock.calls.map(([url]) => url)).toEqual(['https://a:1/', 'https://b:2/', 'https://c:3/']);
  expect(moqt.connect.mock.calls[2]?.[1]).toMatchObject({ certificateHashes: [new Uint8Array(32).fill(0xef)] });
  link.close();
  third.end.close({ code: 0, reason: '', byPeer: false });
  await running;
});

test('a relay that sends us away is left once the next one serves', async () => {
  const [first, second] = [session('https://a:1/'), session('https://c:3/')];
  moqt.connect.mockResolvedValueOnce(first).mockResolvedValueOnce(second);
  const { link, heard, running } = start(new PublishedTrack());
  await heard('live', 1);
  first.end.leave('https://c:3/');
  await heard('live', 2);
  expect(moqt.connect.mock.calls[1]?.[0]).toBe('https://c:3/');
  expect(first.close).not.toHaveBeenCalled();
  link.close();
  second.end.close({ code: 0, reason: '', byPeer: false });
  await running;
});

test('a refusal for good is told in words and not tried again', async () => {
  const refusing = session('https://a:1/');
  refusing.publishNamespace.mockRejectedValueOnce(new MoqtError('refused', RequestCode.unauthorized, 'no'));
  moqt.connect.mockResolvedValueOnce(refusing);
  const { running } = start(new PublishedTrack());
  await expect(running).rejects.toThrow('no');
  expect(moqt.connect).toHaveBeenCalledTimes(1);
  expect(refusing.close).toHaveBeenCalled();
});

test('a relay that does not answer is tried again', async () => {
  moqt.connect.mockRejectedValueOnce(new ConnectError('timeout', 'The relay does not answer.'));
  const later = session('https://a:1/');
  moqt.connect.mockResolvedValueOnce(later);
  const { link, told, heard, running } = start(new PublishedTrack());
  await heard('live', 1);
  expect(told).toContainEqual({ kind: 'warning', message: 'The relay does not answer. Trying again.' });
  link.close();
  later.end.close({ code: 0, reason: '', byPeer: false });
  await running;
});
