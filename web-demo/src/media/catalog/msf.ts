/// The MSF catalog (draft-ietf-moq-msf-01, draft-00 too; packaging cmaf: draft-ietf-moq-cmsf; loc: draft-ietf-moq-loc).
///
/// A group's first object is a whole catalog; those behind it may be delta updates of what was before.

import { applyDelta, isDelta } from './delta';
import {
  base64,
  type Catalog,
  CatalogError,
  type CatalogObject,
  type CatalogTrack,
  cut,
  given,
  isAudioCodec,
  isRecord,
  type Json,
  MAX_CATALOG,
  MAX_TRACKS,
  type MediaKind,
  parseRoot,
  positive,
  type Skipped,
  text,
} from './model';

/// Most bytes of a catalog and the deltas that change it.
const MAX_WITH_DELTAS = 4 * MAX_CATALOG;

/// Reads the objects of a catalog track in their order.
export class MsfReader {
  /// The document so far, and the place that the next delta must have.
  #document: { readonly root: Json; readonly group: bigint; readonly next: bigint; readonly bytes: number } | undefined;

  /// The catalog as it is with `object`. Throws CatalogError; what was read before then holds for the next whole catalog only.
  read({ group, object, payload }: CatalogObject): Catalog {
    const before = this.#document;
    this.#document = undefined;
    let root = parseRoot(payload, 'MSF');
    let bytes = payload.length;
    if (isDelta(root)) {
      if (before === undefined || before.group !== group || before.next !== object) {
        throw new CatalogError('delta', 'the catalog is a delta update, and what it changes did not come');
      }
      bytes += before.bytes;
      if (bytes > MAX_WITH_DELTAS) {
        throw new CatalogError(
          'too-large',
          `the catalog and its delta updates have more than ${MAX_WITH_DELTAS} bytes`,
        );
      }
      root = applyDelta(before.root, root);
    } else {
      checkVersion(root['version']);
    }
    this.#document = { root, group, next: object + 1n, bytes };
    return readRoot(root);
  }
}

function readRoot(root: Json): Catalog {
  const list = root['tracks'];
  if (!Array.isArray(list)) {
    return { tracks: [], skipped: [], beyond: 0 };
  }
  const inits = initData(root['initDataList']);
  const tracks: CatalogTrack[] = [];
  const skipped: Skipped[] = [];
  for (const entry of list.slice(0, MAX_TRACKS)) {
    const read = isRecord(entry) ? readTrack(entry, inits) : { name: 'a track', why: 'not an object' };
    if ('why' in read) {
      skipped.push(read);
    } else {
      tracks.push(read);
    }
  }
  return { tracks, skipped, beyond: Math.max(0, list.length - MAX_TRACKS) };
}

function checkVersion(version: unknown): void {
  const known = version === undefined || version === 1 || version === '1';
  if (!known && !(typeof version === 'string' && version.startsWith('draft-'))) {
    throw new CatalogError('version', 'the catalog has a version that is not known here (known: draft-00, draft-01)');
  }
}

function initData(list: unknown): ReadonlyMap<string, string> {
  const inits = new Map<string, string>();
  for (const entry of Array.isArray(list) ? list : []) {
    if (isRecord(entry) && typeof entry['id'] === 'string' && typeof entry['data'] === 'string') {
      if (entry['type'] === undefined || entry['type'] === 'inline') {
        inits.set(entry['id'], entry['data']);
      }
    }
  }
  return inits;
}

function kindOf(role: unknown, codec: string): MediaKind | undefined {
  switch (role) {
    case 'video':
      return 'video';
    case 'audio':
    case 'audiodescription':
      return 'audio';
    case undefined:
      return isAudioCodec(codec) ? 'audio' : 'video';
    default:
      return undefined;
  }
}

function readTrack(track: Json, inits: ReadonlyMap<string, string>): CatalogTrack | Skipped {
  const name = text(track['name']);
  if (name === undefined) {
    return { name: 'a track', why: 'it has no usable name' };
  }
  const skip = (why: string): Skipped => ({ name: cut(name), why });
  const packaging = track['packaging'];
  if (packaging !== 'cmaf' && packaging !== 'loc') {
    return skip(`packaging ${cut(text(packaging) ?? 'not given')}`);
  }
  const codec = text(track['codec'], 64);
  if (codec === undefined) {
    return skip('no codec');
  }
  const kind = kindOf(track['role'], codec);
  if (kind === undefined) {
    return skip(`role ${cut(text(track['role']) ?? 'odd')}`);
  }
  const ref = track['initRef'];
  const init = base64(track['initData'] ?? (typeof ref === 'string' ? inits.get(ref) : undefined));
  if (packaging === 'cmaf' && init === undefined) {
    return skip('no init data');
  }
  return {
    name,
    kind,
    packaging,
    codec,
    // With loc, what a catalog gives is the decoder's record itself.
    ...(packaging === 'cmaf' ? given({ init }) : given({ description: init })),
    ...given({
      width: positive(track['width'], 65_536),
      height: positive(track['height'], 65_536),
      framerate: positive(track['framerate'], 1000),
      sampleRate: positive(track['samplerate'], 768_000),
      channels: speakers(track['channelConfig']),
      bitrate: positive(track['bitrate']),
      language: text(track['lang'], 64),
    }),
  };
}

/// How many there are: a number, a name, or those around, for the bass and above, as in `5.1`.
function speakers(config: unknown): number | undefined {
  if (config === 'mono' || config === 'stereo') {
    return config === 'mono' ? 1 : 2;
  }
  const text = typeof config === 'number' ? String(config) : config;
  if (typeof text !== 'string' || !/^\d+(\.\d+)*$/.test(text)) {
    return undefined;
  }
  const count = text.split('.').reduce((sum, part) => sum + Number(part), 0);
  return positive(count, 255);
}
