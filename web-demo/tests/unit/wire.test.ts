import { describe, expect, test } from 'vitest';
import { MoqtError } from '../../src/moqt';
import { Writer } from '../../src/moqt/wire/bytes';
import { encodeMessage } from '../../src/moqt/wire/encode';
import type { FetchItem } from '../../src/moqt/wire/fetch';
import { FetchWriter, fetchItems, readFetchHeader } from '../../src/moqt/wire/fetch';
import { formatTrack, parseTrack } from '../../src/moqt/wire/name';
import { readProperties, writeProperties } from '../../src/moqt/wire/property';
import {
  readSubgroupHeader,
  subgroupObjects,
  writeObjectHead,
  writeSubgroupHeader,
} from '../../src/moqt/wire/subgroup';
import { decodeVarint, encodeVarint, MAX_VARINT } from '../../src/moqt/wire/varint';
import { messageJson } from './message-json';
import { concat, hex, SESSION_CODES, source, unhex, type Vector, vectors } from './vectors';

const STEPS = [Number.POSITIVE_INFINITY, 1, 3];

/** Holds one vector to `read`, which gives the JSON of what it read and the bytes we would write for it. */
async function check(vector: Vector, read: (step: number) => Promise<{ json: unknown; bytes: Uint8Array }>) {
  for (const step of STEPS) {
    if (vector.error) {
      const error = await read(step).then(
        () => undefined,
        (error: unknown) => error,
      );
      expect(error).toBeInstanceOf(MoqtError);
      expect(error).toMatchObject({ kind: 'malformed', code: SESSION_CODES[vector.error] });
      continue;
    }
    const { json, bytes } = await read(step);
    expect(json).toEqual(vector.fields);
    if (vector.canonical === false) expect(hex(bytes)).not.toBe(vector.hex);
    else expect(hex(bytes)).toBe(vector.hex);
  }
}

describe('integers', () => {
  test.each(vectors('varint.json'))('$name', (vector) => {
    const bytes = unhex(vector.hex);
    const decoded = decodeVarint(bytes);
    if (vector.fields === null) {
      expect(decoded).toBeUndefined();
      return;
    }
    expect({ value: decoded?.value.toString() }).toEqual(vector.fields);
    expect(decoded?.length).toBe(bytes.length);
    const out = new Uint8Array(9);
    const written = hex(out.subarray(0, encodeVarint(decoded?.value ?? 0n, out, 0)));
    expect(written === vector.hex).toBe(vector.canonical !== false);
  });

  test('every length holds its smallest and largest value', () => {
    for (let bits = 0n; bits <= 64n; bits++) {
      for (const value of [(1n << bits) - 1n, 1n << bits]) {
        if (value > MAX_VARINT) continue;
        const out = new Uint8Array(9);
        const length = encodeVarint(value, out, 0);
        expect(decodeVarint(out.subarray(0, length))).toEqual({ value, length });
      }
    }
  });
});

describe.each(['control_messages.json', 'extension_parameters.json'])('%s', (file) => {
  test.each(vectors(file))('$name', (vector) =>
    check(vector, async (step) => {
      const from = source(unhex(vector.hex), step);
      const message = await from.message(vector.stream ?? 'request');
      if (!message) throw new Error('no message');
      expect(await from.message('request')).toBeUndefined();
      return { json: messageJson(message), bytes: encodeMessage(message) };
    }),
  );
});

