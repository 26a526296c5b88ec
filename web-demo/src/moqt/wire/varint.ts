/// The draft's variable-length integer, vi64 (draft section "Variable-Length Integers").
///
/// It is not QUIC's: the count of leading one bits of the first byte is the number of bytes that follow. One byte holds seven
/// bits, nine bytes all 64, and every length is legal for every value that fits, so encoded bytes must not be compared.

import type { Bytes } from '../types';

export const MAX_VARINT = 0xffff_ffff_ffff_ffffn;

/** Bytes that `encodeVarint` gives for `value`: the fewest possible, 1 to 9. */
export function varintLength(value: bigint): number {
  for (let length = 1; length < 9; length++) {
    if (value < 1n << BigInt(7 * length)) return length;
  }
  return 9;
}

/** Writes `value`, 0 to 2^64 - 1, at `at` in its shortest form; returns how many bytes that took. `out` must have room for nine. */
export function encodeVarint(value: bigint, out: Bytes, at: number): number {
  if (value < 0x80n) {
    out[at] = Number(value);
    return 1;
  }
  const length = varintLength(value);
  let rest = value;
  for (let index = length - 1; index >= 0; index--) {
    out[at + index] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  // One less leading one bit than there are bytes.
  out[at] = (out[at] ?? 0) | (0xff & ~(0xff >> (length - 1)));
  return length;
}

/** Reads an integer at `at`: its value and how many bytes it took. `undefined`: more bytes are needed. */
export function decodeVarint(bytes: Bytes, at = 0): { value: bigint; length: number } | undefined {
  const first = bytes[at];
  if (first === undefined) return undefined;
  if (first < 0x80) return { value: BigInt(first), length: 1 };
  const extra = Math.clz32(~(first << 24));
  if (bytes.length - at <= extra) return undefined;
  // The bits of the first byte after its ones and the zero that ends them; none from seven ones on.
  let low = first & (0x7f >> extra);
  if (extra <= 3) {
    for (let index = 1; index <= extra; index++) low = (low << 8) | (bytes[at + index] ?? 0);
    return { value: BigInt(low >>> 0), length: extra + 1 };
  }
  let value = BigInt(low);
  for (let index = 1; index <= extra; index++) value = (value << 8n) | BigInt(bytes[at + index] ?? 0);
  return { value, length: extra + 1 };
}
