/// The tree of one broadcast as the relays tell of it: where it is published, and who pulls it from whom.
///
/// Each relay tells of its own end within a moment of its own, so for a second or two after a change parts of it may be old: a
/// relay may pull from one that is gone, or from two while it changes over. It is shown as told.
import type { Change } from './changes';
import type { Mesh } from './model';

/** What one node has of a broadcast. */
export interface Branch {
  readonly published: boolean;
  /** Nodes that it pulls from, in order of their ids; two while it changes over. */
  readonly from: readonly string[];
}

/** By node; who serves nothing of the broadcast is not in it. */
export type Tree = ReadonlyMap<string, Branch>;

/** In a large mesh one node that leaves turns many; more than this are told as a number. */
const MOST_TURNS = 5;

/** The tree of the namespace with this hash. */
export function treeOf(mesh: Mesh, hash: string): Tree {
  const tree = new Map<string, Branch>();
  for (const { id, pulls } of mesh.nodes) {
    const own = pulls.filter((pull) => pull.hash === hash);
    if (own.length === 0) continue;
    const from = new Set(own.flatMap((pull) => pull.from ?? []));
    tree.set(id, { published: own.some((pull) => pull.from === undefined), from: [...from].sort() });
  }
  return tree;
}

/** Where a node has the broadcast from, in words; nothing if it has not. */
export function sayBranch(branch: Branch | undefined, name: (id: string) => string): string {
  if (branch === undefined) return '–';
  return [...(branch.published ? ['published here'] : []), ...branch.from.map(name)].join(', ');
}

/** The whole tree in a sentence. */
export function sayTree(title: string, tree: Tree, name: (id: string) => string): string {
  const publishers = [...tree].filter(([, { published }]) => published).map(([id]) => name(id));
  const pullers = [...tree.values()].filter(({ from }) => from.length > 0).length;
  if (tree.size === 0) return `No relay says that it has ${title}.`;
  const where = publishers.length === 0 ? 'is published at no relay' : `is published at ${publishers.join(' and ')}`;
  const who =
    pullers === 0 ? 'no other relay pulls it' : `${pullers} ${pullers === 1 ? 'relay pulls' : 'relays pull'} it`;
  return `${title} ${where}; ${who}.`;
}

/** What happened to the tree between two answers. */
export function treeChanges(before: Tree, after: Tree, there: (id: string) => boolean, name: (id: string) => string) {
  const found: Change[] = [];
  const turns: string[] = [];
  for (const id of [...new Set([...before.keys(), ...after.keys()])].sort()) {
    const [old, now] = [before.get(id), after.get(id)];
    if (old?.published && !now?.published && there(id)) found.push(bad(`${name(id)} publishes it no longer`));
    if (now?.published && !old?.published) found.push(good(`${name(id)} publishes it now`));
    const turn = sayTurn(old?.from ?? [], now?.from ?? [], name);
    // That a node is gone is told already.
    if (turn !== undefined && there(id)) turns.push(`${name(id)} ${turn}`);
  }
  found.push(...turns.slice(0, MOST_TURNS).map(turned));
  const more = turns.length - MOST_TURNS;
  if (more > 0) found.push(turned(`and ${more} more pull from elsewhere`));
  return found;
}

function sayTurn(old: readonly string[], now: readonly string[], name: (id: string) => string): string | undefined {
  const names = (ids: readonly string[]) => ids.map(name).join(' and ');
  const came = now.filter((id) => !old.includes(id));
  const stayed = now.filter((id) => old.includes(id));
  if (came.length > 0) {
    return `now pulls from ${names(came)}${stayed.length > 0 ? `, and still from ${names(stayed)}` : ''}`;
  }
  if (stayed.length === old.length) return undefined;
  return stayed.length > 0 ? `now pulls from ${names(stayed)} alone` : 'pulls it no longer';
}

function good(text: string): Change {
  return { kind: 'good', text };
}

function bad(text: string): Change {
  return { kind: 'bad', text };
}

function turned(text: string): Change {
  return { kind: 'turn', text };
}
