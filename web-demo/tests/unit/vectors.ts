/// The golden bytes that the Rust codec is held to as well, and values of the wire in their JSON form.

import { readFileSync } from 'node:fs';
import { SessionCode } from '../../src/moqt';
import { ByteSource } from '../../src/moqt/wire/source';

export interface Vector {
  readonly name: string;
  readonly hex: string;
  readonly text?: string;
  readonly stream?: 'control' | 'request';
  readonly order?: 'ascending' | 'descending';
  readonly canonical?: boolean;
  readonly fields?: unknown;
  readonly error?: string;
}

export function vectors(file: string): Vector[] {
  const url = new URL(`../../../tests/vectors/${file}`, import.meta.url);
  return JSON.parse(readFileSync(url, 'utf8')).vectors;
}

export const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
export const unhex = (text: string) => Uint8Array.from(Buffer.from(text, 'hex'));

export const SESSION_CODES: Record<string, number> = {
  PROTOCOL_VIOLATION: SessionCode.protocolViolation,
  KEY_VALUE_FORMATTING_ERROR: SessionCode.keyValueFormatting,
  MALFORMED_PATH: SessionCode.malformedPath,
  MALFORMED_AUTHORITY: SessionCode.malformedAuthority,
};

/** A stream of these bytes that arrive `step` at a time. */
export function source(bytes: Uint8Array, step = Number.POSITIVE_INFINITY): ByteSource {
  let at = 0;
  return new ByteSource(async () => {
    if (at >= bytes.length) return undefined;
    const end = Math.min(at + step, bytes.length);
    const piece = bytes.slice(at, end);
    at = end;
    return piece;
  });
}

export function concat(pieces: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(pieces));
}
