/// A page of @moq/publish that publishes camera and microphone.

import '@moq/publish/element';
import { name, relay, websocket, webtransport } from './asked.js';

const publisher = document.createElement('moq-publish');
publisher.append(Object.assign(document.createElement('video'), { muted: true, autoplay: true }));
Object.assign(publisher.connection, { webtransport, websocket });
publisher.setAttribute('name', name);
publisher.setAttribute('source', 'camera');
document.body.append(publisher);
publisher.setAttribute('url', relay);
globalThis.version = () => publisher.connection.established.peek()?.version;
