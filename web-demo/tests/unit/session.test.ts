import { expect, test } from 'vitest';
import { type MoqObject, type ObjectReader, PublishedTrack } from '../../src/moqt';
import { Writer } from '../../src/moqt/wire/bytes';
import { FetchWriter, fetchItems, readFetchHeader } from '../../src/moqt/wire/fetch';
import { namespaceBytes, trackBytes } from '../../src/moqt/wire/name';
import {
  readSubgroupHeader,
  subgroupObjects,
  writeObjectHead,
  writeSubgroupHeader,
} from '../../src/moqt/wire/subgroup';
import { type FakeRelay, type RelayStream, session } from './fake-relay';

const NOTHING = new Uint8Array(0);
const TRACK = { namespace: ['live', 'cam'], name: 'video' };
const utf8 = (text: string) => new TextEncoder().encode(text);
const shown = (object: MoqObject | undefined) =>
  object && `${object.group}/${object.object} ${new TextDecoder().decode(object.payload)}`;

async function readAll(reader: ObjectReader): Promise<(string | undefined)[]> {
  const objects: (string | undefined)[] = [];
  for (let object = await reader.next(); object; object = await reader.next()) objects.push(shown(object));
  return objects;
}

function subgroup(relay: FakeRelay, trackAlias: bigint, group: bigint): RelayStream {
  const stream = relay.openStream();
  const writer = new Writer();
  const header = {
    trackAlias,
    group,
    subgroup: 'zero',
    hasProperties: false,
    endOfGroup: true,
    firstObject: true,
  } as const;
  writeSubgroupHeader(writer, header);
  stream.write(writer.take());
  return stream;
}

function write(stream: RelayStream, last: bigint | undefined, id: bigint, text: string): void {
  const payload = utf8(text);
  const writer = new Writer();
  writeObjectHead(writer, last, { id, properties: NOTHING, payloadLength: payload.length, status: 0 }, false);
  stream.write(writer.bytes(payload).take());
}

test('SETUP carries the token and no path', async () => {
  const { session: ours, setup } = await session({ token: 'secret' });
  expect(setup).toMatchObject({ type: 'SETUP', tokens: [{ form: 'USE_VALUE', kind: 0n, value: utf8('secret') }] });
  expect(setup).not.toHaveProperty('path');
  expect(ours.implementation).toBe('fake');
});

test('a subscription gives objects, also of a stream that overtook the answer, and ends when all streams have come', async () => {
  const { relay, session: ours } = await session();
  const subscribing = ours.subscribe(TRACK, { priority: 3, rendezvousMs: 100 });
  const request = await relay.request();
  expect(await request.message('SUBSCRIBE')).toMatchObject({
    requestId: 2n,
    parameters: { subscriberPriority: 3, rendezvousTimeout: 100n },
  });
  const early = subgroup(relay, 9n, 1n);
  write(early, undefined, 0n, 'a');
  request.send({ type: 'SUBSCRIBE_OK', trackAlias: 9n, parameters: {}, properties: NOTHING });
  const subscription = await subscribing;
  expect(subscription.largest).toBeUndefined();
  expect(shown(await subscription.next())).toBe('1/0 a');
  request.send({ type: 'PUBLISH_DONE', code: 2n, streamCount: 2n, reason: 'over' });
  write(early, 0n, 2n, 'b');
  early.finish();
  const late = subgroup(relay, 9n, 2n);
  write(late, undefined, 0n, 'c');
  late.finish();
  expect(await readAll(subscription)).toEqual(['1/2 b', '2/0 c']);
  expect(await subscription.done).toEqual({ code: 2, reason: 'over' });
  expect(subscription.bytes).toBe(3);
});

test('a refusal says why, and when to ask again', async () => {
  const { relay, session: ours } = await session();
  const subscribing = ours.subscribe(TRACK);
  (await relay.request()).send({ type: 'REQUEST_ERROR', code: 0x10n, retryAfterMs: 250n, reason: 'not here' });
  await expect(subscribing).rejects.toMatchObject({
    name: 'MoqtError',
    kind: 'refused',
    code: 0x10,
    message: 'not here',
    retryAfterMs: 250,
  });
});

