/// From a track of the catalog to what WebCodecs takes, and whether this browser can play it.

import type { CatalogTrack } from '../catalog/model';
import type { Source } from './source';

export type Configured =
  | { readonly kind: 'video'; readonly config: VideoDecoderConfig }
  | { readonly kind: 'audio'; readonly config: AudioDecoderConfig };

/// Undefined if the browser does not decode the track.
export async function configure(source: Source): Promise<Configured | undefined> {
  const { track, header } = source;
  const codec = word(header?.codec ?? track.codec);
  const description = header?.description ?? track.description;
  try {
    if (track.kind === 'video') {
      const config: VideoDecoderConfig = {
        codec,
        optimizeForLatency: true,
        ...(description === undefined ? {} : { description }),
        ...size(track),
      };
      const { supported } = await VideoDecoder.isConfigSupported(config);
      return supported ? { kind: 'video', config } : undefined;
    }
    const config: AudioDecoderConfig = {
      codec,
      sampleRate: header?.sampleRate ?? track.sampleRate ?? 48_000,
      numberOfChannels: header?.channels ?? track.channels ?? 2,
      ...(description === undefined ? {} : { description }),
    };
    const { supported } = await AudioDecoder.isConfigSupported(config);
    return supported ? { kind: 'audio', config } : undefined;
  } catch {
    // A codec string or a record that the browser calls invalid.
    return undefined;
  }
}

/// MP4 writes Opus with a capital letter and VP8 with its profile (`vp08.00.00.08`); WebCodecs has one word for each.
function word(codec: string): string {
  if (codec === 'Opus') return 'opus';
  return codec.startsWith('vp08') ? 'vp8' : codec;
}

function size(track: CatalogTrack): { codedWidth?: number; codedHeight?: number } {
  const { width, height } = track;
  return width === undefined || height === undefined ? {} : { codedWidth: width, codedHeight: height };
}
