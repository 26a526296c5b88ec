/// The overlay page: asks the relay that it came from each second, and shows the mesh as a picture, a log and two tables.
import { type Change, changes } from '../overlay/changes';
import { canvas, draw, say } from '../overlay/draw';
import { type Layout, place } from '../overlay/layout';
import { labels, linkKey, type Mesh, type MeshNode, neighbours, readMesh } from '../overlay/model';
import { pause, reason } from '../overlay/poll';
import { type Ways, waysTo } from '../overlay/ways';

const SOURCE = '/api/v1/overlay';
const ANSWER_MS = 10_000;
const MAX_LOG = 200;

/** What the page knows between two answers. */
interface State {
  mesh: Mesh | undefined;
  layout: Layout;
  /** The node that ways lead to; empty: the one that is asked. */
  root: string;
  ways: Ways;
  chosen: string | undefined;
}

const state: State = { mesh: undefined, layout: new Map(), root: '', ways: new Map(), chosen: undefined };
const status = make('p', { role: 'status' }, 'Asking the relay…');
const picture = canvas();
const roots = make('select', {});
const log = make('ol', { role: 'log', 'aria-label': 'What happened', tabindex: '0' });
const nodeTable = make('tbody', {});
const linkTable = make('tbody', {});

function build(): void {
  const choice = make('label', {}, 'Shortest ways to ', roots);
  const legend = make(
    'p',
    { class: 'legend' },
    'Blue: the node chosen above, and the ways that media published there takes. Green ring: the node that tells. Red: loses packets, or (dashed) is silent or down.',
  );
  const page = document.getElementById('page');
  const links = make('nav', {}, link('/', 'Broadcasts'), ' ', link('/-/publish', 'Publish'));
  page?.append(
    make('header', {}, make('h1', {}, 'Overlay'), links),
    status,
    make('div', { class: 'bar' }, choice),
    make('div', { class: 'columns' }, make('figure', {}, picture, legend), panel('What happened', log)),
    panel('Nodes', table(['Node', 'Up', 'Clients', 'Tracks', 'Load', 'Neighbours', 'Next on the way'], nodeTable)),
    panel('Links', table(['Between', 'And', 'Round trip', 'Loss', 'Cost', 'Health'], linkTable)),
  );
  roots.addEventListener('change', () => {
    state.root = roots.value;
    if (state.mesh !== undefined) show(state.mesh);
  });
}

/** Asks for ever; the page's life is the loop's. */
async function ask(): Promise<never> {
  for (let failures = 0; ; ) {
    const problem = await look();
    failures = problem === undefined ? 0 : failures + 1;
    if (problem !== undefined) {
      status.textContent = problem;
      status.classList.add('problem');
    }
    await new Promise((done) => setTimeout(done, pause(failures)));
  }
}

/** One question; says what went wrong, if anything. */
async function look(): Promise<string | undefined> {
  try {
    const answer = await fetch(SOURCE, { signal: AbortSignal.timeout(ANSWER_MS) });
    if (!answer.ok) return reason(answer.status, await answer.text());
    const mesh = readMesh(await answer.json());
    if (mesh === undefined) return 'The relay says something that is no overlay. Asking again.';
    take(mesh);
    return undefined;
  } catch {
    return reason(undefined, '');
  }
}

function take(mesh: Mesh): void {
  const before = state.mesh;
  const root = state.root || mesh.asked;
  const ways = waysTo(mesh, root);
  if (before !== undefined) note(changes(before, mesh, { before: state.ways, after: ways }));
  if (before === undefined || shape(before) !== shape(mesh)) state.layout = place(mesh, state.layout);
  state.mesh = mesh;
  status.classList.remove('problem');
  status.textContent = `${count(mesh.nodes.length, 'node')}, ${count(mesh.links.length, 'link')}, as ${labels(mesh)(mesh.asked)} sees them.`;
  show(mesh);
}