test('joining asks for the past together with the subscription and gives each object once, in order', async () => {
  const { relay, session: ours } = await session();
  const joining = ours.join(TRACK, { groups: 2 });
  const [subscribe, fetch] = [await relay.request(), await relay.request()];
  await subscribe.message('SUBSCRIBE');
  const asked = await fetch.message('FETCH');
  expect(asked).toMatchObject({ range: { kind: 'relative-joining', subscription: 2n, groups: 2n } });
  const parameters = { largestObject: { group: 5n, object: 1n } };
  subscribe.send({ type: 'SUBSCRIBE_OK', trackAlias: 1n, parameters, properties: NOTHING });
  const subscription = await joining;
  const live = subgroup(relay, 1n, 5n);
  write(live, undefined, 1n, 'again');
  write(live, 1n, 2n, 'new');
  const past = relay.openStream();
  const writer = new FetchWriter('ascending');
  past.write(writer.header(asked.requestId));
  for (const [group, object, text] of [
    [4n, 0n, 'a'],
    [5n, 0n, 'b'],
    [5n, 1n, 'c'],
  ] as const) {
    const head = { location: { group, object }, subgroup: 0n, priority: 1, properties: NOTHING };
    past.write(writer.object(head, 1));
    past.write(utf8(text));
  }
  past.finish();
  const seen = [];
  for (let count = 0; count < 4; count++) seen.push(shown(await subscription.next()));
  expect(seen).toEqual(['4/0 a', '5/0 b', '5/1 c', '5/2 new']);
});

test('joining goes on live when the past is refused', async () => {
  const { relay, session: ours } = await session();
  const joining = ours.join(TRACK);
  const [subscribe, fetch] = [await relay.request(), await relay.request()];
  fetch.send({ type: 'REQUEST_ERROR', code: 0x11n, reason: '' });
  const parameters = { largestObject: { group: 5n, object: 1n } };
  subscribe.send({ type: 'SUBSCRIBE_OK', trackAlias: 1n, parameters, properties: NOTHING });
  const subscription = await joining;
  write(subgroup(relay, 1n, 6n), undefined, 0n, 'x');
  expect(shown(await subscription.next())).toBe('6/0 x');
});

test('a reader that does not read loses whole old groups', async () => {
  const { relay, session: ours } = await session();
  const subscribing = ours.subscribe(TRACK, { maxBytes: 4000 });
  const request = await relay.request();
  request.send({ type: 'SUBSCRIBE_OK', trackAlias: 1n, parameters: {}, properties: NOTHING });
  const subscription = await subscribing;
  for (let group = 0n; group < 6n; group++) {
    const stream = subgroup(relay, 1n, group);
    write(stream, undefined, 0n, 'x'.repeat(1000));
    stream.finish();
  }
  request.send({ type: 'PUBLISH_DONE', code: 2n, streamCount: 6n, reason: '' });
  await subscription.done;
  expect(subscription.groupsSkipped).toBe(3);
  expect((await readAll(subscription)).map((text) => text?.slice(0, 3))).toEqual(['3/0', '4/0', '5/0']);
});

test('cancelling stops the request and the streams', async () => {
  const { relay, session: ours } = await session();
  const subscribing = ours.subscribe(TRACK);
  const request = await relay.request();
  request.send({ type: 'SUBSCRIBE_OK', trackAlias: 1n, parameters: {}, properties: NOTHING });
  const subscription = await subscribing;
  const stream = subgroup(relay, 1n, 1n);
  write(stream, undefined, 0n, 'x');
  await subscription.next();
  subscription.cancel();
  expect(await stream.stopped()).toBe(1);
  expect(await request.stopped()).toBe(1);
  expect(await subscription.next()).toBeUndefined();
  expect(await subgroup(relay, 1n, 2n).stopped()).toBe(1);
});

test('a subscription that is cut, and a session that ends, wake who waits', async () => {
  const { relay, session: ours } = await session();
  const subscribing = ours.subscribe(TRACK);
  const request = await relay.request();
  request.send({ type: 'SUBSCRIBE_OK', trackAlias: 1n, parameters: {}, properties: NOTHING });
  const next = (await subscribing).next();
  request.reset(6);
  await expect(next).rejects.toMatchObject({ kind: 'cut', code: 6 });
  relay.close({ closeCode: 2, reason: 'token' });
  expect(await ours.closed).toEqual({ code: 2, reason: 'token', byPeer: true });
  await expect(ours.subscribe(TRACK)).rejects.toMatchObject({ kind: 'session', code: 2 });
});

