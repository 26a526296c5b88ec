/// From what an encoder tells of its output (WebCodecs) to the header of a CMAF track.
///
/// Codec strings: RFC 6381 with ISO/IEC 14496-15 (avc1), the VP and the AV1 bindings to ISOBMFF. OpusHead: RFC 7845 §5.1.

import type { Bytes } from './boxes';
import { audioEntry, av1C, avcC, dOps, type TrackHeader, visualEntry, vpcC } from './fmp4';

/** Microseconds, so that times of WebCodecs need no rounding. */
export const VIDEO_TIMESCALE = 1_000_000;
/** Opus in MP4 always counts at 48 kHz. */
export const AUDIO_TIMESCALE = 48_000;

/** What is needed of WebCodecs' `decoderConfig`. */
export interface VideoConfig {
  readonly codec: string;
  readonly width: number;
  readonly height: number;
  readonly description: Bytes | undefined;
}

export interface AudioConfig {
  readonly codec: string;
  readonly channels: number;
  readonly description: Bytes | undefined;
}

/** An encoder whose output we cannot describe. The message is for people. */
export class DescribeError extends Error {
  override readonly name = 'DescribeError';
}

/** The codec as the stream itself says: encoders may choose a lower level than they were asked for. */
export function actualCodec(codec: string, description: Bytes | undefined): string {
  if (!codec.startsWith('avc1') || !description || description.length < 4) return codec;
  const digits = Array.from(description.subarray(1, 4), (byte) => byte.toString(16).padStart(2, '0'));
  return `avc1.${digits.join('')}`;
}

/** The header of a video track whose first keyframe is `keyframe`. */
export function describeVideo(config: VideoConfig, keyframe: Bytes): TrackHeader {
  const { width, height } = config;
  const entry = videoEntry(config, keyframe);
  return { kind: 'video', timescale: VIDEO_TIMESCALE, width, height, entry };
}

function videoEntry(config: VideoConfig, keyframe: Bytes): Bytes {
  const { width, height } = config;
  const [format, ...fields] = config.codec.split('.');
  switch (format) {
    case 'avc1':
      if (!config.description) throw new DescribeError('The H.264 encoder gives no decoder configuration.');
      return visualEntry('avc1', width, height, avcC(config.description));
    case 'vp8':
      return visualEntry('vp08', width, height, vpcC(0, 0, 8));
    case 'vp09': {
      const [profile = 0, level = 10, depth = 8] = fields.map(Number);
      return visualEntry('vp09', width, height, vpcC(profile, level, depth));
    }
    case 'av01': {
      const [profile = '0', level = '00M', depth = '8'] = fields;
      const record = av1C(
        Number(profile),
        Number.parseInt(level, 10),
        level.endsWith('H'),
        Number(depth),
        av1Sequence(keyframe),
      );
      return visualEntry('av01', width, height, record);
    }
    default:
      throw new DescribeError(`Video in ${config.codec} cannot be put into CMAF here.`);
  }
}

/** The header of an Opus track. */
export function describeAudio(config: AudioConfig): TrackHeader {
  if (config.codec !== 'opus') throw new DescribeError(`Audio in ${config.codec} cannot be put into CMAF here.`);
  const head = config.description;
  const view = head && new DataView(head.buffer, head.byteOffset, head.byteLength);
  const readable = view && view.byteLength >= 19;
  const channels = readable ? view.getUint8(9) : config.channels;
  const preSkip = readable ? view.getUint16(10, true) : 312;
  const inputRate = readable ? view.getUint32(12, true) : AUDIO_TIMESCALE;
  const gain = readable ? view.getUint16(16, true) : 0;
  const entry = audioEntry('Opus', channels, AUDIO_TIMESCALE, dOps(channels, preSkip, inputRate, gain));
  return { kind: 'audio', timescale: AUDIO_TIMESCALE, width: 0, height: 0, entry };
}

const OBU_SEQUENCE_HEADER = 1;
const OBU_TEMPORAL_DELIMITER = 2;

interface Obu {
  readonly kind: number;
  readonly start: number;
  readonly end: number;
}

/** The OBUs of a temporal unit (AV1 specification, section 5.3), as far as they can be told apart. */
function obus(unit: Bytes): Obu[] {
  const found: Obu[] = [];
  let at = 0;
  while (at < unit.length) {
    const head = unit[at] ?? 0;
    const start = at;
    at += head & 4 ? 2 : 1;
    let size = 0;
    if (head & 2) {
      for (let shift = 0; shift < 35; shift += 7) {
        const byte = unit[at] ?? 0;
        at += 1;
        size += (byte & 0x7f) * 2 ** shift;
        if (byte < 0x80) break;
      }
    } else {
      size = unit.length - at;
    }
    at += size;
    if (at > unit.length) break;
    found.push({ kind: (head >> 3) & 15, start, end: at });
  }
  return found;
}

function av1Sequence(keyframe: Bytes): Bytes {
  const sequence = obus(keyframe).find((obu) => obu.kind === OBU_SEQUENCE_HEADER);
  if (!sequence) throw new DescribeError('The AV1 encoder gives no sequence header.');
  return keyframe.subarray(sequence.start, sequence.end);
}

/** A temporal unit without its temporal delimiter, which samples in MP4 do not have. */
export function withoutDelimiter(unit: Bytes): Bytes {
  const first = obus(unit)[0];
  return first?.kind === OBU_TEMPORAL_DELIMITER ? unit.subarray(first.end) : unit;
}
