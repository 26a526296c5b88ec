/// Meshes for tests, in the form of `/api/v1/overlay`.
import { type Mesh, readMesh } from '../../../src/overlay/model';

export type Ends = readonly [number, number, { rtt?: number; loss?: number; health?: string }?];

/** Nodes 0 to `count` - 1, called "relay 1" on, with these links, each told of by both ends. */
export function answer(count: number, links: readonly Ends[], uptime: (index: number) => number = () => 60) {
  const nodes = Array.from({ length: count }, (_, index) => ({
    node: id(index),
    name: `relay ${index + 1}`,
    uptime_s: uptime(index),
    load: 0.1,
    clients: index % 3,
    tracks: 2,
    links: links.flatMap(([a, b, { rtt = 40, loss = 0, health = 'ok' } = {}]) => {
      const other = a === index ? b : b === index ? a : undefined;
      if (other === undefined) return [];
      return [{ node: id(other), health, cost_us: rtt * 500 + 1000, rtt_ms: rtt, loss }];
    }),
  }));
  return { asked: id(0), nodes };
}

export function mesh(count: number, links: readonly Ends[], uptime?: (index: number) => number): Mesh {
  const read = readMesh(answer(count, links, uptime));
  if (read === undefined) throw new Error('the test says no overlay');
  return read;
}

/** As long as the relays' ids, in the order of their numbers. */
export function id(index: number): string {
  return index.toString(16).padStart(4, '0').padEnd(64, '0');
}

/** A ring with chords: 200 nodes as a mesh of friends might have them, each with about six neighbours. */
export function large(count = 200): Ends[] {
  const ring = Array.from(
    { length: count },
    (_, index): Ends => [index, (index + 1) % count, { rtt: 5 + (index % 40) }],
  );
  const chords = Array.from({ length: count }, (_, index): Ends[] => [
    [index, (index * 7 + 13) % count, { rtt: 20 + ((index * 31) % 120), loss: index % 29 === 0 ? 0.04 : 0 }],
    [index, (index + 3) % count, { rtt: 8 + (index % 11) }],
  ]).flat();
  return [...ring, ...chords].filter(([a, b]) => a !== b);
}