test('namespaces come and go', async () => {
  const { relay, session: ours } = await session();
  const watch = ours.namespaces(['live']);
  const request = await relay.request();
  expect(await request.message('SUBSCRIBE_NAMESPACE')).toMatchObject({ namespace: namespaceBytes(['live']) });
  request.send({ type: 'REQUEST_OK', parameters: {}, properties: NOTHING });
  request.send({ type: 'NAMESPACE', suffix: namespaceBytes(['cam']) });
  request.send({ type: 'NAMESPACE', suffix: [Uint8Array.of(0xff)] });
  const changes = watch[Symbol.asyncIterator]();
  expect((await changes.next()).value).toEqual({ namespace: ['live', 'cam'], active: true });
  request.send({ type: 'NAMESPACE_DONE', suffix: namespaceBytes(['cam']) });
  expect((await changes.next()).value).toEqual({ namespace: ['live', 'cam'], active: false });
  watch.cancel();
  expect(await request.stopped()).toBe(1);
  expect((await changes.next()).done).toBe(true);
});

test('GOAWAY is told, and no request follows it', async () => {
  const { session: ours, control } = await session();
  control.send({ type: 'GOAWAY', uri: utf8('https://b.test/'), timeoutMs: 9000n, requestId: 4n });
  expect(await ours.goaway).toEqual({ uri: 'https://b.test/', timeoutMs: 9000 });
  await expect(ours.subscribe(TRACK)).rejects.toMatchObject({ kind: 'refused', code: 6 });
});

/** Publishes `video` and gives the relay's side of a subscription to it. */
async function published(
  relay: FakeRelay,
  ours: Awaited<ReturnType<typeof session>>['session'],
  track: PublishedTrack,
) {
  const publishing = ours.publishNamespace(TRACK.namespace, (name) => (name === 'video' ? track : undefined));
  const announced = await relay.request();
  await announced.message('PUBLISH_NAMESPACE');
  announced.send({ type: 'REQUEST_OK', parameters: {}, properties: NOTHING });
  const publication = await publishing;
  const request = relay.openRequest();
  request.send({ type: 'SUBSCRIBE', requestId: 1n, track: trackBytes(TRACK), parameters: {} });
  const answer = await request.message('SUBSCRIBE_OK');
  return { publication, announced, request, answer };
}

test('a published track serves subscriptions and joining fetches', async () => {
  const { relay, session: ours } = await session();
  const track = new PublishedTrack({ priority: 9, subgroups: 'single' });
  const old = track.beginGroup(3n);
  old.write(utf8('old'));
  old.end();
  const current = track.beginGroup(4n);
  current.write(utf8('now'), { properties: new Map([[2n, 7n]]) });
  const { publication, announced, request, answer } = await published(relay, ours, track);
  expect(answer.parameters.largestObject).toEqual({ group: 4n, object: 0n });
  const fetch = relay.openRequest();
  const range = { kind: 'relative-joining', subscription: 1n, groups: 9n } as const;
  fetch.send({ type: 'FETCH', requestId: 3n, range, parameters: {} });
  expect(await fetch.message('FETCH_OK')).toMatchObject({ endOfTrack: false, end: { group: 4n, object: 1n } });
  const past = await relay.stream();
  expect(await past.source.head(readFetchHeader)).toBe(3n);
  const items = fetchItems(past.source, 'ascending');
  expect(await items()).toMatchObject({ kind: 'unknown', location: { group: 2n } });
  expect(await items()).toMatchObject({ location: { group: 3n, object: 0n }, payload: utf8('old'), priority: 9 });
  expect(await items()).toMatchObject({ location: { group: 4n, object: 0n }, properties: Uint8Array.of(2, 7) });
  expect(await items()).toBeUndefined();
  current.write(utf8('next'));
  const live = await relay.stream();
  const header = await live.source.head(readSubgroupHeader);
  if (!header) throw new Error('no header');
  expect(header).toMatchObject({ trackAlias: answer.trackAlias, group: 4n, firstObject: false, endOfGroup: true });
  const objects = subgroupObjects(live.source, header);
  expect(await objects()).toMatchObject({ head: { id: 1n }, payload: utf8('next') });
  current.end();
  expect(await objects()).toBeUndefined();
  publication.end();
  expect(await request.message('PUBLISH_DONE')).toMatchObject({ code: 2n, streamCount: 1n });
  expect(await announced.stopped()).toBe(1);
  expect(track.subscribers).toBe(0);
});

