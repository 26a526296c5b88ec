/// The example of an embedded player: shows the two lines, and what they make, for `?name=live/cam`; without a name, the demo's clip.

import { element } from '../embed/dom';
import './pages.css';

const SCRIPT = '/-/headwater-watch.js';
const name = new URLSearchParams(location.search).get('name') ?? 'demo';
const secure = location.origin.replace(/^http:/, 'https:');
const path = name.split('/').map(encodeURIComponent).join('/');
const lines = document.getElementById('lines');
if (lines !== null) {
  lines.textContent = [
    `<script type="module" src="${secure}${SCRIPT}"></script>`,
    `<headwater-watch src="${secure}/${path}"></headwater-watch>`,
  ].join('\n');
}
document.head.append(element('script', { type: 'module', src: SCRIPT }));
const player = document.createElement('headwater-watch');
player.setAttribute('src', `${secure}/${path}${location.hash}`);
document.getElementById('player')?.append(player);
