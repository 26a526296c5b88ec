/// The overlay page: asks the relay that it came from each second, and shows the mesh as a picture, a log and two tables; over
/// the links the tree of a broadcast, or the shortest ways to a node.
import { element } from '../embed/dom';
import { type Change, changes } from '../overlay/changes';
import { canvas, draw, type Flow } from '../overlay/draw';
import { type Layout, place } from '../overlay/layout';
import { labels, type Mesh, readMesh } from '../overlay/model';
import { pause, reason } from '../overlay/poll';
import { sayTree, treeChanges, treeOf } from '../overlay/tree';
import { waysTo } from '../overlay/ways';
import { followNamespaces } from './namespaces';
import { Menu } from './overlayMenu';
import { panel, Tables } from './overlayTables';

const SOURCE = '/api/v1/overlay';
const ANSWER_MS = 10_000;
const MAX_LOG = 200;
const LEGENDS = {
  tree: 'Filled: where it is published. Arrows: from whom each relay pulls it.',
  ways: 'Filled: the node chosen above. Thick lines: the shortest ways to it.',
  both: 'White ring: the node that tells. Red: loses packets, or (dashed) is silent or down.',
};

/** What the page knows between two answers. */
interface State {
  mesh: Mesh | undefined;
  layout: Layout;
  chosen: string | undefined;
}

const state: State = { mesh: undefined, layout: new Map(), chosen: undefined };
const status = element('p', { class: 'status', role: 'status' }, 'Asking the relay…');
const sentence = element('p', { class: 'tree', role: 'status' });
const legend = element('p', { class: 'legend' });
const picture = canvas();
const log = element('ol', { role: 'log', 'aria-label': 'What happened', tabindex: '0' });
const menu = new Menu(() => state.mesh !== undefined && show(state.mesh));
const tables = new Tables(choose);

function build(): void {
  const figure = element('figure', {}, picture, legend);
  document
    .getElementById('page')
    ?.append(
      element('h1', {}, 'Overlay'),
      status,
      menu.bar,
      sentence,
      element('div', { class: 'columns' }, figure, panel('What happened', log)),
      ...tables.sections,
      element(
        'nav',
        { 'aria-label': 'More' },
        element('a', { href: `/${location.hash}` }, 'Broadcasts'),
        element('a', { href: `/-/publish${location.hash}` }, 'Go live'),
      ),
    );
}

/** Asks for ever; the page's life is the loop's. */
async function ask(): Promise<never> {
  for (let failures = 0; ; ) {
    const problem = await look();
    failures = problem === undefined ? 0 : failures + 1;
    if (problem !== undefined) tell(status, problem);
    status.classList.toggle('problem', problem !== undefined);
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
  if (before !== undefined) note(happened(before, mesh));
  if (before === undefined || shape(before) !== shape(mesh)) state.layout = place(mesh, state.layout);
  state.mesh = mesh;
  const [nodes, links] = [count(mesh.nodes.length, 'node'), count(mesh.links.length, 'link')];
  tell(status, `${nodes}, ${links}, as ${labels(mesh)(mesh.asked)} sees them.`);
  show(mesh);
}

/** Between two answers, to the mesh and to what is shown over it. */
function happened(before: Mesh, after: Mesh): Change[] {
  const [old, now] = [flowOf(before), flowOf(after)];
  if (old.kind === 'ways' && now.kind === 'ways') return changes(before, after, { before: old.ways, after: now.ways });
  const found = changes(before, after);
  if (old.kind !== 'tree' || now.kind !== 'tree') return found;
  const ids = new Set(after.nodes.map(({ id }) => id));
  return [...found, ...treeChanges(old.tree, now.tree, (id) => ids.has(id), labels(before, after))];
}

function flowOf(mesh: Mesh): Flow {
  const { shown } = menu;
  if (shown.kind === 'tree') return { kind: 'tree', tree: treeOf(mesh, shown.hash) };
  const root = shown.root || mesh.asked;
  return { kind: 'ways', root, ways: waysTo(mesh, root) };
}

/** Who is there and linked to whom: what the layout depends on. */
function shape(mesh: Mesh): string {
  return [...mesh.nodes.map(({ id }) => id), ...mesh.links.map(({ key }) => key)].join('\n');
}

function show(mesh: Mesh): void {
  const { shown } = menu;
  const flow = flowOf(mesh);
  menu.take(mesh);
  draw(picture, mesh, { layout: state.layout, flow, chosen: state.chosen }, choose);
  tables.show(mesh, flow, state.chosen);
  tell(legend, `${LEGENDS[flow.kind]} ${LEGENDS.both}`);
  tell(sentence, flow.kind === 'tree' && shown.kind === 'tree' ? sayTree(shown.title, flow.tree, labels(mesh)) : '');
}

function choose(id: string): void {
  state.chosen = state.chosen === id ? undefined : id;
  if (state.mesh !== undefined) show(state.mesh);
}

/** The same words again are no news for who listens. */
function tell(where: HTMLElement, words: string): void {
  if (where.textContent !== words) where.textContent = words;
}

function note(found: readonly Change[]): void {
  const time = new Date().toLocaleTimeString();
  const lines = found.map(({ kind, text }) => element('li', { class: kind }, element('time', {}, time), ` ${text}`));
  log.prepend(...lines);
  while (log.childElementCount > MAX_LOG) log.lastElementChild?.remove();
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

build();
void ask();
void followNamespaces({
  begin: () => menu.begin(),
  change: (namespace, active) => menu.change(namespace, active),
  problem: (words) => menu.hint(words),
});
