/// The picture of the mesh as SVG: a line for each link, a disc for each node, labels where there is room for them. Over the links
/// go the arrows of a broadcast's tree, or the ways to a node.
import type { Layout, Point } from './layout';
import { labels, linkKey, type Mesh, type MeshLink, type MeshNode } from './model';
import type { Branch, Tree } from './tree';
import type { Ways } from './ways';

/** What flows, or would. */
export type Flow =
  | { readonly kind: 'ways'; readonly root: string; readonly ways: Ways }
  | { readonly kind: 'tree'; readonly tree: Tree };

/** What the picture shows beside the mesh itself. */
export interface View {
  readonly layout: Layout;
  readonly flow: Flow;
  /** The node whose links and label stand out. */
  readonly chosen: string | undefined;
}

const SVG = 'http://www.w3.org/2000/svg';
const WIDTH = 1000;
const HEIGHT = 640;
const MARGIN = 70;
/** With more nodes than this, only some have labels, and links have no numbers. */
const ROOM_FOR_LABELS = 40;
const ROOM_FOR_NUMBERS = 12;
const ARROW = 'pull-arrow';

/** An empty picture, which `draw` fills. */
export function canvas(): SVGSVGElement {
  return element('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', class: 'mesh' });
}

export function draw(svg: SVGSVGElement, mesh: Mesh, view: View, choose: (id: string) => void): void {
  svg.setAttribute(
    'aria-label',
    `${mesh.nodes.length} nodes and ${mesh.links.length} links; the tables below say the same`,
  );
  const name = labels(mesh);
  const links = group(mesh.links.map((link) => drawLink(link, view, name)));
  const nodes = group(mesh.nodes.map((node) => drawNode(mesh, node, view, choose)));
  const crowd = mesh.nodes.length > ROOM_FOR_LABELS;
  svg.classList.toggle('crowd', crowd);
  // Words last: in a crowd they would be under discs.
  const words = group([...numbers(mesh, view), ...mesh.nodes.flatMap((node) => captions(mesh, node, view))]);
  svg.replaceChildren(arrowhead(crowd), links, group(arrows(mesh, view, name)), nodes, words);
}

function drawLink(link: MeshLink, view: View, name: (id: string) => string): SVGElement {
  const [a, b] = link.ends;
  const [from, to] = [at(view.layout, a), at(view.layout, b)];
  const { flow } = view;
  const onWay = flow.kind === 'ways' && (flow.ways.get(a) === b || flow.ways.get(b) === a);
  const near = view.chosen === a || view.chosen === b;
  const classes = ['link', ...ill(link), ...(onWay ? ['way'] : []), ...(near ? ['near'] : [])];
  const line = element('line', { x1: from.x, y1: from.y, x2: to.x, y2: to.y, class: classes.join(' ') });
  line.append(title(`${name(a)} – ${name(b)}: ${say(link)}`));
  return line;
}

/** What is wrong with a link, as classes. */
function ill(link: MeshLink | undefined): string[] {
  return [
    ...(link === undefined || link.health === 'ok' ? [] : [link.health]),
    ...((link?.loss ?? 0) > 0.02 ? ['lossy'] : []),
  ];
}

function numbers(mesh: Mesh, view: View): SVGElement[] {
  const told = mesh.links.filter(
    ({ ends }) => mesh.nodes.length <= ROOM_FOR_NUMBERS || ends.some((id) => id === view.chosen),
  );
  return told.map((link) => {
    const [a, b] = link.ends;
    const [from, to] = [at(view.layout, a), at(view.layout, b)];
    const text = element('text', { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 - 6, class: 'number' });
    text.textContent = say(link);
    return text;
  });
}

/** An arrow from each upstream to the node that pulls from it. */
function arrows(mesh: Mesh, view: View, name: (id: string) => string): SVGElement[] {
  if (view.flow.kind !== 'tree') return [];
  const nodes = new Map(mesh.nodes.map((node) => [node.id, node]));
  const links = new Map(mesh.links.map((link) => [link.key, link]));
  return [...view.flow.tree].flatMap(([id, branch]) =>
    branch.from.flatMap((upstream) => {
      const [from, to] = [nodes.get(upstream), nodes.get(id)];
      if (from === undefined || to === undefined) return [];
      const [start, end] = between(mesh, from, to, view);
      const link = links.get(linkKey(upstream, id));
      const line = element('line', {
        x1: start.x,
        y1: start.y,
        x2: end.x,
        y2: end.y,
        class: ['pull', ...ill(link)].join(' '),
        'marker-end': `url(#${ARROW})`,
      });
      line.append(title(`${name(id)} pulls from ${name(upstream)}`));
      return [line];
    }),
  );
}

