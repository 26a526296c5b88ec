/// What a broadcast has to play: one model for the two catalogs, MSF and hang.
///
/// Catalogs come from whoever publishes, so everything here is bounded and every odd track is passed over with the
/// reason, instead of refusing the broadcast. Strings are kept as they came: they reach the page as text, never as HTML.

export type Bytes = Uint8Array<ArrayBufferLike>;

export type MediaKind = 'video' | 'audio';

/// How an object of a track carries its samples.
/// cmaf: `moof` + `mdat`; loc: one coded chunk, times in the object's properties; legacy: a varint of microseconds, then
/// one coded chunk (hang).
export type Packaging = 'cmaf' | 'loc' | 'legacy';

export interface CatalogTrack {
  readonly name: string;
  readonly kind: MediaKind;
  readonly packaging: Packaging;
  /// As in RFC 6381 and WebCodecs.
  readonly codec: string;
  /// CMAF header, for packaging cmaf.
  readonly init?: Bytes;
  /// The decoder's configuration record, where the catalog gives one.
  readonly description?: Bytes;
  readonly width?: number;
  readonly height?: number;
  readonly framerate?: number;
  readonly sampleRate?: number;
  readonly channels?: number;
  /// Bits per second.
  readonly bitrate?: number;
  readonly language?: string;
}

export interface Skipped {
  readonly name: string;
  readonly why: string;
}

export interface Catalog {
  readonly tracks: readonly CatalogTrack[];
  /// Listed, but not to be played here.
  readonly skipped: readonly Skipped[];
  /// How many tracks the catalog lists beyond the first MAX_TRACKS.
  readonly beyond: number;
}

/// An object of a catalog track.
export interface CatalogObject {
  readonly group: bigint;
  readonly object: bigint;
  readonly payload: Bytes;
}

export const MSF_TRACK = 'catalog';
export const HANG_TRACK = 'catalog.json';
/// Largest catalog that is read, in bytes.
export const MAX_CATALOG = 1 << 20;
/// Most tracks that are looked at.
export const MAX_TRACKS = 64;
/// Longest track name that is used, in UTF-16 units; longer ones are shown cut.
export const MAX_NAME = 256;
/// Largest decoder configuration or CMAF header, in bytes.
const MAX_INIT = 64 * 1024;

export type CatalogProblem = 'too-large' | 'malformed' | 'delta' | 'version';

export class CatalogError extends Error {
  override readonly name = 'CatalogError';
  constructor(
    readonly problem: CatalogProblem,
    message: string,
  ) {
    super(message);
  }
}

/// Whether two catalogs offer the same.
export function sameCatalog(one: Catalog, other: Catalog): boolean {
  return written(one) === written(other);
}

function written(catalog: Catalog): string {
  return JSON.stringify(catalog, (_key, value: unknown) => (value instanceof Uint8Array ? value.join() : value));
}

export type Json = Readonly<Record<string, unknown>>;

export function parseRoot(bytes: Bytes, format: string): Json {
  if (bytes.length > MAX_CATALOG) {
    throw new CatalogError('too-large', `the catalog has ${bytes.length} bytes, more than ${MAX_CATALOG}`);
  }
  try {
    const root: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    if (isRecord(root)) {
      return root;
    }
  } catch {
    // Said below: the parser's words quote the bytes, which help nobody on a page.
  }
  throw new CatalogError('malformed', `the catalog is no valid ${format} JSON`);
}

export function isRecord(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function text(value: unknown, longest = MAX_NAME): string | undefined {
  return typeof value === 'string' && value.length > 0 && value.length <= longest ? value : undefined;
}

/// A number a picture, a rate or a bitrate can have; anything else counts as not given.
export function positive(value: unknown, largest = 1e12): number | undefined {
  const number = typeof value === 'string' ? Number(value) : value;
  return typeof number === 'number' && number > 0 && number <= largest ? number : undefined;
}

export function cut(name: string): string {
  return name.length > 80 ? `${name.slice(0, 79)}…` : name;
}

/// Base64, padded or not; undefined if it is none or too long.
export function base64(value: unknown): Bytes | undefined {
  if (typeof value !== 'string' || value.length > (MAX_INIT / 3) * 4 + 4) {
    return undefined;
  }
  try {
    const binary = atob(value.trim());
    return binary.length > 0 ? Uint8Array.from(binary, (char) => char.charCodeAt(0)) : undefined;
  } catch {
    return undefined;
  }
}

export function hex(value: unknown): Bytes | undefined {
  if (typeof value !== 'string' || value.length > 2 * MAX_INIT || !/^([0-9a-f]{2})+$/i.test(value)) {
    return undefined;
  }
  const bytes = new Uint8Array(value.length / 2);
  for (let index = 0; index < bytes.length; index += 1) {
    bytes[index] = Number.parseInt(value.slice(2 * index, 2 * index + 2), 16);
  }
  return bytes;
}

const AUDIO = ['mp4a', 'opus', 'ac-3', 'ec-3', 'flac', 'mp3'];

export function isAudioCodec(codec: string): boolean {
  const four = codec.split('.')[0] ?? '';
  return AUDIO.includes(four.toLowerCase());
}

/// Drops what is undefined, so that optional fields are absent or have a value.
export function given<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}
