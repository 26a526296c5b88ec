import { expect, test } from 'vitest';
import { namespaceHash } from '../../../src/overlay/hash';
import { labels, readMesh } from '../../../src/overlay/model';
import { sayBranch, sayTree, treeChanges, treeOf } from '../../../src/overlay/tree';
import { vectors } from '../vectors';
import { answer, id } from './mesh';

const HASH = '433c02af9c0ea645';

/** What nodes pull of the broadcast: from which others, `null` if it is published there. */
type Told = Readonly<Record<number, readonly (number | null)[]>>;

function meshOf(told: Told, count = 4) {
  const all = answer(count, []);
  const nodes = all.nodes.map((node, index) => {
    const of = (hash: string) => (from: number | null) => ({ hash, from: from === null ? null : id(from) });
    // Another broadcast is everywhere, and in nobody's way.
    return { ...node, pulls: [of('00112233aabbccdd')(null), ...(told[index] ?? []).map(of(HASH))] };
  });
  const read = readMesh({ ...all, nodes });
  if (read === undefined) throw new Error('the test says no overlay');
  return read;
}

function turns(before: Told, after: Told, gone: readonly number[] = [], count = 4): string[] {
  const mesh = meshOf(after, count);
  const name = labels(mesh);
  const there = (one: string) => !gone.map(id).includes(one);
  const found = treeChanges(treeOf(meshOf(before, count), HASH), treeOf(mesh, HASH), there, name);
  return found.map(({ kind, text }) => `${kind}: ${text}`);
}

test('a namespace has the hash that relays tell', async () => {
  expect(await namespaceHash(['live', 'cam'])).toBe(HASH);
  const told = vectors('gossip.json').find(({ name }) => name === 'what a node pulls');
  expect(told?.hex.split(HASH).length).toBe(3);
  expect(await namespaceHash(['live/cam'])).not.toBe(HASH);
  await expect(namespaceHash([''])).rejects.toThrow('empty');
});

test('publisher, who pulls from whom, and who has nothing', () => {
  const mesh = meshOf({ 0: [null], 1: [0], 2: [1, 0] });
  const tree = treeOf(mesh, HASH);
  expect([...tree]).toEqual([
    [id(0), { published: true, from: [] }],
    [id(1), { published: false, from: [id(0)] }],
    [id(2), { published: false, from: [id(0), id(1)] }],
  ]);
  const name = labels(mesh);
  const words = mesh.nodes.map((node) => sayBranch(tree.get(node.id), name));
  expect(words).toEqual(['published here', 'relay 1', 'relay 1, relay 2', '–']);
  expect(sayTree('live/cam', tree, name)).toBe('live/cam is published at relay 1; 2 relays pull it.');
});

test.each<[Told, string]>([
  [{}, 'No relay says that it has x.'],
  [{ 0: [null] }, 'x is published at relay 1; no other relay pulls it.'],
  [{ 0: [null], 3: [null], 1: [0] }, 'x is published at relay 1 and relay 4; 1 relay pulls it.'],
  [{ 1: [0] }, 'x is published at no relay; 1 relay pulls it.'],
])('%j in a sentence', (told, expected) => {
  const mesh = meshOf(told);
  expect(sayTree('x', treeOf(mesh, HASH), labels(mesh))).toBe(expected);
});

test('a node that turns from one to the other, at once or by and by', () => {
  const [line, star] = [
    { 0: [null], 1: [0], 2: [1] },
    { 0: [null], 1: [0], 2: [0] },
  ];
  expect(turns(line, line)).toEqual([]);
  expect(turns(line, star)).toEqual(['turn: relay 3 now pulls from relay 1']);
  const both = { ...line, 2: [0, 1] };
  expect(turns(line, both)).toEqual(['turn: relay 3 now pulls from relay 1, and still from relay 2']);
  expect(turns(both, star)).toEqual(['turn: relay 3 now pulls from relay 1 alone']);
  expect(turns(star, { 0: [null], 2: [0] })).toEqual(['turn: relay 2 pulls it no longer']);
  expect(turns(star, { 0: [null], 2: [0] }, [1])).toEqual([]);
});

test('a publisher that comes, and one that goes', () => {
  expect(turns({}, { 3: [null] })).toEqual(['good: relay 4 publishes it now']);
  expect(turns({ 3: [null] }, { 3: [0] })).toEqual([
    'bad: relay 4 publishes it no longer',
    'turn: relay 4 now pulls from relay 1',
  ]);
});

test('many that turn are told as a number', () => {
  const all = (from: number): Told => Object.fromEntries(Array.from({ length: 9 }, (_, index) => [index + 2, [from]]));
  const told = turns(all(0), all(1), [], 12);
  expect(told.length).toBe(6);
  expect(told.at(-1)).toBe('turn: and 4 more pull from elsewhere');
});

test('pulls that are none are left out, and relays of before tell of none', () => {
  const all = answer(2, []);
  const odd = [
    null,
    5,
    {},
    { hash: 'x', from: null },
    { hash: HASH },
    { hash: HASH, from: 7 },
    { hash: 7, from: null },
  ];
  const many = Array.from({ length: 1000 }, () => ({ hash: HASH, from: null }));
  const [first, second] = all.nodes;
  const read = readMesh({ ...all, nodes: [{ ...first, pulls: [...odd, ...many] }, second] });
  expect(read?.nodes.map(({ pulls }) => pulls.length)).toEqual([57, 0]);
});