describe('subgroup streams', () => {
  test.each(vectors('subgroup_streams.json'))('$name', (vector) =>
    check(vector, async (step) => {
      const from = source(unhex(vector.hex), step);
      const header = await from.head(readSubgroupHeader);
      if (!header) throw new Error('no header');
      const writer = new Writer();
      writeSubgroupHeader(writer, header);
      const next = subgroupObjects(from, header);
      const objects: unknown[] = [];
      let last: bigint | undefined;
      for (let object = await next(); object; object = await next()) {
        const { head, payload } = object;
        objects.push({
          id: head.id.toString(),
          properties: hex(head.properties),
          status: head.status,
          payload: hex(payload),
        });
        writeObjectHead(writer, last, { ...head, payloadLength: payload.length }, header.hasProperties);
        writer.bytes(payload);
        last = head.id;
      }
      const { trackAlias, group, subgroup, priority, hasProperties, endOfGroup, firstObject } = header;
      const json = {
        track_alias: trackAlias.toString(),
        group: group.toString(),
        subgroup:
          subgroup === 'zero'
            ? 'zero'
            : subgroup === 'first-object'
              ? 'first_object'
              : { explicit: subgroup.toString() },
        ...(priority !== undefined && { priority }),
        has_properties: hasProperties,
        end_of_group: endOfGroup,
        first_object: firstObject,
      };
      return { json: { header: json, objects }, bytes: writer.take() };
    }),
  );
});

describe('fetch streams', () => {
  const place = ({ location }: FetchItem) => [location.group.toString(), location.object.toString()];
  const json = (item: FetchItem) => {
    if (item.kind !== 'object') {
      return { [item.kind === 'unknown' ? 'end_of_unknown_range' : 'end_of_non_existent_range']: place(item) };
    }
    return {
      location: place(item),
      subgroup: item.subgroup?.toString() ?? null,
      priority: item.priority,
      properties: hex(item.properties),
      payload: hex(item.payload),
    };
  };

  test.each(vectors('fetch_streams.json'))('$name', (vector) =>
    check(vector, async (step) => {
      const order = vector.order ?? 'ascending';
      const from = source(unhex(vector.hex), step);
      const requestId = await from.head(readFetchHeader);
      if (requestId === undefined) throw new Error('no header');
      const writer = new FetchWriter(order);
      const bytes = [writer.header(requestId)];
      const next = fetchItems(from, order);
      const items: unknown[] = [];
      for (let item = await next(); item; item = await next()) {
        items.push(json(item));
        if (item.kind === 'object') bytes.push(writer.object(item, item.payload.length), item.payload);
        else bytes.push(writer.marker(item));
      }
      return { json: { request_id: requestId.toString(), items }, bytes: concat(bytes) };
    }),
  );
});

describe('names', () => {
  test.each(vectors('names.json'))('$name', (vector) => {
    const track = parseTrack(vector.text ?? '');
    if (vector.error) {
      expect(track).toBeUndefined();
      return;
    }
    if (!track) throw new Error('refused');
    expect({ namespace: track.namespace.map(hex), track_name: hex(track.name) }).toEqual(vector.fields);
    expect(formatTrack(track)).toBe(vector.text);
  });
});

test('properties keep numbers and bytes, and those inside the immutable block are found', () => {
  const properties = new Map<bigint, bigint | Uint8Array>([
    [0x0dn, unhex('0102')],
    [0x10n, 2n ** 60n],
  ]);
  expect(readProperties(writeProperties(properties))).toEqual(properties);
  const immutable = new Map([[0x0bn, writeProperties(properties)]]);
  expect(readProperties(writeProperties(immutable)).get(0x10n)).toBe(2n ** 60n);
  expect(() => writeProperties(new Map([[0x10n, unhex('01')]]))).toThrow(MoqtError);
});

test('random bytes are read or refused with a typed error, never otherwise', async () => {
  let state = 1;
  const random = () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state >>> 16;
  };
  for (let round = 0; round < 3000; round++) {
    const bytes = Uint8Array.from({ length: random() % 40 }, () => random());
    const types = [0x03, 0x04, 0x05, 0x16, 0x18, 0x1d, 0x06, 0x0b];
    const length = Math.max(0, bytes.length - 3);
    if (bytes.length >= 3) bytes.set([types[random() % types.length] ?? 0, 0, length]);
    await source(bytes)
      .message('request')
      .catch((error: unknown) => expect(error).toBeInstanceOf(MoqtError));
    const stream = source(bytes);
    const next = fetchItems(stream, 'ascending');
    for (;;) {
      const item = await next().catch((error: unknown) => {
        expect(error).toBeInstanceOf(MoqtError);
        return undefined;
      });
      if (!item) break;
    }
  }
});
