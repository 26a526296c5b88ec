/// Key-value pairs: Setup Options and the properties of tracks and objects (draft section "Key-Value-Pair Structure").
///
/// Types are written as the difference from the type before; even types hold an integer, odd ones bytes with a length.

import { MoqtError } from '../errors';
import type { Bytes, Properties } from '../types';
import { malformed, Reader, Writer } from './bytes';
import { MAX_VARINT } from './varint';

export const MAX_VALUE = 65_535;

/** Properties that the transport itself looks at. */
export const PropertyType = {
  defaultPublisherPriority: 0x0en,
  immutable: 0x0bn,
  priorGroupIdGap: 0x3cn,
} as const;

export interface Pair {
  readonly type: bigint;
  readonly value: bigint | Bytes;
}

export function readPairs(bytes: Bytes): Pair[] {
  const reader = new Reader(bytes);
  const pairs: Pair[] = [];
  let type = 0n;
  while (reader.remaining > 0) {
    type += reader.varint();
    if (type > MAX_VARINT) throw malformed('a property type out of range');
    pairs.push({ type, value: type % 2n === 0n ? reader.varint() : reader.prefixed('property', MAX_VALUE) });
  }
  return pairs;
}

/** Pairs must ascend by type. */
export function writePairs(pairs: Iterable<Pair>): Bytes {
  const writer = new Writer();
  let last = 0n;
  for (const { type, value } of pairs) {
    writer.varint(type - last);
    last = type;
    if (typeof value === 'bigint') writer.varint(value);
    else writer.prefixed(value);
  }
  return writer.take();
}

export const NO_PROPERTIES: Properties = new Map();

/** Properties by type, those inside IMMUTABLE_PROPERTIES included; of a repeated type the first counts. */
export function readProperties(bytes: Bytes): Properties {
  if (bytes.length === 0) return NO_PROPERTIES;
  const properties = new Map<bigint, bigint | Bytes>();
  const take = (pairs: Pair[]) => {
    for (const { type, value } of pairs) if (!properties.has(type)) properties.set(type, value);
  };
  take(readPairs(bytes));
  const immutable = properties.get(PropertyType.immutable);
  if (immutable instanceof Uint8Array) take(readPairs(immutable));
  return properties;
}

const NO_BYTES = new Uint8Array(0);

export function writeProperties(properties: Properties): Bytes {
  if (properties.size === 0) return NO_BYTES;
  const pairs = [...properties].map(([type, value]) => ({ type, value }));
  for (const { type, value } of pairs) {
    // A value of the wrong kind would make the rest of the block unreadable.
    if ((type % 2n === 0n) !== (typeof value === 'bigint'))
      throw new MoqtError('usage', 0, `property ${type} holds the wrong kind of value`);
  }
  return writePairs(pairs.sort((a, b) => (a.type < b.type ? -1 : 1)));
}