/** Where an arrow begins and ends: at the rims of the discs. */
function between(mesh: Mesh, from: MeshNode, to: MeshNode, view: View): [Point, Point] {
  const [a, b] = [at(view.layout, from.id), at(view.layout, to.id)];
  const far = Math.max(1, Math.hypot(b.x - a.x, b.y - a.y));
  const along = (length: number) => ({ x: a.x + ((b.x - a.x) * length) / far, y: a.y + ((b.y - a.y) * length) / far });
  return [
    along(Math.min(radius(mesh, from, view), far / 2)),
    along(Math.max(far - radius(mesh, to, view) - 2, far / 2)),
  ];
}

function arrowhead(crowd: boolean): SVGElement {
  const size = crowd ? 9 : 16;
  const marker = element(
    'marker',
    {
      id: ARROW,
      viewBox: '0 0 10 10',
      refX: 9,
      refY: 5,
      markerWidth: size,
      markerHeight: size,
      markerUnits: 'userSpaceOnUse',
      orient: 'auto',
    },
    [element('path', { d: 'M0 0 10 5 0 10z', class: 'arrowhead' })],
  );
  return element('defs', {}, [marker]);
}

function drawNode(mesh: Mesh, node: MeshNode, view: View, choose: (id: string) => void): SVGElement {
  const { x, y } = at(view.layout, node.id);
  const disc = element('circle', { cx: x, cy: y, r: radius(mesh, node, view) });
  disc.append(title(`${node.label}: ${node.clients} clients, ${node.tracks} tracks`));
  const made = element('g', { class: ['node', ...marksOf(mesh, node, view)].join(' ') }, [disc]);
  // A pointer's way to what the tables' buttons do for everybody.
  made.addEventListener('click', () => choose(node.id));
  return made;
}

/** What is written below a node, in a crowd only if it stands out. */
function captions(mesh: Mesh, node: MeshNode, view: View): SVGElement[] {
  const crowd = mesh.nodes.length > ROOM_FOR_LABELS;
  const marks = marksOf(mesh, node, view);
  if (crowd && !stands(marks)) return [];
  const { x, y } = at(view.layout, node.id);
  const first = y + radius(mesh, node, view) + (crowd ? 16 : 20);
  const caption = (line: number, words: string, kind: string) => {
    const text = element('text', { x, y: first + line * 18, class: kind });
    text.textContent = words;
    return text;
  };
  const publisher = marks.includes('publisher') ? [caption(1, 'publisher', 'mark')] : [];
  return [caption(0, node.label, 'label'), ...publisher];
}

function marksOf(mesh: Mesh, node: MeshNode, view: View): string[] {
  const { flow } = view;
  const branch: Branch | undefined = flow.kind === 'tree' ? flow.tree.get(node.id) : undefined;
  return [
    ...(node.id === mesh.asked ? ['asked'] : []),
    ...(flow.kind === 'ways' && node.id === flow.root ? ['root'] : []),
    ...(branch?.published ? ['publisher'] : []),
    ...(branch !== undefined && branch.from.length > 0 ? ['puller'] : []),
    ...(node.id === view.chosen ? ['chosen'] : []),
  ];
}

/** Whether a node has its label in a crowd: those who pull may be many. */
function stands(marks: readonly string[]): boolean {
  return marks.some((mark) => mark !== 'puller');
}

function radius(mesh: Mesh, node: MeshNode, view: View): number {
  const crowd = mesh.nodes.length > ROOM_FOR_LABELS;
  const more = stands(marksOf(mesh, node, view)) ? 4 : 0;
  return (crowd ? 7 : 16) + more + Math.min(crowd ? 4 : 8, Math.sqrt(node.clients));
}

/** What a link is like, in few signs. */
export function say(link: MeshLink): string {
  const rtt = link.rtt === undefined ? '? ms' : `${link.rtt < 10 ? link.rtt.toFixed(1) : Math.round(link.rtt)} ms`;
  return link.loss > 0 ? `${rtt}, ${(link.loss * 100).toFixed(1)} %` : rtt;
}

function at(layout: Layout, id: string): Point {
  const { x, y } = layout.get(id) ?? { x: 0.5, y: 0.5 };
  return { x: MARGIN + x * (WIDTH - 2 * MARGIN), y: MARGIN / 2 + y * (HEIGHT - 1.5 * MARGIN) };
}

function title(text: string): SVGTitleElement {
  const made = element('title', {});
  made.textContent = text;
  return made;
}

function group(children: readonly SVGElement[]): SVGElement {
  return element('g', {}, children);
}

function element<K extends keyof SVGElementTagNameMap>(
  name: K,
  attributes: Readonly<Record<string, string | number>>,
  children: readonly SVGElement[] = [],
): SVGElementTagNameMap[K] {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.append(...children);
  return made;
}