/** Who is there and linked to whom: what the layout depends on. */
function shape(mesh: Mesh): string {
  return [...mesh.nodes.map(({ id }) => id), ...mesh.links.map(({ key }) => key)].join('\n');
}

function show(mesh: Mesh): void {
  const root = state.root || mesh.asked;
  state.ways = waysTo(mesh, root);
  showRoots(mesh, root);
  draw(picture, mesh, { layout: state.layout, root, ways: state.ways, chosen: state.chosen }, choose);
  const name = labels(mesh);
  rows(
    nodeTable,
    mesh.nodes.map((node) => nodeRow(mesh, node, name)),
  );
  rows(
    linkTable,
    mesh.links.map((one) => {
      const [a, b] = one.ends.map(name);
      const [rtt = ''] = say(one).split(',');
      const cells = [
        a ?? '',
        b ?? '',
        rtt,
        `${(one.loss * 100).toFixed(1)} %`,
        `${one.cost.toFixed(1)} ms`,
        one.health,
      ];
      return make('tr', { 'data-key': linkKey(...one.ends) }, ...cells.map((text) => make('td', {}, text)));
    }),
  );
}

function nodeRow(mesh: Mesh, node: MeshNode, name: (id: string) => string): HTMLTableRowElement {
  const button = make('button', { type: 'button', 'aria-pressed': String(node.id === state.chosen) }, node.label);
  button.addEventListener('click', () => choose(node.id));
  const next = state.ways.get(node.id);
  const cells = [
    uptime(node.uptime),
    String(node.clients),
    String(node.tracks),
    `${Math.round(node.load * 100)} %`,
    String(neighbours(mesh, node.id).length),
    next === undefined ? '–' : name(next),
  ];
  const head = make('th', { scope: 'row' }, button);
  return make('tr', { 'data-key': node.id }, head, ...cells.map((text) => make('td', {}, text)));
}

/** Puts rows in place without taking the focus away from the button that has it. */
function rows(body: HTMLTableSectionElement, made: readonly HTMLTableRowElement[]): void {
  const focused = document.activeElement?.closest('tr')?.dataset['key'];
  const inside = body.contains(document.activeElement);
  body.replaceChildren(...made);
  if (inside)
    made
      .find((row) => row.dataset['key'] === focused)
      ?.querySelector('button')
      ?.focus({ preventScroll: true });
}

function showRoots(mesh: Mesh, root: string): void {
  const wanted = mesh.nodes.map(({ id, label }) => `${id} ${label}`).join('\n');
  if (roots.dataset['shown'] !== wanted) {
    roots.dataset['shown'] = wanted;
    roots.replaceChildren(...mesh.nodes.map(({ id, label }) => make('option', { value: id }, label)));
  }
  roots.value = root;
}

function choose(id: string): void {
  state.chosen = state.chosen === id ? undefined : id;
  if (state.mesh !== undefined) show(state.mesh);
}

function note(happened: readonly Change[]): void {
  const time = new Date().toLocaleTimeString();
  log.prepend(...happened.map(({ kind, text }) => make('li', { class: kind }, make('time', {}, time), ` ${text}`)));
  while (log.childElementCount > MAX_LOG) log.lastElementChild?.remove();
}

function uptime(seconds: number): string {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} days`;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

function link(href: string, text: string): HTMLAnchorElement {
  return make('a', { href }, text);
}

function panel(heading: string, content: HTMLElement): HTMLElement {
  return make('section', {}, make('h2', {}, heading), content);
}

function table(heads: readonly string[], body: HTMLTableSectionElement): HTMLElement {
  const row = make('tr', {}, ...heads.map((text) => make('th', { scope: 'col' }, text)));
  return make('div', { class: 'scroll' }, make('table', {}, make('thead', {}, row), body));
}

function make<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Readonly<Record<string, string>>,
  ...content: readonly (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...content);
  return made;
}

build();
void ask();
