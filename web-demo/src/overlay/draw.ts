/// The picture of the mesh as SVG: a line for each link, a disc for each node, labels where there is room for them.
import type { Layout } from './layout';
import type { Mesh, MeshLink, MeshNode } from './model';
import type { Ways } from './ways';

/** What the picture shows beside the mesh itself. */
export interface View {
  readonly layout: Layout;
  /** The node that the ways lead to. */
  readonly root: string;
  readonly ways: Ways;
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

/** An empty picture, which `draw` fills. */
export function canvas(): SVGSVGElement {
  const svg = element('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', class: 'mesh' });
  return svg;
}

export function draw(svg: SVGSVGElement, mesh: Mesh, view: View, choose: (id: string) => void): void {
  svg.setAttribute(
    'aria-label',
    `${mesh.nodes.length} nodes and ${mesh.links.length} links; the tables below say the same`,
  );
  const links = element(
    'g',
    {},
    mesh.links.map((link) => drawLink(mesh, link, view)),
  );
  const nodes = element(
    'g',
    {},
    mesh.nodes.map((node) => drawNode(mesh, node, view, choose)),
  );
  svg.classList.toggle('crowd', mesh.nodes.length > ROOM_FOR_LABELS);
  svg.replaceChildren(links, nodes);
}

function drawLink(mesh: Mesh, link: MeshLink, view: View): SVGGElement {
  const [a, b] = link.ends;
  const [from, to] = [at(view.layout, a), at(view.layout, b)];
  const onWay = view.ways.get(a) === b || view.ways.get(b) === a;
  const near = view.chosen === a || view.chosen === b;
  const classes = ['link', link.health, onWay ? 'way' : '', link.loss > 0.02 ? 'lossy' : '', near ? 'near' : ''];
  const line = element('line', { x1: from.x, y1: from.y, x2: to.x, y2: to.y, class: classes.join(' ').trim() });
  line.append(title(`${say(link)}`));
  const group = element('g', {}, [line]);
  if (mesh.nodes.length <= ROOM_FOR_NUMBERS || near) {
    const middle = { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 - 6 };
    const text = element('text', { x: middle.x, y: middle.y, class: 'number' });
    text.textContent = say(link);
    group.append(text);
  }
  return group;
}

function drawNode(mesh: Mesh, node: MeshNode, view: View, choose: (id: string) => void): SVGGElement {
  const { x, y } = at(view.layout, node.id);
  const crowd = mesh.nodes.length > ROOM_FOR_LABELS;
  const marks = [
    node.id === mesh.asked ? 'asked' : '',
    node.id === view.root ? 'root' : '',
    node.id === view.chosen ? 'chosen' : '',
  ];
  const stands = marks.some((mark) => mark !== '');
  const radius = (crowd ? 7 : 16) + (stands ? 4 : 0) + Math.min(crowd ? 4 : 8, Math.sqrt(node.clients));
  const disc = element('circle', { cx: x, cy: y, r: radius });
  disc.append(title(`${node.label}: ${node.clients} clients, ${node.tracks} tracks`));
  const group = element('g', { class: `node ${marks.join(' ')}`.trim() }, [disc]);
  if (!crowd || stands) {
    const text = element('text', { x, y: y + radius + (crowd ? 16 : 20), class: 'label' });
    text.textContent = node.label;
    group.append(text);
  }
  // A pointer's way to what the tables' buttons do for everybody.
  group.addEventListener('click', () => choose(node.id));
  return group;
}

/** What a link is like, in few signs. */
export function say(link: MeshLink): string {
  const rtt = link.rtt === undefined ? '? ms' : `${link.rtt < 10 ? link.rtt.toFixed(1) : Math.round(link.rtt)} ms`;
  return link.loss > 0 ? `${rtt}, ${(link.loss * 100).toFixed(1)} %` : rtt;
}

function at(layout: Layout, id: string): { x: number; y: number } {
  const { x, y } = layout.get(id) ?? { x: 0.5, y: 0.5 };
  return { x: MARGIN + x * (WIDTH - 2 * MARGIN), y: MARGIN / 2 + y * (HEIGHT - 1.5 * MARGIN) };
}

function title(text: string): SVGTitleElement {
  const made = element('title', {});
  made.textContent = text;
  return made;
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
