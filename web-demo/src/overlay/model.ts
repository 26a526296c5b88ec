/// What `/api/v1/overlay` says, checked and turned into nodes and links with one entry each.
///
/// Every node tells of its own end of a link; the two are put together here. The answer comes from members of the mesh, who may
/// say anything: numbers are limited, texts shortened, and no more nodes and links are taken than a relay itself would tell of.

export type Health = 'ok' | 'suspect' | 'down';

export interface MeshNode {
  readonly id: string;
  /** Its name, or the beginning of its id. */
  readonly label: string;
  readonly uptime: number;
  /** Of its busiest resource, 0 to 1. */
  readonly load: number;
  readonly clients: number;
  readonly tracks: number;
  /** From where the broadcasts come that it serves. */
  readonly pulls: readonly Pull[];
}

export interface Pull {
  /** Of the broadcast's namespace, 16 hex digits. */
  readonly hash: string;
  /** The node that it is pulled from; undefined: it is published here. */
  readonly from: string | undefined;
}

export interface MeshLink {
  readonly key: string;
  /** The two ends, the smaller id first. */
  readonly ends: readonly [string, string];
  /** Milliseconds, the mean of both ends; undefined until measured. */
  readonly rtt: number | undefined;
  /** The worse of both directions, 0 to 1. */
  readonly loss: number;
  /** What a hop counts in routing, milliseconds, the mean of both ends. */
  readonly cost: number;
  /** The worse of both ends' opinions. */
  readonly health: Health;
}

export interface Mesh {
  /** The node that answered. */
  readonly asked: string;
  /** In order of their ids, as links are. */
  readonly nodes: readonly MeshNode[];
  readonly links: readonly MeshLink[];
}

const MAX_NODES = 1024;
const MAX_LINKS_OF_A_NODE = 256;
const MAX_PULLS_OF_A_NODE = 64;
const MAX_LABEL = 64;
const SHORT_ID = 8;
const HASH = /^[0-9a-f]{16}$/;
const HEALTHS: readonly Health[] = ['ok', 'suspect', 'down'];

/** Reads an answer; undefined if it is none. */
export function readMesh(answer: unknown): Mesh | undefined {
  if (!isRecord(answer) || !Array.isArray(answer['nodes'])) return undefined;
  const nodes = new Map<string, MeshNode>();
  const views = new Map<string, View[]>();
  for (const told of answer['nodes'].slice(0, MAX_NODES)) {
    const node = readNode(told);
    if (node === undefined) continue;
    nodes.set(node.id, node);
    for (const view of readViews(told)) {
      if (view.to === node.id) continue;
      const key = linkKey(node.id, view.to);
      views.set(key, [...(views.get(key) ?? []), view].slice(0, 2));
    }
  }
  const links = [...views]
    .map(([key, seen]) => joinViews(key, seen))
    .filter(({ ends }) => ends.every((id) => nodes.has(id)));
  return {
    asked: identity(answer['asked']),
    nodes: [...nodes.values()].sort((a, b) => order(a.id, b.id)),
    links: links.sort((a, b) => order(a.key, b.key)),
  };
}

/** The name of a link, whichever end is given first. */
export function linkKey(a: string, b: string): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}

/** Labels by id; an id that is not there stands for itself. */
export function labels(...meshes: readonly Mesh[]): (id: string) => string {
  const known = new Map(meshes.flatMap((mesh) => mesh.nodes.map((node) => [node.id, node.label] as const)));
  return (id) => known.get(id) ?? id.slice(0, SHORT_ID);
}

/** Ids of a node's neighbours. */
export function neighbours(mesh: Mesh, id: string): string[] {
  return mesh.links.flatMap(({ ends: [a, b] }) => (a === id ? [b] : b === id ? [a] : []));
}

interface View {
  readonly to: string;
  readonly rtt: number | undefined;
  readonly loss: number;
  readonly cost: number;
  readonly health: Health;
}

function readNode(told: unknown): MeshNode | undefined {
  if (!isRecord(told)) return undefined;
  const id = identity(told['node']);
  if (id === '') return undefined;
  return {
    id,
    label: text(told['name']) || id.slice(0, SHORT_ID),
    uptime: number(told['uptime_s']),
    load: Math.min(1, number(told['load'])),
    clients: number(told['clients']),
    tracks: number(told['tracks']),
    pulls: readPulls(told['pulls']),
  };
}

/** Relays of before do not tell what they pull. */
function readPulls(told: unknown): Pull[] {
  if (!Array.isArray(told)) return [];
  return told.slice(0, MAX_PULLS_OF_A_NODE).flatMap((pull: unknown) => {
    if (!isRecord(pull)) return [];
    const hash = text(pull['hash']);
    const from = identity(pull['from']);
    if (!HASH.test(hash) || (from === '' && pull['from'] !== null)) return [];
    return { hash, from: from === '' ? undefined : from };
  });
}

function readViews(told: unknown): View[] {
  if (!isRecord(told) || !Array.isArray(told['links'])) return [];
  return told['links'].slice(0, MAX_LINKS_OF_A_NODE).flatMap((link: unknown) => {
    if (!isRecord(link) || identity(link['node']) === '') return [];
    const rtt = link['rtt_ms'];
    return {
      to: identity(link['node']),
      rtt: typeof rtt === 'number' && rtt >= 0 ? rtt : undefined,
      loss: Math.min(1, number(link['loss'])),
      cost: number(link['cost_us']) / 1000,
      health: HEALTHS.find((health) => health === link['health']) ?? 'ok',
    };
  });
}

function joinViews(key: string, views: readonly View[]): MeshLink {
  const rtts = views.flatMap(({ rtt }) => (rtt === undefined ? [] : [rtt]));
  const [a = '', b = ''] = key.split(' ');
  return {
    key,
    ends: [a, b],
    rtt: rtts.length === 0 ? undefined : mean(rtts),
    loss: Math.max(...views.map(({ loss }) => loss)),
    cost: mean(views.map(({ cost }) => cost)),
    health: views.reduce<Health>((worst, { health }) => (worse(health, worst) ? health : worst), 'ok'),
  };
}

function worse(a: Health, b: Health): boolean {
  return HEALTHS.indexOf(a) > HEALTHS.indexOf(b);
}

function mean(numbers: readonly number[]): number {
  return numbers.reduce((sum, one) => sum + one, 0) / Math.max(1, numbers.length);
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** An id, without the blank that parts the two of a link's key. */
function identity(value: unknown): string {
  return text(value).replaceAll(' ', '');
}

function text(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, MAX_LABEL).trim() : '';
}

function number(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : 0;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
