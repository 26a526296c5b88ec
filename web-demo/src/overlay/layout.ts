/// Where the nodes are drawn: a force layout (Fruchterman and Reingold, 1991) without chance, so that the same mesh looks the same
/// on every screen, and one that changes a little moves a little.
import type { Mesh } from './model';

export interface Point {
  readonly x: number;
  readonly y: number;
}

export type Layout = ReadonlyMap<string, Point>;

/** Steps for a picture from nothing, and for one that some nodes were added to. */
const FRESH_STEPS = 300;
const LATER_STEPS = 60;
/** Pairs of nodes that one layout looks at: with a thousand nodes it takes fewer steps, for the page must not stand still. */
const MOST_WORK = 12e6;
/** Angle between two seeds of a sunflower: no two nodes begin at one place, none far outside. */
const GOLDEN = Math.PI * (3 - Math.sqrt(5));
/** Keeps what has no link to the rest near it. */
const GRAVITY = 0.05;

interface Body {
  readonly id: string;
  x: number;
  y: number;
  dx: number;
  dy: number;
}

/** Places every node inside a box of 1 by 1; nodes of `before` stay near where they were. */
export function place(mesh: Mesh, before: Layout = new Map()): Layout {
  const bodies = start(mesh, before);
  const known = bodies.filter(({ id }) => before.has(id)).length;
  const ideal = 1 / Math.sqrt(Math.max(1, bodies.length));
  const byId = new Map(bodies.map((body) => [body.id, body]));
  const springs = mesh.links.flatMap(({ ends: [a, b] }) => {
    const [one, other] = [byId.get(a), byId.get(b)];
    return one === undefined || other === undefined ? [] : [[one, other] as const];
  });
  const fresh = known <= bodies.length / 2;
  const pairs = (bodies.length * bodies.length) / 2;
  const steps = Math.ceil(Math.min(fresh ? FRESH_STEPS : LATER_STEPS, MOST_WORK / pairs));
  for (let step = 0; step < steps; step += 1) {
    // Less and less may move, from half an ideal length (of what is placed anew) to nothing.
    const heat = ideal * (fresh ? 1 : 0.3) * (1 - step / steps);
    relax(bodies, springs, ideal, heat);
  }
  return stretch(bodies);
}

function start(mesh: Mesh, before: Layout): Body[] {
  const count = Math.max(1, mesh.nodes.length);
  return mesh.nodes.map(({ id }, index) => {
    const radius = 0.5 * Math.sqrt((index + 0.5) / count);
    const seed = { x: 0.5 + radius * Math.cos(index * GOLDEN), y: 0.5 + radius * Math.sin(index * GOLDEN) };
    return { id, ...(before.get(id) ?? seed), dx: 0, dy: 0 };
  });
}

function relax(
  bodies: readonly Body[],
  springs: readonly (readonly [Body, Body])[],
  ideal: number,
  heat: number,
): void {
  for (const body of bodies) {
    body.dx = (0.5 - body.x) * GRAVITY;
    body.dy = (0.5 - body.y) * GRAVITY;
  }
  bodies.forEach((one, index) => {
    for (let next = index + 1; next < bodies.length; next += 1) {
      const other = bodies[next];
      if (other !== undefined) push(one, other, (ideal * ideal) / squared(one, other));
    }
  });
  for (const [one, other] of springs) push(one, other, -Math.sqrt(squared(one, other)) / ideal);
  for (const body of bodies) {
    const far = Math.hypot(body.dx, body.dy);
    if (far === 0) continue;
    const step = Math.min(far, heat) / far;
    body.x += body.dx * step;
    body.y += body.dy * step;
  }
}

/** Of the distance of two bodies; not quite nothing, so that it can be divided by. */
function squared(one: Body, other: Body): number {
  const x = one.x - other.x;
  const y = one.y - other.y;
  return Math.max(x * x + y * y, 1e-9);
}

/** Moves two bodies apart by a part of their distance, or together if it is less than nothing. */
function push(one: Body, other: Body, part: number): void {
  const x = (one.x - other.x) * part;
  const y = (one.y - other.y) * part;
  one.dx += x;
  one.dy += y;
  other.dx -= x;
  other.dy -= y;
}

/** Stretches what was placed to the box; a lone node, or a line, stays in the middle of what it does not fill. */
function stretch(bodies: readonly Body[]): Layout {
  const [xs, ys] = [bodies.map(({ x }) => x), bodies.map(({ y }) => y)];
  const scale = (values: readonly number[]) => {
    const [least, most] = [Math.min(...values), Math.max(...values)];
    return most - least < 1e-3 ? () => 0.5 : (value: number) => (value - least) / (most - least);
  };
  const [toX, toY] = [scale(xs), scale(ys)];
  return new Map(bodies.map(({ id, x, y }) => [id, { x: toX(x), y: toY(y) }]));
}
