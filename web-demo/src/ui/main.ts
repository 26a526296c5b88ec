/// The relay's own pages: `/` lists the broadcasts, `/NAMESPACE` plays one.

import { element } from '../embed/dom';
import { defineElement, ELEMENT } from '../embed/element';
import workletUrl from '../media/io/worklet?worker&url';
import { frontPage } from './front';
import './pages.css';

/// The name of the broadcast in the page's address; empty on the front page.
function namespaceOf(path: string): string {
  const shown = path.startsWith('/-/') ? '' : path;
  return shown.replace(/^\/+|\/+$/g, '');
}

function watchPage(name: string): Node[] {
  const parameters = new URLSearchParams(location.search);
  const fragment = new URLSearchParams(location.hash.slice(1));
  const player = element(ELEMENT as 'div', { src: `${location.origin}/${name}${location.hash}`, class: 'player' });
  const also = parameters.getAll('also').join(' ');
  const token = fragment.get('token');
  for (const [attribute, value] of [
    ['also', also],
    ['token', token],
    ['latency', parameters.get('latency')],
  ] as const) {
    if (value !== null && value !== '') {
      player.setAttribute(attribute, value);
    }
  }
  if (parameters.get('autoplay') !== '0') {
    player.setAttribute('autoplay', '');
  }
  const title = readable(name);
  document.title = `${title} – Headwater`;
  const keys = 'Keys: k play or stop, m mute, f full screen, i statistics, arrows volume';
  return [element('h1', { class: 'name' }, title), player, element('p', { class: 'hint' }, keys)];
}

function readable(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

const page = document.getElementById('page');
if (page !== null) {
  defineElement(new URL(workletUrl, location.href).href);
  const name = namespaceOf(location.pathname);
  page.replaceChildren(...(name === '' ? frontPage() : watchPage(name)));
  // The player's keys work at once.
  page.querySelector<HTMLElement>(ELEMENT)?.focus();
}
