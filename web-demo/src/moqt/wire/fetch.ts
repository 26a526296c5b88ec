/// Fetch streams: a header, then objects and range markers, each relative to the one before (draft section "Fetch Header").

import type { Bytes, Location } from '../types';
import { malformed, type Reader, Writer } from './bytes';
import type { GroupOrder } from './parameter';
import { MAX_VALUE } from './property';
import type { ByteSource } from './source';
import { FETCH_STREAM, readPayload } from './subgroup';
import { MAX_VARINT } from './varint';

const SUBGROUP_MODE = 0x03;
const SUBGROUP_PRIOR = 0x01;
const SUBGROUP_NEXT = 0x02;
const SUBGROUP_EXPLICIT = 0x03;
const OBJECT_DELTA = 0x04;
const GROUP_DELTA = 0x08;
const PRIORITY = 0x10;
const PROPERTIES = 0x20;
const DATAGRAM = 0x40;
const NON_EXISTENT = 0x8cn;
const UNKNOWN = 0x10cn;

export interface FetchObject {
  readonly kind: 'object';
  readonly location: Location;
  /** Absent: the object was sent as a datagram. */
  readonly subgroup?: bigint;
  readonly priority: number;
  readonly properties: Bytes;
  readonly payload: Bytes;
}

/** No object up to here, inclusive, exists, or nothing is known of them. */
export interface FetchMarker {
  readonly kind: 'non-existent' | 'unknown';
  readonly location: Location;
}

export type FetchItem = FetchObject | FetchMarker;

interface Prior {
  /** Of the last object or marker. */
  readonly location?: Location;
  /** Of the last object that had one. */
  readonly subgroup?: bigint;
  /** Of the last object. */
  readonly priority?: number;
}

export function readFetchHeader(reader: Reader): bigint {
  const type = reader.varint();
  if (type !== FETCH_STREAM) throw malformed(`a fetch stream of type 0x${type.toString(16)}`);
  return reader.varint();
}

/** Reads what follows the header, item by item; `undefined` at the FIN. */
export function fetchItems(source: ByteSource, order: GroupOrder): () => Promise<FetchItem | undefined> {
  let prior: Prior = {};
  return async () => {
    const head = await source.head((reader) => readItem(reader, prior, order));
    if (!head) return undefined;
    if (head.kind !== 'object') {
      prior = { ...prior, location: head.location };
      return head;
    }
    const { payloadLength, ...object } = head;
    const subgroup = object.subgroup ?? prior.subgroup;
    prior = { location: object.location, priority: object.priority, ...(subgroup !== undefined && { subgroup }) };
    return { ...object, payload: await readPayload(source, payloadLength) };
  };
}

type Head = FetchMarker | (Omit<FetchObject, 'payload'> & { readonly payloadLength: bigint });

function readItem(reader: Reader, prior: Prior, order: GroupOrder): Head {
  const value = reader.varint();
  if (value === NON_EXISTENT || value === UNKNOWN) {
    // Absolute ids and no length: a delta could not name the group of the last object, where most ranges begin.
    return { kind: value === UNKNOWN ? 'unknown' : 'non-existent', location: reader.location() };
  }
  if (value >= 0x80n) throw malformed(`fetch flags 0x${value.toString(16)}`);
  const flags = Number(value);
  const group = (flags & GROUP_DELTA) !== 0 ? reader.varint() : undefined;
  const subgroup = (flags & DATAGRAM) !== 0 ? undefined : readSubgroup(reader, flags & SUBGROUP_MODE, prior);
  const delta = (flags & OBJECT_DELTA) !== 0 ? reader.varint() : undefined;
  const location = place(prior.location, group, delta, order);
  const priority = (flags & PRIORITY) !== 0 ? reader.u8() : prior.priority;
  if (priority === undefined) throw malformed('the first object of a fetch has no priority');
  const properties = (flags & PROPERTIES) !== 0 ? reader.prefixed('property block', MAX_VALUE).slice() : NO_BYTES;
  const payloadLength = reader.varint();
  return { kind: 'object', location, ...(subgroup !== undefined && { subgroup }), priority, properties, payloadLength };
}

