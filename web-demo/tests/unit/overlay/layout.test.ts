import { expect, test, vi } from 'vitest';
import { type Layout, type Point, place } from '../../../src/overlay/layout';
import { pause, reason } from '../../../src/overlay/poll';
import { id, large, mesh } from './mesh';

// A layout of 200 nodes takes a second where compilers run beside it.
vi.setConfig({ testTimeout: 30_000 });

const far = (a: Point, b: Point) => Math.hypot(a.x - b.x, a.y - b.y);

function closest(layout: Layout): number {
  const points = [...layout.values()];
  return Math.min(...points.flatMap((one, index) => points.slice(index + 1).map((other) => far(one, other))));
}

test.each([1, 2, 3, 12, 200])('%i nodes are inside the box, apart, and the same each time', (count) => {
  const whole = mesh(
    count,
    count > 12 ? large(count) : Array.from({ length: count - 1 }, (_, index) => [index, index + 1] as const),
  );
  const layout = place(whole);
  expect(layout.size).toBe(count);
  for (const { x, y } of layout.values()) {
    expect(Math.min(x, y)).toBeGreaterThanOrEqual(0);
    expect(Math.max(x, y)).toBeLessThanOrEqual(1);
  }
  // Two discs of a large mesh are 14 wide, of 860 that the box is drawn to.
  if (count > 1) expect(closest(layout)).toBeGreaterThan(14 / 860);
  expect(place(whole)).toEqual(layout);
});

test('neighbours are nearer than strangers', () => {
  const whole = mesh(200, large());
  const layout = place(whole);
  const at = (node: string) => layout.get(node) ?? { x: 0, y: 0 };
  const linked = whole.links.map(({ ends: [a, b] }) => far(at(a), at(b)));
  const all = whole.nodes.flatMap(({ id: a }, index) =>
    whole.nodes.slice(index + 1).map(({ id: b }) => far(at(a), at(b))),
  );
  const mean = (values: number[]) => values.reduce((sum, one) => sum + one, 0) / values.length;
  expect(mean(linked)).toBeLessThan(mean(all) * 0.7);
});

test('a node that comes moves the others a little', () => {
  const before = place(mesh(50, large(50)));
  const after = place(mesh(51, [...large(50), [50, 3]]), before);
  const moved = [...before].map(([node, point]) => far(point, after.get(node) ?? { x: 9, y: 9 }));
  expect(after.has(id(50))).toBe(true);
  expect(moved.sort((a, b) => a - b)[25]).toBeLessThan(0.15);
});

test('the relay is asked each second, and less often while it fails', () => {
  expect([0, 1, 2, 5, 50].map(pause)).toEqual([1000, 2000, 4000, 30_000, 30_000]);
});

test('each failure has words of its own', () => {
  const reasons = [
    reason(undefined, ''),
    reason(404, '404: this relay is in no mesh: make one'),
    reason(404, 'nothing here'),
    reason(503, ''),
    reason(500, ''),
  ];
  expect(new Set(reasons).size).toBe(reasons.length);
  expect(reasons[2]).toContain('--public-overlay');
});
