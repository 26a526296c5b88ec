/// Messages to bytes.

import { MoqtError } from '../errors';
import type { Bytes } from '../types';
import { utf8, Writer } from './bytes';
import { type FetchRange, type Message, MessageType, type Setup, UNKNOWN_STREAM_COUNT } from './message';
import { writeNamespace, writeTrack } from './name';
import { writeParameters, writeToken } from './parameter';
import { type Pair, readPairs, writePairs } from './property';
import { SetupOption } from './setup';

/** The whole message. Throws MoqtError 'usage' if no message can hold it. */
export function encodeMessage(message: Message): Uint8Array<ArrayBuffer> {
  const body = new Writer();
  writeBody(body, message);
  if (body.length > 0xffff) throw new MoqtError('usage', 0, `a ${message.type} of ${body.length} bytes`);
  const framed = new Writer().varint(MessageType[message.type]);
  return framed
    .u8(body.length >> 8)
    .u8(body.length & 0xff)
    .bytes(body.take())
    .take();
}

function writeBody(writer: Writer, message: Message): void {
  switch (message.type) {
    case 'SETUP':
      writer.bytes(setupOptions(message));
      return;
    case 'GOAWAY':
      writer.prefixed(message.uri).varint(message.timeoutMs);
      if (message.requestId !== undefined) writer.varint(message.requestId);
      return;
    case 'SUBSCRIBE':
    case 'TRACK_STATUS':
      writeTrack(writer.varint(message.requestId), message.track);
      writeParameters(writer, message.parameters);
      return;
    case 'SUBSCRIBE_OK':
      writeParameters(writer.varint(message.trackAlias), message.parameters);
      writer.bytes(message.properties);
      return;
    case 'REQUEST_UPDATE':
      writeParameters(writer.varint(message.requestId), message.parameters);
      return;
    case 'REQUEST_OK':
      writeParameters(writer, message.parameters);
      writer.bytes(message.properties);
      return;
    case 'REQUEST_ERROR':
      writer.varint(message.code).varint(message.retryAfterMs === undefined ? 0n : message.retryAfterMs + 1n);
      writer.prefixed(utf8(message.reason));
      if (message.redirect) writeTrack(writer.prefixed(message.redirect.uri), message.redirect);
      return;
    case 'PUBLISH':
      writeTrack(writer.varint(message.requestId), message.track);
      writeParameters(writer.varint(message.trackAlias), message.parameters);
      writer.bytes(message.properties);
      return;
    case 'PUBLISH_DONE':
      writer
        .varint(message.code)
        .varint(message.streamCount ?? UNKNOWN_STREAM_COUNT)
        .prefixed(utf8(message.reason));
      return;
    case 'FETCH':
      writeRange(writer.varint(message.requestId), message.range);
      writeParameters(writer, message.parameters);
      return;
    case 'FETCH_OK':
      writeParameters(writer.u8(message.endOfTrack ? 1 : 0).location(message.end), message.parameters);
      writer.bytes(message.properties);
      return;
    case 'PUBLISH_NAMESPACE':
    case 'SUBSCRIBE_NAMESPACE':
    case 'SUBSCRIBE_TRACKS':
      writeNamespace(writer.varint(message.requestId), message.namespace);
      writeParameters(writer, message.parameters);
      return;
    case 'NAMESPACE':
    case 'NAMESPACE_DONE':
      writeNamespace(writer, message.suffix);
      return;
    case 'PUBLISH_BLOCKED':
      writeNamespace(writer, message.suffix);
      writer.prefixed(message.name);
  }
}

function writeRange(writer: Writer, range: FetchRange): void {
  switch (range.kind) {
    case 'standalone':
      writeTrack(writer.varint(1), range.track);
      writer.location(range.start).location(range.end);
      return;
    case 'relative-joining':
      writer.varint(2).varint(range.subscription).varint(range.groups);
      return;
    case 'absolute-joining':
      writer.varint(3).varint(range.subscription).varint(range.group);
  }
}

function setupOptions(setup: Setup): Bytes {
  const pairs: Pair[] = readPairs(setup.extensions);
  const add = (type: bigint, value: Pair['value'] | undefined) => {
    if (value !== undefined) pairs.push({ type, value });
  };
  add(SetupOption.path, setup.path);
  for (const token of setup.tokens) add(SetupOption.token, writeToken(token));
  add(SetupOption.maxTokenCacheSize, setup.maxTokenCacheSize);
  add(SetupOption.authority, setup.authority);
  add(SetupOption.implementation, setup.implementation);
  return writePairs(pairs.sort((a, b) => (a.type < b.type ? -1 : a.type > b.type ? 1 : 0)));
}
