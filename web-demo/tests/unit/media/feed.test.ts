/// The catalog as it changes.
import { expect, it } from 'vitest';
import { CatalogFeed } from '../../../src/media/catalog/feed';
import { MsfReader } from '../../../src/media/catalog/msf';
import type { MoqObject, Subscription } from '../../../src/moqt';

const TRACK = { name: 'a', packaging: 'loc', codec: 'vp8' };
const WHOLE = JSON.stringify({ version: 'draft-01', tracks: [TRACK] });
const EMPTY = JSON.stringify({ version: 'draft-01', tracks: [] });
const DELTA = JSON.stringify({ deltaUpdate: [{ op: 'clone', tracks: [{ parentName: 'a', name: 'b' }] }] });

/// A catalog's track with these objects, a group each time a new one begins (`[group, object, text]`).
function feedOf(objects: readonly (readonly [number, number, string])[], said: string[] = []): CatalogFeed {
  const left = [...objects];
  const next = async (): Promise<MoqObject | undefined> => {
    const object = left.shift();
    return object && objectOf(...object);
  };
  const subscription = { next } as unknown as Subscription;
  const msf = new MsfReader();
  return new CatalogFeed(
    { format: 'MSF', subscription, read: (object) => msf.read(object) },
    { unusable: (why) => said.push(why), left: (why) => said.push(`left out: ${why}`) },
  );
}

function objectOf(group: number, object: number, text: string): MoqObject {
  const payload = new TextEncoder().encode(text);
  const place = { group: BigInt(group), subgroup: 0n, object: BigInt(object) };
  return { ...place, status: 'normal', properties: new Map(), payload, priority: 128 };
}

it('gives the catalog as soon as it lists a track', async () => {
  const said: string[] = [];
  const feed = feedOf(
    [
      [0, 0, 'no catalog'],
      [1, 0, EMPTY],
      [2, 0, WHOLE],
    ],
    said,
  );
  expect((await feed.playable())?.tracks.map(({ name }) => name)).toEqual(['a']);
  expect(said).toHaveLength(2);
  expect(said[0]).toMatch(/no valid MSF JSON/);
  expect(said[1]).toMatch(/nothing that can be played/);
});

it('tells when something else is offered, not when the same is said again', async () => {
  const again = feedOf([
    [0, 0, WHOLE],
    [1, 0, JSON.stringify({ version: 'draft-01', generatedAt: 9, tracks: [TRACK] })],
  ]);
  const first = await again.playable();
  expect(first && (await again.changed(first))).toBe(false);

  const other = feedOf([
    [0, 0, WHOLE],
    [0, 1, DELTA],
  ]);
  const whole = await other.playable();
  expect(whole && (await other.changed(whole))).toBe(true);
  expect((await other.playable())?.tracks.map(({ name }) => name)).toEqual(['a', 'b']);
});

it('keeps what it has when a change cannot be read', async () => {
  const said: string[] = [];
  const feed = feedOf(
    [
      [0, 0, WHOLE],
      [0, 2, DELTA],
      [1, 0, '{'],
    ],
    said,
  );
  const first = await feed.playable();
  expect(first && (await feed.changed(first))).toBe(false);
  expect((await feed.playable())?.tracks.map(({ name }) => name)).toEqual(['a']);
  expect(said.every((line) => line.startsWith('left out: '))).toBe(true);
  expect(said).toHaveLength(2);
});
