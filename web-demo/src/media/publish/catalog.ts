/// Writing the two catalogs of a broadcast, in the shape that the `moq` command writes and reads.
///
/// MSF: draft-ietf-moq-msf-01, with CMAF packaging of draft-ietf-moq-cmsf, on the track `catalog`. hang: the catalog of moq-dev,
/// on the track `catalog.json`; it names only CMAF tracks, for its own form of LOC differs from the draft's.

import type { Bytes } from './boxes';

export const MSF_TRACK = 'catalog';
export const HANG_TRACK = 'catalog.json';

export type Packaging = 'cmaf' | 'loc';

interface Common {
  readonly name: string;
  readonly packaging: Packaging;
  readonly codec: string;
  /** Bits per second at best. */
  readonly bitrate: number;
  /** CMAF header; with LOC the configuration travels with the objects. */
  readonly init: Bytes | undefined;
}

export interface VideoTrack extends Common {
  readonly kind: 'video';
  readonly width: number;
  readonly height: number;
  readonly framerate: number;
  /** Decoder configuration record of H.264. */
  readonly description: Bytes | undefined;
}

export interface AudioTrack extends Common {
  readonly kind: 'audio';
  readonly sampleRate: number;
  readonly channels: number;
}

export type CatalogTrack = VideoTrack | AudioTrack;

/** The MSF form. Tracks of one kind are renditions of the same pictures. */
export function writeMsf(tracks: readonly CatalogTrack[]): string {
  const initDataList: { id: string; type: 'inline'; data: string }[] = [];
  const simulcast = tracks.filter((track) => track.kind === 'video').length > 1;
  const list = tracks.map((track) => {
    const fields: Record<string, unknown> = {
      name: track.name,
      packaging: track.packaging,
      isLive: true,
      role: track.kind,
      renderGroup: 1,
      ...(simulcast && track.kind === 'video' ? { altGroup: 1 } : {}),
      codec: track.codec,
    };
    if (track.kind === 'video') {
      Object.assign(fields, { width: track.width, height: track.height, framerate: track.framerate });
    } else {
      Object.assign(fields, { samplerate: track.sampleRate, channelConfig: String(track.channels) });
    }
    fields['bitrate'] = track.bitrate;
    if (track.init) {
      const id = `init${initDataList.length}`;
      initDataList.push({ id, type: 'inline', data: base64(track.init) });
      fields['initRef'] = id;
    }
    return fields;
  });
  return JSON.stringify({ version: 'draft-01', tracks: list, initDataList });
}

/** The hang form; `undefined` where it has nothing to tell of. */
export function writeHang(tracks: readonly CatalogTrack[]): string | undefined {
  const video: Record<string, unknown> = {};
  const audio: Record<string, unknown> = {};
  for (const track of tracks) {
    if (track.packaging !== 'cmaf' || !track.init) continue;
    const { codec, bitrate } = track;
    const container = { kind: 'cmaf', init: base64(track.init) };
    if (track.kind === 'video') {
      video[track.name] = {
        codec,
        container,
        ...(track.description ? { description: hex(track.description) } : {}),
        codedWidth: track.width,
        codedHeight: track.height,
        framerate: track.framerate,
        bitrate,
      };
    } else {
      audio[track.name] = {
        codec,
        container,
        sampleRate: track.sampleRate,
        numberOfChannels: track.channels,
        bitrate,
      };
    }
  }
  if (Object.keys(video).length + Object.keys(audio).length === 0) return undefined;
  return JSON.stringify({ video: { renditions: video }, audio: { renditions: audio } });
}

function base64(bytes: Bytes): string {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
}

function hex(bytes: Bytes): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
