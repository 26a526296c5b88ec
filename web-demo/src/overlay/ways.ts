/// The shortest ways from all nodes to one of them, by the costs of the links (Dijkstra, 1959).
///
/// The relays take the same way when nothing changes: media published at that node flows along this tree to whoever asks for it.
/// While they change over, or hold on to a way that is hardly longer, what they do may differ for a moment.
import type { Mesh } from './model';

/** The next node towards the root for each node that can reach it; the root itself is not in it. */
export type Ways = ReadonlyMap<string, string>;

export function waysTo(mesh: Mesh, root: string): Ways {
  const next = new Map<string, string>();
  if (!mesh.nodes.some(({ id }) => id === root)) return next;
  const distance = new Map([[root, 0]]);
  const hops = hopsOf(mesh);
  const open = new Set([root]);
  while (open.size > 0) {
    const from = nearest(open, distance);
    open.delete(from);
    const soFar = distance.get(from) ?? 0;
    for (const [to, cost] of hops.get(from) ?? []) {
      if (soFar + cost >= (distance.get(to) ?? Number.POSITIVE_INFINITY)) continue;
      distance.set(to, soFar + cost);
      next.set(to, from);
      open.add(to);
    }
  }
  return next;
}

/** Nodes that turned to another one, in order of their ids. */
export function turned(before: Ways, after: Ways): { node: string; from: string; to: string }[] {
  return [...after]
    .flatMap(([node, to]) => {
      const from = before.get(node);
      return from === undefined || from === to ? [] : [{ node, from, to }];
    })
    .sort((a, b) => (a.node < b.node ? -1 : 1));
}

function hopsOf(mesh: Mesh): Map<string, [string, number][]> {
  const hops = new Map<string, [string, number][]>(mesh.nodes.map(({ id }) => [id, []]));
  for (const { ends, cost, health } of mesh.links) {
    if (health === 'down') continue;
    const [a, b] = ends;
    // A cost of nothing would let a way run in a circle for free.
    const hop = Math.max(cost, 0.001);
    hops.get(a)?.push([b, hop]);
    hops.get(b)?.push([a, hop]);
  }
  return hops;
}

/** Of the open nodes the nearest one; of equals the smaller id, so that the same mesh has the same tree each time. */
function nearest(open: ReadonlySet<string>, distance: ReadonlyMap<string, number>): string {
  let best = '';
  let least = Number.POSITIVE_INFINITY;
  for (const id of open) {
    const far = distance.get(id) ?? Number.POSITIVE_INFINITY;
    if (far < least || (far === least && id < best)) [best, least] = [id, far];
  }
  return best;
}
