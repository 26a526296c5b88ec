/// Bytes to messages. What is wrong is a MoqtError 'malformed' with the code that ends the session.

import type { Bytes } from '../types';
import { lossyText, malformed, Reader } from './bytes';
import {
  type FetchRange,
  type Goaway,
  type Message,
  MessageType,
  OLD_PUBLISH_OK,
  type RequestError,
  type StreamKind,
  UNKNOWN_STREAM_COUNT,
} from './message';
import { readNamespace, readTrack } from './name';
import { readParameters } from './parameter';
import { readSetup } from './setup';

const MAX_REASON = 1024;
const MAX_URI = 8192;
const REDIRECT = 0x34n;

const NAMES = new Map<bigint, Message['type']>(
  Object.entries(MessageType).map(([name, type]) => [type, name as Message['type']]),
);
NAMES.set(OLD_PUBLISH_OK, 'REQUEST_OK');

/** Whether a message of this type exists and may be on a stream of this kind; throws if not. */
export function checkType(type: bigint, stream: StreamKind): Message['type'] {
  const name = NAMES.get(type);
  if (!name) throw malformed(`a message of the unknown type 0x${type.toString(16)}`);
  const wanted: readonly StreamKind[] =
    name === 'SETUP' ? ['control'] : name === 'GOAWAY' ? ['control', 'request'] : ['request'];
  if (!wanted.includes(stream)) throw malformed(`${name} on a ${stream} stream`);
  return name;
}

/** Reads a message whose body is `body`, all of it. */
export function decodeMessage(type: bigint, body: Bytes, stream: StreamKind): Message {
  const name = checkType(type, stream);
  const reader = new Reader(body);
  const message = readBody(name, reader, stream);
  reader.finish();
  return message;
}

function readBody(type: Message['type'], reader: Reader, stream: StreamKind): Message {
  switch (type) {
    case 'SETUP':
      return readSetup(reader.rest());
    case 'GOAWAY':
      return readGoaway(reader, stream);
    case 'SUBSCRIBE':
    case 'TRACK_STATUS':
      return {
        type,
        requestId: reader.varint(),
        track: readTrack(reader),
        parameters: readParameters(reader, type),
      };
    case 'SUBSCRIBE_OK':
      return {
        type,
        trackAlias: reader.varint(),
        parameters: readParameters(reader, type),
        properties: reader.rest(),
      };
    case 'REQUEST_UPDATE':
      return { type, requestId: reader.varint(), parameters: readParameters(reader, type) };
    case 'REQUEST_OK':
      return { type, parameters: readParameters(reader, type), properties: reader.rest() };
    case 'REQUEST_ERROR':
      return readRequestError(reader);
    case 'PUBLISH':
      return {
        type,
        requestId: reader.varint(),
        track: readTrack(reader),
        trackAlias: reader.varint(),
        parameters: readParameters(reader, type),
        properties: reader.rest(),
      };
    case 'PUBLISH_DONE': {
      const code = reader.varint();
      const streamCount = reader.varint();
      const reason = readReason(reader);
      return { type, code, ...(streamCount < UNKNOWN_STREAM_COUNT && { streamCount }), reason };
    }
    case 'FETCH':
      return {
        type,
        requestId: reader.varint(),
        range: readRange(reader),
        parameters: readParameters(reader, type),
      };
    case 'FETCH_OK': {
      const flag = reader.u8();
      if (flag > 1) throw malformed(`End Of Track cannot be ${flag}`);
      return {
        type,
        endOfTrack: flag === 1,
        end: reader.location(),
        parameters: readParameters(reader, type),
        properties: reader.rest(),
      };
    }
    case 'PUBLISH_NAMESPACE':
    case 'SUBSCRIBE_NAMESPACE':
    case 'SUBSCRIBE_TRACKS':
      return {
        type,
        requestId: reader.varint(),
        namespace: readNamespace(reader),
        parameters: readParameters(reader, type),
      };
    case 'NAMESPACE':
    case 'NAMESPACE_DONE':
      return { type, suffix: readNamespace(reader) };
    case 'PUBLISH_BLOCKED':
      return { type, suffix: readNamespace(reader), name: reader.prefixed('track name', 4096) };
  }
}

function readReason(reader: Reader): string {
  return lossyText(reader.prefixed('reason phrase', MAX_REASON));
}

function readGoaway(reader: Reader, stream: StreamKind): Goaway {
  const uri = reader.prefixed('New Session URI', MAX_URI);
  const timeoutMs = reader.varint();
  // draft "GOAWAY": the Request ID is there on the control stream, and only there.
  return { type: 'GOAWAY', uri, timeoutMs, ...(stream === 'control' && { requestId: reader.varint() }) };
}

function readRequestError(reader: Reader): RequestError {
  const code = reader.varint();
  const retry = reader.varint();
  const reason = readReason(reader);
  const redirect =
    code === REDIRECT ? { uri: reader.prefixed('Connect URI', 0xffff), ...readTrack(reader) } : undefined;
  return {
    type: 'REQUEST_ERROR',
    code,
    ...(retry > 0n && { retryAfterMs: retry - 1n }),
    reason,
    ...(redirect && { redirect }),
  };
}

function readRange(reader: Reader): FetchRange {
  const kind = reader.varint();
  if (kind === 1n) {
    return { kind: 'standalone', track: readTrack(reader), start: reader.location(), end: reader.location() };
  }
  if (kind === 2n) return { kind: 'relative-joining', subscription: reader.varint(), groups: reader.varint() };
  if (kind === 3n) return { kind: 'absolute-joining', subscription: reader.varint(), group: reader.varint() };
  throw malformed(`unknown fetch type ${kind}`);
}
