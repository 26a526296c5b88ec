/// The overlay page's tables: the same as the picture, for everybody who does not look at pictures, and in numbers.

import { element } from '../embed/dom';
import { type Flow, say } from '../overlay/draw';
import { labels, type Mesh, type MeshLink, type MeshNode, neighbours } from '../overlay/model';
import { sayBranch } from '../overlay/tree';

const NODE_HEADS = ['Node', 'Up', 'Clients', 'Tracks', 'Load', 'Neighbours'];
const LINK_HEADS = ['Between', 'And', 'Round trip', 'Loss', 'Cost', 'Health'];

export class Tables {
  readonly #nodes = element('tbody');
  readonly #links = element('tbody');
  readonly #flow = element('th', { scope: 'col' });
  readonly sections: readonly HTMLElement[];
  readonly #choose: (id: string) => void;

  constructor(choose: (id: string) => void) {
    this.#choose = choose;
    this.sections = [
      panel('Nodes', table([...NODE_HEADS.map(head), this.#flow], this.#nodes)),
      panel('Links', table(LINK_HEADS.map(head), this.#links)),
    ];
  }

  show(mesh: Mesh, flow: Flow, chosen: string | undefined): void {
    const heading = flow.kind === 'tree' ? 'Pulls from' : 'Next on the way';
    if (this.#flow.textContent !== heading) this.#flow.textContent = heading;
    const name = labels(mesh);
    rows(
      this.#nodes,
      mesh.nodes.map((node) => this.#node(mesh, node, sayFlow(flow, node.id, name), chosen)),
    );
    rows(
      this.#links,
      mesh.links.map((link) => linkRow(link, name)),
    );
  }

  #node(mesh: Mesh, node: MeshNode, flows: string, chosen: string | undefined): HTMLTableRowElement {
    const button = element('button', { type: 'button', 'aria-pressed': String(node.id === chosen) }, node.label);
    button.addEventListener('click', () => this.#choose(node.id));
    const cells = [
      uptime(node.uptime),
      String(node.clients),
      String(node.tracks),
      `${Math.round(node.load * 100)} %`,
      String(neighbours(mesh, node.id).length),
      flows,
    ];
    return element('tr', { 'data-key': node.id }, element('th', { scope: 'row' }, button), ...cells.map(cell));
  }
}

export function panel(heading: string, content: HTMLElement): HTMLElement {
  return element('section', {}, element('h2', {}, heading), content);
}

function sayFlow(flow: Flow, id: string, name: (id: string) => string): string {
  if (flow.kind === 'tree') return sayBranch(flow.tree.get(id), name);
  const next = flow.ways.get(id);
  return next === undefined ? '–' : name(next);
}

function linkRow(link: MeshLink, name: (id: string) => string): HTMLTableRowElement {
  const [a, b] = link.ends;
  const [rtt = ''] = say(link).split(',');
  const numbers = [rtt, `${(link.loss * 100).toFixed(1)} %`, `${link.cost.toFixed(1)} ms`];
  return element('tr', { 'data-key': link.key }, ...[name(a), name(b), ...numbers, link.health].map(cell));
}

/** Puts rows in place, those that are new or say something else, without taking the focus away from the button that has it. */
function rows(body: HTMLTableSectionElement, made: readonly HTMLTableRowElement[]): void {
  const focused = document.activeElement?.closest('tr')?.dataset['key'];
  const inside = body.contains(document.activeElement);
  const old = [...body.rows];
  const same = old.length === made.length && old.every((row, at) => row.dataset['key'] === made[at]?.dataset['key']);
  if (!same) body.replaceChildren(...made);
  else
    made.forEach((row, at) => {
      if (old[at]?.isEqualNode(row) === false) old[at]?.replaceWith(row);
    });
  if (inside)
    made
      .find((row) => row.dataset['key'] === focused)
      ?.querySelector('button')
      ?.focus({ preventScroll: true });
}

function table(heads: readonly HTMLElement[], body: HTMLTableSectionElement): HTMLElement {
  const head = element('thead', {}, element('tr', {}, ...heads));
  return element('div', { class: 'scroll' }, element('table', {}, head, body));
}

function head(text: string): HTMLElement {
  return element('th', { scope: 'col' }, text);
}

function cell(text: string): HTMLElement {
  return element('td', {}, text);
}

function uptime(seconds: number): string {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} days`;
}
