import { expect, test } from 'vitest';
import { changes } from '../../../src/overlay/changes';
import type { Mesh } from '../../../src/overlay/model';
import { waysTo } from '../../../src/overlay/ways';
import { type Ends, id, mesh } from './mesh';

type View = NonNullable<Ends[2]>;

const TRIANGLE: Ends[] = [
  [0, 1],
  [1, 2],
  [0, 2, { rtt: 200 }],
];

function told(before: Mesh, after: Mesh): string[] {
  const ways = { before: waysTo(before, id(0)), after: waysTo(after, id(0)) };
  return changes(before, after, ways).map(({ kind, text }) => `${kind}: ${text}`);
}

test('nothing happened', () => {
  expect(
    told(
      mesh(3, TRIANGLE),
      mesh(3, TRIANGLE, () => 61),
    ),
  ).toEqual([]);
});

test('a node that leaves or comes is one sentence, and who takes another way says so', () => {
  const three = mesh(3, TRIANGLE);
  const two = { ...three, nodes: three.nodes.filter(({ id: one }) => one !== id(1)), links: three.links.slice(1, 2) };
  expect(told(three, two)).toEqual(['bad: relay 2 is gone', 'turn: relay 3 turned from relay 2 to relay 1']);
  expect(told(two, three)).toEqual(['good: relay 2 is there', 'turn: relay 3 turned from relay 1 to relay 2']);
});

test('many that take another way are told as a number', () => {
  const spokes = Array.from({ length: 9 }, (_, index): Ends => [1, index + 2]);
  const around = Array.from({ length: 9 }, (_, index): Ends => [0, index + 2, { rtt: 200 }]);
  const before = mesh(11, [[0, 1], ...spokes, ...around]);
  const after = mesh(11, [[0, 1], ...spokes.map(([a, b]): Ends => [a, b, { health: 'down' }]), ...around]);
  const turns = told(before, after).filter((text) => text.startsWith('turn'));
  expect(turns.length).toBe(6);
  expect(turns.at(-1)).toBe('turn: and 4 more turned');
});

test('a node that started again', () => {
  expect(
    told(
      mesh(1, []),
      mesh(1, [], () => 1),
    ),
  ).toEqual(['bad: relay 1 has started again']);
});

test('links that come and go between nodes that stay', () => {
  const [full, line] = [mesh(3, TRIANGLE), mesh(3, TRIANGLE.slice(0, 2))];
  expect(told(full, line)).toEqual(['bad: relay 1 – relay 3: link gone']);
  expect(told(line, full)).toEqual(['good: relay 1 – relay 3: new link']);
});

test.each<[string, View, View, string[]]>([
  ['silence', {}, { health: 'suspect' }, ['bad: relay 1 – relay 2: silent']],
  ['death', { health: 'suspect' }, { health: 'down' }, ['bad: relay 1 – relay 2: down']],
  ['recovery', { health: 'down' }, {}, ['good: relay 1 – relay 2: heard again']],
  ['loss', {}, { loss: 0.05 }, ['bad: relay 1 – relay 2: loses 5.0 %']],
  ['less loss', { loss: 0.05 }, { loss: 0.015 }, []],
  ['no loss', { loss: 0.015 }, {}, ['good: relay 1 – relay 2: loses nothing any more']],
  ['a longer way', { rtt: 20 }, { rtt: 80 }, ['bad: relay 1 – relay 2: round trip 20 → 80 ms']],
  ['a shorter way', { rtt: 80 }, { rtt: 20 }, ['good: relay 1 – relay 2: round trip 80 → 20 ms']],
  ['noise', { rtt: 100 }, { rtt: 120 }, []],
  ['small noise', { rtt: 1 }, { rtt: 5 }, []],
])('%s', (_, before, after, expected) => {
  expect(told(mesh(2, [[0, 1, before]]), mesh(2, [[0, 1, after]]))).toEqual(expected);
});
