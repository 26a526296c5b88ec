import { expect, test } from 'vitest';
import { waysTo } from '../../../src/overlay/ways';
import { id, large, mesh } from './mesh';

test('the cheaper of two ways is taken, and a dead link is none', () => {
  const links = [
    [0, 1, { rtt: 10 }],
    [1, 2, { rtt: 10 }],
    [0, 2, { rtt: 50 }],
  ] as const;
  expect(waysTo(mesh(3, links), id(0))).toEqual(
    new Map([
      [id(1), id(0)],
      [id(2), id(1)],
    ]),
  );
  const cut = [links[0], [1, 2, { rtt: 10, health: 'down' }] as const, links[2]];
  expect(waysTo(mesh(3, cut), id(0)).get(id(2))).toBe(id(0));
});

test('who cannot be reached has no way, and a root that is not there has none at all', () => {
  const split = mesh(4, [
    [0, 1],
    [2, 3],
  ]);
  expect([...waysTo(split, id(0)).keys()]).toEqual([id(1)]);
  expect(waysTo(split, 'elsewhere').size).toBe(0);
});

test('of a large mesh the ways are a tree: each node comes to the root', () => {
  const whole = mesh(200, large());
  const ways = waysTo(whole, id(17));
  expect(ways.size).toBe(199);
  for (const { id: start } of whole.nodes) {
    let [at, hops] = [start, 0];
    for (let next = ways.get(at); next !== undefined; next = ways.get(at)) {
      at = next;
      hops += 1;
      expect(hops).toBeLessThan(200);
    }
    expect(at).toBe(id(17));
  }
});
