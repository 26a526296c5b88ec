/// A round of playing in a browser that decodes nothing, as Node is one.
import { afterEach, expect, test, vi } from 'vitest';
import { playRound, type Round } from '../../../src/media/player/round';
import type { Stage } from '../../../src/media/player/stage';
import type { MoqObject, Session, Subscription } from '../../../src/moqt';

const CATALOG = '{"version":"draft-01","tracks":[{"name":"a","packaging":"loc","codec":"vp8","role":"video"}]}';

afterEach(() => vi.useRealTimers());

/// A round whose catalog comes once, and what it says.
function begin() {
  const said: string[] = [];
  const payload = new TextEncoder().encode(CATALOG);
  const place = { group: 0n, subgroup: 0n, object: 0n };
  const objects: MoqObject[] = [{ ...place, status: 'normal', properties: new Map(), payload, priority: 128 }];
  let end = () => {};
  const ended = new Promise<undefined>((resolve) => {
    end = () => resolve(undefined);
  });
  const subscription = { next: async () => objects.shift() ?? ended } as unknown as Subscription;
  const join = vi.fn(async () => subscription);
  const round: Round = {
    session: { join } as unknown as Session,
    namespace: ['live'],
    over: new Promise(() => {}),
    stop: new AbortController().signal,
    stage: { clear: () => {} } as unknown as Stage,
    heard: () => said.push('media'),
    notes: (notes) => said.push(...notes),
    note: (note) => said.push(note),
    wish: () => undefined,
    playing: () => said.push('playing'),
    renditions: () => {},
    waiting: (message) => said.push(message),
  };
  return { said, join, end, running: playRound(round) };
}

test('where nothing can be played the page says so once, until the catalog ends', async () => {
  vi.useFakeTimers();
  const { said, join, end, running } = begin();
  const over = vi.fn();
  void running.then(over);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(said).toEqual([
    expect.stringMatching(/^a: this browser has no VideoDecoder/),
    expect.stringMatching(/WebCodecs/),
  ]);
  expect(over).not.toHaveBeenCalled();
  end();
  await running;
  expect(join).toHaveBeenCalledTimes(1);
});
