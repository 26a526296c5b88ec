/// Reads LOC (draft-ietf-moq-loc-04): one coded chunk per object, its times in the object's properties.

import { DemuxError, type MediaSample } from './sample';

const TIMESCALE = 0x08n;
const VIDEO_CONFIG = 0x0dn;
const AUDIO_CONFIG = 0x0fn;
const TIMESTAMP = 0x10n;

export type Properties = ReadonlyMap<bigint, bigint | Uint8Array>;

export interface LocObject {
  /// The object's id in its group; decoding begins at the first one.
  readonly object: bigint;
  readonly properties: Properties;
  readonly payload: Uint8Array;
}

/// `first` of a video group is its keyframe; every chunk of sound stands for itself.
export function readLoc(object: LocObject, kind: 'video' | 'audio'): MediaSample {
  const ticks = object.properties.get(TIMESTAMP);
  const scale = object.properties.get(TIMESCALE) ?? 1_000_000n;
  if (typeof ticks !== 'bigint' || typeof scale !== 'bigint' || scale === 0n) {
    throw new DemuxError('a LOC object without timestamp');
  }
  const time = Number((ticks * 1_000_000n) / scale);
  if (!Number.isSafeInteger(time)) {
    throw new DemuxError('a LOC timestamp beyond all clocks');
  }
  const config = object.properties.get(kind === 'video' ? VIDEO_CONFIG : AUDIO_CONFIG);
  return {
    decodeTime: time,
    time,
    duration: 0,
    key: kind === 'audio' || object.object === 0n,
    data: object.payload,
    ...(config instanceof Uint8Array && config.length > 0 ? { description: config } : {}),
  };
}

/// The framing that hang calls legacy: a QUIC varint of microseconds, then the chunk.
export function readLegacy(object: Pick<LocObject, 'object' | 'payload'>, kind: 'video' | 'audio'): MediaSample {
  const [first] = object.payload;
  const length = first === undefined ? 0 : 1 << (first >> 6);
  if (first === undefined || object.payload.length < length) {
    throw new DemuxError('an object without timestamp');
  }
  let time = first & 0x3f;
  for (const byte of object.payload.subarray(1, length)) {
    time = time * 256 + byte;
  }
  if (!Number.isSafeInteger(time)) {
    throw new DemuxError('a timestamp beyond all clocks');
  }
  const key = kind === 'audio' || object.object === 0n;
  return { decodeTime: time, time, duration: 0, key, data: object.payload.subarray(length) };
}
