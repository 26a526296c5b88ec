/// Message parameters (draft section "Message Parameters").
///
/// Not key-value pairs: a count, then types as differences, each with a value whose shape the type decides. A type that is not
/// known cannot be skipped, so it ends the session; so does one in a message where it may not be.

import { SessionCode } from '../errors';
import type { Bytes, Location } from '../types';
import { malformed, Reader, Writer } from './bytes';
import { type NamespaceBytes, readNamespace, writeNamespace } from './name';
import { MAX_VALUE } from './property';
import { MAX_VARINT } from './varint';

export type Token =
  | { readonly form: 'DELETE' | 'USE_ALIAS'; readonly alias: bigint }
  | { readonly form: 'REGISTER'; readonly alias: bigint; readonly kind: bigint; readonly value: Bytes }
  | { readonly form: 'USE_VALUE'; readonly kind: bigint; readonly value: Bytes };

export type Filter =
  | { readonly type: 'next-group' | 'largest-object' }
  | { readonly type: 'absolute-start'; readonly start: Location }
  | { readonly type: 'absolute-range'; readonly start: Location; readonly endGroup: bigint };

export type GroupOrder = 'ascending' | 'descending';

/** Absent fields are absent on the wire. Times are milliseconds. */
export interface Parameters {
  readonly objectDeliveryTimeout?: bigint;
  readonly tokens?: readonly Token[];
  readonly rendezvousTimeout?: bigint;
  readonly subgroupDeliveryTimeout?: bigint;
  readonly expires?: bigint;
  readonly largestObject?: Location;
  readonly fillTimeout?: bigint;
  readonly forward?: boolean;
  readonly subscriberPriority?: number;
  readonly filter?: Filter;
  readonly groupOrder?: GroupOrder;
  readonly newGroupRequest?: bigint;
  readonly prefix?: NamespaceBytes;
  readonly extensions?: ReadonlyMap<bigint, Bytes>;
}

/** The messages with parameters; REQUEST_OK and REQUEST_UPDATE take what any request lets them have. */
export type Scope =
  | 'SUBSCRIBE'
  | 'SUBSCRIBE_OK'
  | 'PUBLISH'
  | 'FETCH'
  | 'FETCH_OK'
  | 'TRACK_STATUS'
  | 'PUBLISH_NAMESPACE'
  | 'SUBSCRIBE_NAMESPACE'
  | 'SUBSCRIBE_TRACKS'
  | 'REQUEST_OK'
  | 'REQUEST_UPDATE';

type Mutable = { -readonly [Key in keyof Parameters]: Parameters[Key] };

interface Rule {
  readonly type: bigint;
  readonly scopes: readonly Scope[];
  readonly read: (reader: Reader, into: Mutable) => void;
  readonly write: (writer: Writer, from: Parameters) => boolean;
}

/** Extension parameters of Headwater: "HW" and sixteen bits of which the upper eight are zero; length and bytes. */
const EXTENSIONS = { first: 0x4857_0000n, last: 0x4857_00ffn } as const;
const EXTENSION_SCOPES: readonly Scope[] = [
  'SUBSCRIBE',
  'SUBSCRIBE_OK',
  'FETCH',
  'FETCH_OK',
  'TRACK_STATUS',
  'REQUEST_OK',
];

const REQUESTS: readonly Scope[] = [
  'SUBSCRIBE',
  'PUBLISH',
  'FETCH',
  'TRACK_STATUS',
  'PUBLISH_NAMESPACE',
  'SUBSCRIBE_NAMESPACE',
  'SUBSCRIBE_TRACKS',
];

type NumberKey =
  | 'objectDeliveryTimeout'
  | 'rendezvousTimeout'
  | 'subgroupDeliveryTimeout'
  | 'expires'
  | 'fillTimeout'
  | 'newGroupRequest';

function number(type: bigint, key: NumberKey, scopes: readonly Scope[]): Rule {
  return {
    type,
    scopes,
    read: (reader, into) => {
      into[key] = reader.varint();
    },
    write: (writer, from) => {
      const value = from[key];
      if (value !== undefined) writer.varint(value);
      return value !== undefined;
    },
  };
}

