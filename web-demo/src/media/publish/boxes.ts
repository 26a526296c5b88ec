/// Writing MP4 boxes (ISO/IEC 14496-12, "Object-structured file organization"): a size, four letters, a body.

export type Bytes = Uint8Array;

/** One after the other. */
export function concat(parts: readonly Bytes[]): Bytes {
  const out = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export function u8(...values: number[]): Bytes {
  return Uint8Array.from(values);
}

export function u16(...values: number[]): Bytes {
  return Uint8Array.from(values.flatMap((value) => [value >>> 8, value]));
}

/** Unsigned 32-bit numbers, or signed ones in two's complement. */
export function u32(...values: number[]): Bytes {
  return Uint8Array.from(values.flatMap((value) => [value >>> 24, value >>> 16, value >>> 8, value]));
}

/** A whole number up to 2^53 in eight bytes. */
export function u64(value: number): Bytes {
  return u32(Math.floor(value / 2 ** 32), value % 2 ** 32);
}

/** ASCII text as it is, without length or terminator. */
export function text(value: string): Bytes {
  return Uint8Array.from(value, (letter) => letter.charCodeAt(0));
}

/** A box of four-letter type `type` around `parts`. */
export function box(type: string, ...parts: Bytes[]): Bytes {
  const length = parts.reduce((sum, part) => sum + part.length, 8);
  return concat([u32(length), text(type), ...parts]);
}

/** A box that begins with a version and 24 flags. */
export function fullBox(type: string, version: number, flags: number, ...parts: Bytes[]): Bytes {
  return box(type, u32(version * 2 ** 24 + flags), ...parts);
}
