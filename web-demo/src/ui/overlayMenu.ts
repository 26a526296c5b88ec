/// What the overlay page shows over the links: the tree of a broadcast, from a menu or by its name, or the shortest ways to a node.

import { element } from '../embed/dom';
import { namespaceHash } from '../overlay/hash';
import type { Mesh } from '../overlay/model';

/** Of ways, the node that they lead to; empty: the one that is asked. */
export type Shown =
  | { readonly kind: 'tree'; readonly title: string; readonly hash: string }
  | { readonly kind: 'ways'; readonly root: string };

/** Most broadcasts in the menu. */
const MAX_LISTED = 500;

interface Broadcast {
  readonly title: string;
  readonly hash: string;
}

export class Menu {
  readonly bar = element('div', { class: 'bar' });
  #shown: Shown = { kind: 'ways', root: '' };
  /** A person chose; before that, the first broadcast is shown as soon as there is one. */
  #chosen = false;
  /** By hash, in the order in which they came. */
  readonly #broadcasts = new Map<string, Broadcast>();
  readonly #active = new Set<string>();
  readonly #changed: () => void;
  readonly #select = element('select', { id: 'show' });
  readonly #trees = element('optgroup', { label: 'Tree of a broadcast' });
  readonly #nodes = element('optgroup', { label: 'Shortest ways to' });
  readonly #hint = element('p', { class: 'hint', role: 'status' });

  /** Calls `changed` when something else is to be shown. */
  constructor(changed: () => void) {
    this.#changed = changed;
    this.#select.addEventListener('change', () => this.#choose(this.#select.value));
    this.#select.append(this.#trees, this.#nodes);
    this.bar.append(element('label', { for: 'show' }, 'Show'), this.#select, this.#form(), this.#hint);
  }

  get shown(): Shown {
    return this.#shown;
  }

  hint(words: string): void {
    if (this.#hint.textContent !== words) this.#hint.textContent = words;
  }

  /** The nodes that ways may lead to. */
  take(mesh: Mesh): void {
    const wanted = mesh.nodes.map(({ id, label }) => `${id} ${label}`).join('\n');
    if (this.#nodes.dataset['shown'] !== wanted) {
      this.#nodes.dataset['shown'] = wanted;
      this.#nodes.replaceChildren(
        ...mesh.nodes.map(({ id, label }) => element('option', { value: `ways ${id}` }, label)),
      );
    }
    const { shown } = this;
    this.#select.value = shown.kind === 'tree' ? `tree ${shown.hash}` : `ways ${shown.root || mesh.asked}`;
  }

  /** None is known to be there; the one that is shown stays in the menu. */
  begin(): void {
    this.#active.clear();
    this.#list();
    this.hint('');
  }

  /** A broadcast came or went. */
  async change(namespace: readonly string[], active: boolean): Promise<void> {
    const broadcast = { title: namespace.join('/'), hash: await namespaceHash(namespace) };
    if (!active) this.#active.delete(broadcast.hash);
    else if (this.#active.size < MAX_LISTED) {
      this.#active.add(broadcast.hash);
      this.#broadcasts.set(broadcast.hash, broadcast);
    }
    this.#list();
    if (active && !this.#chosen && this.#shown.kind === 'ways') this.#show({ kind: 'tree', ...broadcast });
  }

  #form(): HTMLFormElement {
    const input = element('input', {
      id: 'name',
      required: '',
      autocomplete: 'off',
      spellcheck: 'false',
      placeholder: 'live/cam',
    });
    const form = element('form', {});
    form.append(
      element('label', { for: 'name' }, 'or a broadcast by name'),
      input,
      element('button', { type: 'submit' }, 'Show its tree'),
    );
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#name(input.value.split('/').filter((field) => field !== ''));
    });
    return form;
  }

  async #name(namespace: readonly string[]): Promise<void> {
    if (namespace.length === 0) return;
    try {
      const broadcast = { title: namespace.join('/'), hash: await namespaceHash(namespace) };
      this.#broadcasts.set(broadcast.hash, broadcast);
      this.#chosen = true;
      this.hint('');
      this.#show({ kind: 'tree', ...broadcast });
    } catch (error) {
      const words = error instanceof Error ? error.message : 'that is no name';
      this.hint(isSecureContext ? `${words}.` : 'Trees are shown over https, or at localhost.');
    }
  }

  #choose(value: string): void {
    const [kind, key = ''] = value.split(' ');
    const broadcast = this.#broadcasts.get(key);
    this.#chosen = true;
    if (kind === 'ways') this.#show({ kind, root: key });
    else if (broadcast !== undefined) this.#show({ kind: 'tree', ...broadcast });
  }

  #show(shown: Shown): void {
    this.#shown = shown;
    this.#list();
    this.#changed();
  }

  /** Puts the options in place: what is active, and what is shown. */
  #list(): void {
    const shown = this.#shown.kind === 'tree' ? this.#shown.hash : undefined;
    for (const hash of this.#broadcasts.keys()) {
      if (hash !== shown && !this.#active.has(hash)) this.#broadcasts.delete(hash);
    }
    const options = [...this.#broadcasts.values()].map(({ title, hash }) =>
      element('option', { value: `tree ${hash}` }, title),
    );
    this.#trees.replaceChildren(...options);
    if (shown !== undefined) this.#select.value = `tree ${shown}`;
  }
}
