/// Writing CMAF (ISO/IEC 23000-19): the header of a track (`ftyp` + `moov`) and chunks (`moof` + `mdat`).
///
/// The same boxes as the `moq` command writes, one track per header. Times are decode times, which are presentation times here:
/// no encoder of ours reorders frames. Not done: edit lists, encryption, several tracks in one file.

import { type Bytes, box, concat, fullBox, text, u8, u16, u32, u64 } from './boxes';

/** What the header of a track says. */
export interface TrackHeader {
  readonly kind: 'video' | 'audio';
  /** Ticks per second of all its times. */
  readonly timescale: number;
  /** Pixels; 0 for audio. */
  readonly width: number;
  readonly height: number;
  /** The sample entry box, which holds the decoder's configuration. */
  readonly entry: Bytes;
}

/** One coded frame. */
export interface Sample {
  readonly data: Bytes;
  /** In ticks. */
  readonly duration: number;
  /** Decoding can start here. */
  readonly keyframe: boolean;
}

/** Every file has one track. */
const TRACK_ID = 1;
const MATRIX = u32(0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000);
/** Sample flags of a keyframe: depends on nothing. */
const SYNC = 0x0200_0000;
/** Sample flags of any other frame: depends on others, is no sync sample. */
const NON_SYNC = 0x0101_0000;
/** `und`: the language is not known. */
const UNDETERMINED = 0x55c4;

/** The CMAF header of a track. */
export function initSegment(track: TrackHeader): Bytes {
  const video = track.kind === 'video';
  const ftyp = box('ftyp', text('iso6'), u32(0), text('iso6cmfcmp41'));
  const mvhd = fullBox(
    'mvhd',
    0,
    0,
    u32(0, 0, 1000, 0, 0x10000),
    u16(0x100, 0),
    u32(0, 0),
    MATRIX,
    u32(0, 0, 0, 0, 0, 0, TRACK_ID + 1),
  );
  const tkhd = fullBox(
    'tkhd',
    0,
    // Enabled, in the movie.
    3,
    u32(0, 0, TRACK_ID, 0, 0, 0, 0),
    u16(0, 0, video ? 0 : 0x100, 0),
    MATRIX,
    u32(track.width * 0x10000, track.height * 0x10000),
  );
  const mdhd = fullBox('mdhd', 0, 0, u32(0, 0, track.timescale, 0), u16(UNDETERMINED, 0));
  const hdlr = fullBox(
    'hdlr',
    0,
    0,
    u32(0),
    text(video ? 'vide' : 'soun'),
    u32(0, 0, 0),
    text(video ? 'VideoHandler\0' : 'SoundHandler\0'),
  );
  const mediaHeader = video ? fullBox('vmhd', 0, 1, u16(0, 0, 0, 0)) : fullBox('smhd', 0, 0, u16(0, 0));
  const dinf = box('dinf', fullBox('dref', 0, 0, u32(1), fullBox('url ', 0, 1)));
  const stbl = box(
    'stbl',
    fullBox('stsd', 0, 0, u32(1), track.entry),
    fullBox('stts', 0, 0, u32(0)),
    fullBox('stsc', 0, 0, u32(0)),
    fullBox('stsz', 0, 0, u32(0, 0)),
    fullBox('stco', 0, 0, u32(0)),
  );
  const mdia = box('mdia', mdhd, hdlr, box('minf', mediaHeader, dinf, stbl));
  const mvex = box('mvex', fullBox('trex', 0, 0, u32(TRACK_ID, 1, 0, 0, 0)));
  return concat([ftyp, box('moov', mvhd, box('trak', tkhd, mdia), mvex)]);
}

/** One chunk: `samples` in order and without gaps, the first at decode time `base` (in ticks). */
export function fragment(sequence: number, base: number, samples: readonly Sample[]): Bytes {
  const first = moof(sequence, base, samples, 0);
  // The offset of the data is known only now; it has a fixed width, so the second writing has the same length.
  const head = moof(sequence, base, samples, first.length + 8);
  return concat([head, box('mdat', ...samples.map((sample) => sample.data))]);
}

function moof(sequence: number, base: number, samples: readonly Sample[], dataOffset: number): Bytes {
  const DEFAULT_BASE_IS_MOOF = 0x02_0000;
  const DATA_OFFSET_DURATION_SIZE_FLAGS = 0x701;
  const entries = samples.map((sample) => u32(sample.duration, sample.data.length, sample.keyframe ? SYNC : NON_SYNC));
  return box(
    'moof',
    fullBox('mfhd', 0, 0, u32(sequence)),
    box(
      'traf',
      fullBox('tfhd', 0, DEFAULT_BASE_IS_MOOF, u32(TRACK_ID)),
      fullBox('tfdt', 1, 0, u64(base)),
      fullBox('trun', 0, DATA_OFFSET_DURATION_SIZE_FLAGS, u32(samples.length, dataOffset), ...entries),
    ),
  );
}

/** A `VisualSampleEntry` of type `format` with `configuration` boxes in it. */
export function visualEntry(format: string, width: number, height: number, ...configuration: Bytes[]): Bytes {
  return box(
    format,
    u16(0, 0, 0, 1),
    u32(0, 0, 0, 0),
    u16(width, height),
    // 72 dpi, one frame per sample.
    u32(0x480000, 0x480000, 0),
    u16(1),
    new Uint8Array(32),
    u16(24, 0xffff),
    ...configuration,
  );
}

/** An `AudioSampleEntry` of type `format`, 16 bits, with `configuration` boxes in it. */
export function audioEntry(format: string, channels: number, sampleRate: number, ...configuration: Bytes[]): Bytes {
  return box(format, u16(0, 0, 0, 1), u32(0, 0), u16(channels, 16, 0, 0), u32(sampleRate * 0x10000), ...configuration);
}

/** Decoder configuration of H.264: what WebCodecs calls the description, as it is. */
export function avcC(record: Bytes): Bytes {
  return box('avcC', record);
}

/** Decoder configuration of VP8 and VP9 (VP Codec ISO Media File Format Binding), 4:2:0, BT.709. */
export function vpcC(profile: number, level: number, bitDepth: number): Bytes {
  const CHROMA_420_COLOCATED = 1;
  const BT709 = 1;
  return fullBox(
    'vpcC',
    1,
    0,
    u8(profile, level, (bitDepth << 4) | (CHROMA_420_COLOCATED << 1), BT709, BT709, BT709),
    u16(0),
  );
}

/** Decoder configuration of AV1: the four bytes of the record and the sequence header OBU. */
export function av1C(profile: number, level: number, highTier: boolean, bitDepth: number, sequence: Bytes): Bytes {
  const CHROMA_420 = 0b1100;
  const depth = (bitDepth > 8 ? 0x40 : 0) | (bitDepth > 10 ? 0x20 : 0);
  return box('av1C', u8(0x81, (profile << 5) | level, (highTier ? 0x80 : 0) | depth | CHROMA_420, 0), sequence);
}

/** Decoder configuration of Opus: one or two channels, all in one stream. */
export function dOps(channels: number, preSkip: number, inputRate: number, gain: number): Bytes {
  return box('dOps', u8(0, channels), u16(preSkip), u32(inputRate), u16(gain & 0xffff), u8(0));
}
