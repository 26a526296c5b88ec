/// A page of @moq/net that reads a broadcast: its hang catalog, then every object of the first track of each kind.

import { Connection, Path } from '@moq/net';
import { name, relay, websocket, webtransport } from './asked.js';

const counts = {};
let session;
globalThis.version = () => session?.version;
globalThis.counts = counts;

async function read(track, kind) {
  const subscription = track.subscribe();
  counts[kind] = { groups: 0, objects: 0 };
  for (let group = await subscription.recvGroup(); group; group = await subscription.recvGroup()) {
    counts[kind].groups += 1;
    void drain(group, kind);
  }
}

async function drain(group, kind) {
  while (await group.readFrame()) counts[kind].objects += 1;
}

async function run() {
  session = await Connection.connect(relay, { webtransport, websocket });
  const announced = session.announced();
  for (let next = await announced.next(); next; next = await announced.next()) {
    if (next.active && next.path === name) break;
  }
  const broadcast = session.consume(Path.from(name));
  const catalog = await broadcast.track('catalog.json').subscribe().readJson();
  for (const kind of ['video', 'audio']) {
    const [first] = Object.keys(catalog?.[kind]?.renditions ?? {});
    if (first) void read(broadcast.track(first), kind);
  }
}
run().catch((error) => console.error(error));
