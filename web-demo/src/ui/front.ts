/// The front page: the broadcasts of this relay as they come and go, and a field for a name.

import { element } from '../embed/dom';
import { followNamespaces } from './namespaces';

/// Most broadcasts that are listed.
const MAX_LISTED = 500;

export function frontPage(): Node[] {
  const list = element('ul', { class: 'broadcasts', 'aria-label': 'Broadcasts' });
  const status = element('p', { class: 'status', role: 'status', 'aria-live': 'polite' }, 'Looking for broadcasts …');
  follow(list, status).catch(() => {
    status.textContent = 'The list of broadcasts stopped. Reload the page to see it again.';
  });
  return [
    element('h1', {}, 'Live now'),
    status,
    list,
    nameField(),
    element(
      'nav',
      { 'aria-label': 'More' },
      element('a', { href: '/-/publish' }, 'Go live'),
      element('a', { href: '/-/overlay' }, 'See the overlay'),
      element('a', { href: '/-/embed' }, 'Embed a player'),
    ),
  ];
}

function nameField(): HTMLElement {
  const input = element('input', {
    id: 'name',
    name: 'name',
    required: '',
    autocomplete: 'off',
    spellcheck: 'false',
    placeholder: 'live/cam',
  });
  const form = element('form', { class: 'open' });
  form.append(
    element('label', { for: 'name' }, 'Watch by name'),
    input,
    element('button', { type: 'submit' }, 'Watch'),
  );
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const fields = input.value.split('/').filter((field) => field !== '');
    if (fields.length > 0) {
      location.href = addressOf(fields);
    }
  });
  return form;
}

function addressOf(namespace: readonly string[]): string {
  return `/${namespace.map(encodeURIComponent).join('/')}${location.hash}`;
}

/// Lists for as long as the page is open.
function follow(list: HTMLElement, status: HTMLElement): Promise<never> {
  const shown = new Map<string, HTMLElement>();
  return followNamespaces({
    begin: () => {
      shown.clear();
      list.replaceChildren();
      say(status, shown.size);
    },
    change: (namespace, active) => {
      change(list, shown, namespace, active);
      say(status, shown.size);
    },
    problem: (words) => {
      status.textContent = words;
    },
  });
}

function change(
  list: HTMLElement,
  shown: Map<string, HTMLElement>,
  namespace: readonly string[],
  active: boolean,
): void {
  const key = JSON.stringify(namespace);
  if (!active) {
    shown.get(key)?.remove();
    shown.delete(key);
  } else if (!shown.has(key) && shown.size < MAX_LISTED) {
    const link = element('a', { href: addressOf(namespace) }, namespace.join('/'));
    const item = element('li', {}, link);
    shown.set(key, item);
    list.append(item);
  }
}

function say(status: HTMLElement, count: number): void {
  const words = count === 1 ? 'One broadcast' : `${count} broadcasts`;
  status.textContent = count === 0 ? 'No broadcast yet. What starts appears here by itself.' : words;
}