test('where groups may have several subgroups, each is a stream and a status ends the group', async () => {
  const { relay, session: ours } = await session();
  const track = new PublishedTrack();
  await published(relay, ours, track);
  const group = track.beginGroup(0n);
  group.write(utf8('base'));
  group.write(utf8('more'), { subgroup: 1n });
  group.end();
  track.end();
  const read = async () => {
    const { source } = await relay.stream();
    const header = await source.head(readSubgroupHeader);
    if (!header) throw new Error('no header');
    const next = subgroupObjects(source, header);
    const heads: string[] = [];
    for (let object = await next(); object; object = await next())
      heads.push(`${object.head.id}:${object.head.status}`);
    return [header.subgroup, header.endOfGroup, ...heads];
  };
  expect(await read()).toEqual(['zero', false, '0:0']);
  expect(await read()).toEqual([1n, false, '1:0', '2:3']);
});

test('what is not published does not exist, and a track that is empty has no past', async () => {
  const { relay, session: ours } = await session();
  const { request } = await published(relay, ours, new PublishedTrack());
  const ask = async (message: Parameters<RelayStream['send']>[0]) => {
    const stream = relay.openRequest();
    stream.send(message);
    return Number((await stream.message('REQUEST_ERROR')).code);
  };
  const other = trackBytes({ ...TRACK, name: 'other' });
  expect(await ask({ type: 'SUBSCRIBE', requestId: 3n, track: other, parameters: {} })).toBe(0x10);
  expect(await ask({ type: 'TRACK_STATUS', requestId: 7n, track: other, parameters: {} })).toBe(0x10);
  const joining = (subscription: bigint) => ({ kind: 'relative-joining', subscription, groups: 0n }) as const;
  expect(await ask({ type: 'FETCH', requestId: 5n, range: joining(1n), parameters: {} })).toBe(0x11);
  expect(await ask({ type: 'FETCH', requestId: 9n, range: joining(99n), parameters: {} })).toBe(0x32);
  expect(
    await ask({ type: 'SUBSCRIBE_NAMESPACE', requestId: 11n, namespace: namespaceBytes(['a']), parameters: {} }),
  ).toBe(3);
  request.send({ type: 'REQUEST_UPDATE', requestId: 13n, parameters: { forward: false } });
  expect(await request.message('REQUEST_OK')).toBeDefined();
});

test('a subscriber whose network takes nothing loses the oldest groups, not the newest', async () => {
  const { relay, session: ours } = await session();
  relay.streamChunks = 0;
  const track = new PublishedTrack({ keepGroups: 1 });
  await published(relay, ours, track);
  const streams: RelayStream[] = [];
  for (let group = 0n; group < 11n; group++) {
    const writer = track.beginGroup(group);
    writer.write(new Uint8Array(1024 * 1024));
    writer.end();
    streams.push(await relay.stream());
  }
  const [first] = streams;
  const last = streams.at(-1);
  await expect(first?.source.payload(1024)).rejects.toMatchObject({ streamErrorCode: 5 });
  expect((await last?.source.payload(1024 * 1024))?.length).toBe(1024 * 1024);
});

test('a subscriber that leaves is not served any more', async () => {
  const { relay, session: ours } = await session();
  const track = new PublishedTrack();
  const { request } = await published(relay, ours, track);
  expect(track.subscribers).toBe(1);
  const left = new Promise<void>((resolve) => {
    const look = () => (track.subscribers === 0 ? resolve() : setTimeout(look, 1));
    look();
  });
  request.reset(1);
  request.stop(1);
  await left;
});

test.each([
  ['a message of an unknown type', 3, (relay: FakeRelay) => relay.openRequest().write(Uint8Array.of(9, 0, 0))],
  [
    'an answer that opens a stream',
    3,
    (relay: FakeRelay) => relay.openRequest().send({ type: 'REQUEST_OK', parameters: {}, properties: NOTHING }),
  ],
  [
    'a request id of our parity',
    4,
    (relay: FakeRelay) =>
      relay.openRequest().send({ type: 'SUBSCRIBE', requestId: 2n, track: trackBytes(TRACK), parameters: {} }),
  ],
  ['a data stream of an unknown type', 3, (relay: FakeRelay) => relay.openStream().write(Uint8Array.of(6, 1))],
  [
    'a second control stream',
    3,
    (relay: FakeRelay) => relay.openStream().send({ type: 'SETUP', tokens: [], extensions: NOTHING }),
  ],
] as const)('%s ends the session with code %i', async (_what, code, misbehave) => {
  const { relay, session: ours } = await session();
  misbehave(relay);
  expect(await ours.closed).toMatchObject({ code, byPeer: false });
  expect(relay.endedWith?.closeCode).toBe(code);
});

test('the end of the control stream is a violation', async () => {
  const { session: ours, control } = await session();
  control.finish();
  expect(await ours.closed).toMatchObject({ code: 3, byPeer: false });
});