/** Ascending by type, the order on the wire. */
const RULES: readonly Rule[] = [
  number(0x02n, 'objectDeliveryTimeout', ['SUBSCRIBE', 'REQUEST_OK', 'REQUEST_UPDATE']),
  number(0x04n, 'rendezvousTimeout', ['SUBSCRIBE']),
  number(0x06n, 'subgroupDeliveryTimeout', ['SUBSCRIBE', 'REQUEST_OK', 'REQUEST_UPDATE']),
  number(0x08n, 'expires', ['SUBSCRIBE_OK', 'PUBLISH', 'REQUEST_OK']),
  {
    type: 0x09n,
    scopes: ['SUBSCRIBE_OK', 'PUBLISH', 'REQUEST_OK'],
    read: (reader, into) => {
      into.largestObject = reader.location();
    },
    write: (writer, { largestObject }) => !!largestObject && !!writer.location(largestObject),
  },
  number(0x0an, 'fillTimeout', ['FETCH']),
  {
    type: 0x10n,
    scopes: ['SUBSCRIBE', 'PUBLISH', 'SUBSCRIBE_TRACKS', 'REQUEST_OK', 'REQUEST_UPDATE'],
    read: (reader, into) => {
      const value = reader.u8();
      if (value > 1) throw malformed(`FORWARD cannot be ${value}`);
      into.forward = value === 1;
    },
    write: (writer, { forward }) => forward !== undefined && !!writer.u8(forward ? 1 : 0),
  },
  {
    type: 0x20n,
    scopes: ['SUBSCRIBE', 'FETCH', 'REQUEST_OK', 'REQUEST_UPDATE'],
    read: (reader, into) => {
      into.subscriberPriority = reader.u8();
    },
    write: (writer, { subscriberPriority: priority }) => priority !== undefined && !!writer.u8(priority),
  },
  {
    type: 0x21n,
    scopes: ['SUBSCRIBE', 'REQUEST_OK', 'REQUEST_UPDATE'],
    read: (reader, into) => {
      into.filter = readFilter(reader.prefixed('filter', MAX_VALUE));
    },
    write: (writer, { filter }) => filter !== undefined && !!writer.prefixed(writeFilter(filter)),
  },
  {
    type: 0x22n,
    scopes: ['SUBSCRIBE', 'FETCH', 'REQUEST_OK'],
    read: (reader, into) => {
      const value = reader.u8();
      if (value !== 1 && value !== 2) throw malformed(`GROUP_ORDER cannot be ${value}`);
      into.groupOrder = value === 1 ? 'ascending' : 'descending';
    },
    write: (writer, { groupOrder: order }) => order !== undefined && !!writer.u8(order === 'ascending' ? 1 : 2),
  },
  number(0x32n, 'newGroupRequest', ['SUBSCRIBE', 'REQUEST_OK', 'REQUEST_UPDATE']),
  {
    type: 0x34n,
    scopes: ['REQUEST_UPDATE'],
    read: (reader, into) => {
      into.prefix = readNamespace(reader);
    },
    write: (writer, { prefix }) => {
      if (prefix) writeNamespace(writer, prefix);
      return prefix !== undefined;
    },
  },
];

const TOKEN_TYPE = 0x03n;
const TOKEN_SCOPES: readonly Scope[] = [...REQUESTS, 'REQUEST_UPDATE'];

export function readParameters(reader: Reader, scope: Scope): Parameters {
  const parameters: Mutable = {};
  const tokens: Token[] = [];
  const extensions = new Map<bigint, Bytes>();
  const count = reader.varint();
  let type = 0n;
  for (let index = 0n; index < count; index++) {
    const delta = reader.varint();
    type += delta;
    if (type > MAX_VARINT) throw malformed('a parameter type out of range');
    if (type === TOKEN_TYPE) {
      check(type, TOKEN_SCOPES, scope);
      tokens.push(readToken(reader.prefixed('token', MAX_VALUE)));
      continue;
    }
    if (index > 0n && delta === 0n) throw malformed(`parameter 0x${type.toString(16)} twice`);
    if (type >= EXTENSIONS.first && type <= EXTENSIONS.last) {
      check(type, EXTENSION_SCOPES, scope);
      extensions.set(type, reader.prefixed('parameter', MAX_VALUE));
      continue;
    }
    const rule = RULES.find((candidate) => candidate.type === type);
    if (!rule) throw malformed(`unknown parameter 0x${type.toString(16)}`);
    check(type, rule.scopes, scope);
    rule.read(reader, parameters);
  }
  if (tokens.length > 0) parameters.tokens = tokens;
  if (extensions.size > 0) parameters.extensions = extensions;
  return parameters;
}

