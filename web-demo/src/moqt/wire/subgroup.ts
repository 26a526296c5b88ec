/// Subgroup streams: a header, then the objects of one subgroup in ascending order (draft section "Subgroup Header").

import type { Bytes } from '../types';
import { malformed, type Reader, type Writer } from './bytes';
import { MAX_VALUE } from './property';
import type { ByteSource } from './source';
import { MAX_VARINT } from './varint';

const PROPERTIES = 0x01;
const ID_MODE = 0x06;
const ID_FIRST_OBJECT = 0x02;
const ID_EXPLICIT = 0x04;
const END_OF_GROUP = 0x08;
const SUBGROUP = 0x10;
const DEFAULT_PRIORITY = 0x20;
const FIRST_OBJECT = 0x40;

export const FETCH_STREAM = 0x05n;
export const CONTROL_STREAM = 0x2f00n;
export const PADDING_STREAM = 0x132b3e28n;

export interface SubgroupHeader {
  readonly trackAlias: bigint;
  readonly group: bigint;
  /** 'zero' and 'first-object' are not on the wire. */
  readonly subgroup: 'zero' | 'first-object' | bigint;
  /** Absent: the track's default. */
  readonly priority?: number;
  /** Every object of the stream carries a property block. */
  readonly hasProperties: boolean;
  /** A FIN proves that the last object of the stream is the group's last. */
  readonly endOfGroup: boolean;
  /** The first object of the stream is the first ever published in the subgroup. */
  readonly firstObject: boolean;
}

export interface ObjectHead {
  readonly id: bigint;
  /** As received. */
  readonly properties: Bytes;
  readonly payloadLength: bigint;
  /** 0 normal, 3 end of group, 4 end of track. */
  readonly status: number;
}

/** Whether a stream type is a SUBGROUP_HEADER: 0b0XX1XXXX, and not the reserved fourth way to give the subgroup's id. */
export function isSubgroupType(type: bigint): boolean {
  const flags = Number(type & 0xffn);
  return type < 0x80n && (flags & 0x90) === SUBGROUP && (flags & ID_MODE) !== ID_MODE;
}

export function readSubgroupHeader(reader: Reader): SubgroupHeader {
  const type = reader.varint();
  if (!isSubgroupType(type)) throw malformed(`a stream of the unknown type 0x${type.toString(16)}`);
  const flags = Number(type);
  const trackAlias = reader.varint();
  const group = reader.varint();
  const mode = flags & ID_MODE;
  return {
    trackAlias,
    group,
    subgroup: mode === ID_EXPLICIT ? reader.varint() : mode === ID_FIRST_OBJECT ? 'first-object' : 'zero',
    ...((flags & DEFAULT_PRIORITY) === 0 && { priority: reader.u8() }),
    hasProperties: (flags & PROPERTIES) !== 0,
    endOfGroup: (flags & END_OF_GROUP) !== 0,
    firstObject: (flags & FIRST_OBJECT) !== 0,
  };
}

export function writeSubgroupHeader(writer: Writer, header: SubgroupHeader): void {
  const explicit = typeof header.subgroup === 'bigint';
  const flags =
    SUBGROUP |
    (explicit ? ID_EXPLICIT : header.subgroup === 'first-object' ? ID_FIRST_OBJECT : 0) |
    (header.hasProperties ? PROPERTIES : 0) |
    (header.endOfGroup ? END_OF_GROUP : 0) |
    (header.priority === undefined ? DEFAULT_PRIORITY : 0) |
    (header.firstObject ? FIRST_OBJECT : 0);
  writer.varint(flags).varint(header.trackAlias).varint(header.group);
  if (typeof header.subgroup === 'bigint') writer.varint(header.subgroup);
  if (header.priority !== undefined) writer.u8(header.priority);
}

const NO_BYTES = new Uint8Array(0);

/** `last` is the id of the object before it on the stream. */
export function readObjectHead(reader: Reader, last: bigint | undefined, hasProperties: boolean): ObjectHead {
  const delta = reader.varint();
  const id = last === undefined ? delta : last + delta + 1n;
  if (id > MAX_VARINT) throw malformed('an object id out of range');
  const properties = hasProperties ? reader.prefixed('property block', MAX_VALUE) : NO_BYTES;
  const payloadLength = reader.varint();
  const status = payloadLength === 0n ? readStatus(reader.varint(), properties) : 0;
  return { id, properties: properties.length > 0 ? properties.slice() : NO_BYTES, payloadLength, status };
}

function readStatus(status: bigint, properties: Bytes): number {
  if (status !== 0n && status !== 3n && status !== 4n) throw malformed(`unknown object status ${status}`);
  if (status !== 0n && properties.length > 0) throw malformed('an object with a status has properties');
  return Number(status);
}

export function writeObjectHead(
  writer: Writer,
  last: bigint | undefined,
  head: { readonly id: bigint; readonly properties: Bytes; readonly payloadLength: number; readonly status: number },
  hasProperties: boolean,
): void {
  writer.varint(last === undefined ? head.id : head.id - last - 1n);
  if (hasProperties) writer.prefixed(head.properties);
  writer.varint(head.payloadLength);
  if (head.payloadLength === 0) writer.varint(head.status);
}

/** Longest payload that is read; longer ones end their stream. */
export const MAX_PAYLOAD = 32 * 1024 * 1024;

/** Reads the objects that follow the header, one after the other; `undefined` at the FIN. */
export function subgroupObjects(
  source: ByteSource,
  header: SubgroupHeader,
): () => Promise<{ head: ObjectHead; payload: Bytes } | undefined> {
  let last: bigint | undefined;
  return async () => {
    const head = await source.head((reader) => readObjectHead(reader, last, header.hasProperties));
    if (!head) return undefined;
    last = head.id;
    return { head, payload: await readPayload(source, head.payloadLength) };
  };
}

export async function readPayload(source: ByteSource, length: bigint): Promise<Bytes> {
  if (length > BigInt(MAX_PAYLOAD)) throw malformed(`a payload of ${length} bytes`);
  return source.payload(Number(length));
}
