/// The hang catalog of moq-dev: renditions by name, under `video` and `audio`.

import {
  base64,
  type Catalog,
  type CatalogTrack,
  cut,
  given,
  hex,
  isRecord,
  type Json,
  MAX_NAME,
  MAX_TRACKS,
  type MediaKind,
  parseRoot,
  positive,
  type Skipped,
  text,
} from './model';

export function readHang(bytes: Uint8Array): Catalog {
  const root = parseRoot(bytes, 'hang');
  const all = [...renditions(root['video'], 'video'), ...renditions(root['audio'], 'audio')];
  const tracks: CatalogTrack[] = [];
  const skipped: Skipped[] = [];
  for (const [kind, name, rendition] of all.slice(0, MAX_TRACKS)) {
    const read = readRendition(kind, name, rendition);
    if ('why' in read) {
      skipped.push(read);
    } else {
      tracks.push(read);
    }
  }
  return { tracks, skipped, beyond: Math.max(0, all.length - MAX_TRACKS) };
}

function renditions(section: unknown, kind: MediaKind): [MediaKind, string, unknown][] {
  const list = isRecord(section) ? section['renditions'] : undefined;
  return isRecord(list) ? Object.entries(list).map(([name, value]) => [kind, name, value]) : [];
}

function readRendition(kind: MediaKind, name: string, rendition: unknown): CatalogTrack | Skipped {
  const skip = (why: string): Skipped => ({ name: cut(name), why });
  if (!isRecord(rendition)) {
    return skip('not an object');
  }
  if (name.length === 0 || name.length > MAX_NAME) {
    return skip('it has no usable name');
  }
  const codec = text(rendition['codec'], 64);
  if (codec === undefined) {
    return skip('no codec');
  }
  if (rendition['broadcast'] !== undefined && rendition['broadcast'] !== null) {
    return skip('in another broadcast');
  }
  const container: Json = isRecord(rendition['container']) ? rendition['container'] : {};
  // Without a container the frames are in the framing called legacy.
  const packaging = container['kind'] ?? 'legacy';
  const init = base64(container['init'] ?? container['initData']);
  if (packaging !== 'cmaf' && packaging !== 'legacy') {
    return skip(`container ${cut(text(packaging) ?? 'odd')}`);
  }
  if (packaging === 'cmaf' && init === undefined) {
    return skip('no init data');
  }
  return {
    name,
    kind,
    packaging,
    codec,
    ...(packaging === 'cmaf' ? given({ init }) : given({ description: hex(rendition['description']) })),
    ...given({
      width: positive(rendition['codedWidth'], 65_536),
      height: positive(rendition['codedHeight'], 65_536),
      framerate: positive(rendition['framerate'], 1000),
      sampleRate: positive(rendition['sampleRate'], 768_000),
      channels: positive(rendition['numberOfChannels'], 255),
      bitrate: positive(rendition['bitrate']),
    }),
  };
}