const NO_BYTES = new Uint8Array(0);

function place(
  prior: Location | undefined,
  groupField: bigint | undefined,
  objectField: bigint | undefined,
  order: GroupOrder,
): Location {
  if (!prior) {
    if (groupField === undefined || objectField === undefined)
      throw malformed('the first item of a fetch has no location');
    return { group: groupField, object: objectField };
  }
  let group = prior.group;
  if (groupField !== undefined) group += order === 'ascending' ? groupField + 1n : -(groupField + 1n);
  // With a group, the object field is absolute; without, it counts from the object before, and not from the one after that.
  const object =
    objectField === undefined ? prior.object + 1n : groupField === undefined ? prior.object + objectField : objectField;
  if (group < 0n || group > MAX_VARINT || object > MAX_VARINT) throw malformed('a fetched object out of range');
  return { group, object };
}

function readSubgroup(reader: Reader, mode: number, prior: Prior): bigint {
  if (mode === SUBGROUP_EXPLICIT) return reader.varint();
  if (mode !== SUBGROUP_PRIOR && mode !== SUBGROUP_NEXT) return 0n;
  if (prior.subgroup === undefined) throw malformed('a fetched object refers to the subgroup of none');
  const subgroup = mode === SUBGROUP_NEXT ? prior.subgroup + 1n : prior.subgroup;
  if (subgroup > MAX_VARINT) throw malformed('a subgroup out of range');
  return subgroup;
}

/** Writes a fetch stream, item by item, each with its group unless it is that of the item before. */
export class FetchWriter {
  #prior: Prior = {};
  constructor(readonly order: GroupOrder) {}

  header(requestId: bigint): Bytes {
    return new Writer().varint(FETCH_STREAM).varint(requestId).take();
  }

  /** The head of an object; its payload follows. */
  object(object: Omit<FetchObject, 'kind' | 'payload'>, payloadLength: number): Bytes {
    const { location, subgroup, priority, properties } = object;
    const before = this.#prior.location;
    const newGroup = before?.group !== location.group;
    const next = !newGroup && before !== undefined && location.object === before.object + 1n;
    const datagram = subgroup === undefined;
    const mode = datagram ? 0 : this.#subgroupMode(subgroup);
    const flags =
      mode |
      (datagram ? DATAGRAM : 0) |
      (next ? 0 : OBJECT_DELTA) |
      (newGroup ? GROUP_DELTA : 0) |
      (this.#prior.priority === priority ? 0 : PRIORITY) |
      (properties.length > 0 ? PROPERTIES : 0);
    const writer = new Writer().varint(flags);
    if (newGroup) writer.varint(this.#groupField(location.group));
    if (mode === SUBGROUP_EXPLICIT) writer.varint(subgroup ?? 0n);
    if (!next) writer.varint(newGroup || !before ? location.object : location.object - before.object);
    if ((flags & PRIORITY) !== 0) writer.u8(priority);
    if (properties.length > 0) writer.prefixed(properties);
    this.#prior = { location, priority, ...(subgroup !== undefined && { subgroup }) };
    return writer.varint(payloadLength).take();
  }

  marker(marker: FetchMarker): Bytes {
    this.#prior = { ...this.#prior, location: marker.location };
    const flags = marker.kind === 'unknown' ? UNKNOWN : NON_EXISTENT;
    return new Writer().varint(flags).location(marker.location).take();
  }

  #groupField(group: bigint): bigint {
    const before = this.#prior.location?.group;
    if (before === undefined) return group;
    return (this.order === 'ascending' ? group - before : before - group) - 1n;
  }

  #subgroupMode(subgroup: bigint): number {
    const before = this.#prior.subgroup;
    if (subgroup === 0n) return 0;
    if (before === subgroup) return SUBGROUP_PRIOR;
    return before !== undefined && before + 1n === subgroup ? SUBGROUP_NEXT : SUBGROUP_EXPLICIT;
  }
}