function check(type: bigint, scopes: readonly Scope[], scope: Scope): void {
  if (!scopes.includes(scope)) throw malformed(`parameter 0x${type.toString(16)} in ${scope}`);
}

export function writeParameters(writer: Writer, parameters: Parameters): void {
  const values: { type: bigint; value: Bytes }[] = [];
  for (const rule of RULES) {
    const value = new Writer();
    if (rule.write(value, parameters)) values.push({ type: rule.type, value: value.take() });
  }
  for (const token of parameters.tokens ?? []) {
    values.push({ type: TOKEN_TYPE, value: new Writer().prefixed(writeToken(token)).take() });
  }
  for (const [type, value] of parameters.extensions ?? []) {
    values.push({ type, value: new Writer().prefixed(value).take() });
  }
  values.sort((a, b) => (a.type < b.type ? -1 : a.type > b.type ? 1 : 0));
  writer.varint(values.length);
  let last = 0n;
  for (const { type, value } of values) {
    writer.varint(type - last).bytes(value);
    last = type;
  }
}

export function readToken(bytes: Bytes): Token {
  try {
    return tokenFrom(new Reader(bytes));
  } catch {
    throw malformed('a token that is not well formed', SessionCode.keyValueFormatting);
  }
}

function tokenFrom(reader: Reader): Token {
  const type = reader.varint();
  if (type === 0n || type === 2n) {
    const alias = reader.varint();
    reader.finish();
    return { form: type === 0n ? 'DELETE' : 'USE_ALIAS', alias };
  }
  if (type === 1n) return { form: 'REGISTER', alias: reader.varint(), kind: reader.varint(), value: reader.rest() };
  if (type === 3n) return { form: 'USE_VALUE', kind: reader.varint(), value: reader.rest() };
  throw malformed('a token of an unknown kind');
}

export function writeToken(token: Token): Bytes {
  const writer = new Writer();
  switch (token.form) {
    case 'DELETE':
      return writer.varint(0).varint(token.alias).take();
    case 'REGISTER':
      return writer.varint(1).varint(token.alias).varint(token.kind).bytes(token.value).take();
    case 'USE_ALIAS':
      return writer.varint(2).varint(token.alias).take();
    case 'USE_VALUE':
      return writer.varint(3).varint(token.kind).bytes(token.value).take();
  }
}

function readFilter(bytes: Bytes): Filter {
  const reader = new Reader(bytes);
  const filter = filterFrom(reader);
  reader.finish();
  return filter;
}

function filterFrom(reader: Reader): Filter {
  const type = reader.varint();
  if (type === 1n) return { type: 'next-group' };
  if (type === 2n) return { type: 'largest-object' };
  if (type === 3n) return { type: 'absolute-start', start: reader.location() };
  if (type !== 4n) throw malformed(`unknown filter ${type}`);
  const start = reader.location();
  const endGroup = start.group + reader.varint();
  if (endGroup > MAX_VARINT) throw malformed('a filter that ends out of range');
  return { type: 'absolute-range', start, endGroup };
}

function writeFilter(filter: Filter): Bytes {
  const writer = new Writer();
  switch (filter.type) {
    case 'next-group':
      return writer.varint(1).take();
    case 'largest-object':
      return writer.varint(2).take();
    case 'absolute-start':
      return writer.varint(3).location(filter.start).take();
    case 'absolute-range':
      return writer
        .varint(4)
        .location(filter.start)
        .varint(filter.endGroup - filter.start.group)
        .take();
  }
}
