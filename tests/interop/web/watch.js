/// A page of @moq/watch that plays a broadcast.

import '@moq/watch/element';
import { name, relay, websocket, webtransport } from './asked.js';

const player = document.createElement('moq-watch');
player.append(document.createElement('canvas'));
Object.assign(player.connection, { webtransport, websocket });
player.setAttribute('visible', 'always');
player.setAttribute('name', name);
document.body.append(player);
player.setAttribute('url', relay);
globalThis.version = () => player.connection.established.peek()?.version;
