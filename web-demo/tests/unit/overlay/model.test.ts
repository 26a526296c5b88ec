import { expect, test } from 'vitest';
import { labels, neighbours, readMesh } from '../../../src/overlay/model';
import { answer, id, mesh } from './mesh';

function at(told: ReturnType<typeof answer>, index: number) {
  const node = told.nodes[index];
  if (node === undefined) throw new Error(`the test has no node ${index}`);
  return node;
}

test('both views of a link become one, by the worse of both', () => {
  const told = answer(2, [[0, 1]]);
  at(told, 1).links[0] = { node: id(0), health: 'suspect', cost_us: 31_000, rtt_ms: 60, loss: 0.25 };
  const read = readMesh(told);
  expect(read?.links).toEqual([
    { key: `${id(0)} ${id(1)}`, ends: [id(0), id(1)], rtt: 50, loss: 0.25, cost: 26, health: 'suspect' },
  ]);
});

test('a link to a node that nobody tells of is left out, one that only one end tells of is not', () => {
  const told = answer(3, [
    [0, 1],
    [1, 2],
  ]);
  at(told, 1).links = [];
  told.nodes.pop();
  expect(readMesh(told)?.links.map(({ ends }) => ends)).toEqual([[id(0), id(1)]]);
});

test('nodes without a name go by their id, and who is unknown too', () => {
  const told = answer(1, []);
  at(told, 0).name = ' ';
  const read = readMesh(told);
  expect(read?.nodes[0]?.label).toBe('00000000');
  expect(labels()('abcdefghijkl')).toBe('abcdefgh');
});

test('neighbours are those at the other ends', () => {
  const read = mesh(3, [
    [0, 1],
    [2, 0],
  ]);
  expect(neighbours(read, id(0))).toEqual([id(1), id(2)]);
});

test.each([null, 7, 'x', [], {}, { nodes: 'many' }])('%j is no overlay', (told) => {
  expect(readMesh(told)).toBeUndefined();
});

test('what members should not say is limited, and spoils nothing else', () => {
  const odd = {
    node: 'x'.repeat(1000),
    name: `<b>${'n'.repeat(1000)}`,
    uptime_s: -1,
    load: 1e300,
    clients: 'many',
    tracks: Number.NaN,
    links: [null, { node: id(0), loss: 9, rtt_ms: 'far', cost_us: -5, health: 'splendid' }, { node: 'x'.repeat(1000) }],
  };
  const told = { asked: id(0), nodes: [...answer(1, []).nodes, null, 5, { name: 'no id' }, odd] };
  const read = readMesh(told);
  expect(
    read?.nodes.map(({ label, uptime, load, clients, tracks }) => [label.length, uptime, load, clients, tracks]),
  ).toEqual([
    [7, 60, 0.1, 0, 2],
    [64, 0, 1, 0, 0],
  ]);
  expect(read?.links.map(({ rtt, loss, cost, health }) => [rtt, loss, cost, health])).toEqual([
    [undefined, 1, 0, 'ok'],
  ]);
});

test('no more nodes are taken than a relay tells of', () => {
  expect(mesh(1100, []).nodes.length).toBe(1024);
});
