/// Checked reading and growing writing of bytes.

import { MoqtError, SessionCode } from '../errors';
import type { Bytes, Location } from '../types';
import { decodeVarint, encodeVarint } from './varint';

/** Bytes from the peer that cannot be understood: fatal to the session, with the code to close it. */
export function malformed(message: string, code: number = SessionCode.protocolViolation): MoqtError {
  return new MoqtError('malformed', code, message);
}

/** Thrown by a Reader that ran out of bytes. One object: on a stream this is no error, only "more bytes are needed". */
export const TRUNCATED = malformed('it ends in the middle of a field');

/** Reads fields from the front of a buffer; slices share its memory. */
export class Reader {
  #at = 0;
  constructor(readonly bytes: Bytes) {}

  get position(): number {
    return this.#at;
  }

  get remaining(): number {
    return this.bytes.length - this.#at;
  }

  u8(): number {
    const byte = this.bytes[this.#at];
    if (byte === undefined) throw TRUNCATED;
    this.#at += 1;
    return byte;
  }

  varint(): bigint {
    const decoded = decodeVarint(this.bytes, this.#at);
    if (!decoded) throw TRUNCATED;
    this.#at += decoded.length;
    return decoded.value;
  }

  location(): Location {
    return { group: this.varint(), object: this.varint() };
  }

  slice(length: number): Bytes {
    if (length > this.remaining) throw TRUNCATED;
    const slice = this.bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return slice;
  }

  rest(): Bytes {
    return this.slice(this.remaining);
  }

  /** A vi64 length of at most `max`, and as many bytes. */
  prefixed(field: string, max: number): Bytes {
    const length = this.varint();
    if (length > BigInt(max)) throw malformed(`${field} of ${length} bytes, at most ${max} are allowed`);
    return this.slice(Number(length));
  }

  /** Refuses bytes that no field claimed. */
  finish(): void {
    if (this.remaining > 0) throw malformed(`${this.remaining} bytes beyond the last field`);
  }
}

/** Appends fields to a buffer that grows. */
export class Writer {
  #buffer: Uint8Array<ArrayBuffer> = new Uint8Array(64);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    this.#reserve(1);
    this.#buffer[this.#length++] = value;
    return this;
  }

  varint(value: bigint | number): this {
    this.#reserve(9);
    this.#length += encodeVarint(BigInt(value), this.#buffer, this.#length);
    return this;
  }

  location(location: Location): this {
    return this.varint(location.group).varint(location.object);
  }

  bytes(bytes: Bytes): this {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  prefixed(bytes: Bytes): this {
    return this.varint(bytes.length).bytes(bytes);
  }

  /** What was written, in memory of its own. */
  take(): Uint8Array<ArrayBuffer> {
    return this.#buffer.slice(0, this.#length);
  }

  #reserve(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#buffer.length) return;
    const grown = new Uint8Array(Math.max(needed, 2 * this.#buffer.length));
    grown.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = grown;
  }
}

const encoder = new TextEncoder();
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const lossy = new TextDecoder('utf-8', { ignoreBOM: true });

export function utf8(text: string): Bytes {
  return encoder.encode(text);
}

/** The text of UTF-8 bytes; `undefined` if they are none. */
export function fromUtf8(bytes: Bytes): string | undefined {
  try {
    return strict.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Text for people, whatever the bytes. */
export function lossyText(bytes: Bytes): string {
  return lossy.decode(bytes);
}
