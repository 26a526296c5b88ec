/// Reads CMAF: the header of a track with mp4box, the fragments by the small reader here.
///
/// mp4box reads whole files and keeps every sample it has seen, which does not fit objects that come one by one, with
/// groups left out between them. A fragment needs three boxes only: `tfhd`, `tfdt` and `trun`
/// (ISO/IEC 14496-12, "Movie fragments").

import { createFile, DataStream, Endianness, Log, MP4BoxBuffer } from 'mp4box';
import { DemuxError, type MediaSample } from './sample';

export interface TrackHeader {
  readonly codec: string;
  /// Ticks per second.
  readonly timescale: number;
  /// What WebCodecs takes as the description: the configuration record without its box header.
  readonly description: Uint8Array | undefined;
  readonly width: number | undefined;
  readonly height: number | undefined;
  readonly sampleRate: number | undefined;
  readonly channels: number | undefined;
  readonly defaultDuration: number;
  readonly defaultSize: number;
  readonly defaultFlags: number;
}

// What mp4box has to say of a bad header is said on the page, in our words.
Log.error = () => {};

/// Most samples of one object; more is no honest fragment.
const MAX_SAMPLES = 4096;

/// The parts of mp4box's sample entries that are used; its own types do not name all of them.
interface Entry {
  readonly [name: string]: unknown;
  readonly esds?: { esd?: { findDescriptor?(tag: number): Descriptor | undefined } };
}
interface Descriptor {
  findDescriptor?(tag: number): { data?: ArrayLike<number> } | undefined;
}

export function readHeader(init: Uint8Array): TrackHeader {
  let header: TrackHeader | undefined;
  try {
    const file = createFile();
    file.onReady = (info) => {
      const track = info.tracks[0];
      if (track === undefined) {
        return;
      }
      const trak = file.getTrackById(track.id);
      const trex = file.moov?.mvex?.trexs?.find((box) => box.track_id === track.id);
      header = {
        codec: track.codec,
        timescale: track.timescale,
        description: description(trak.mdia.minf.stbl.stsd.entries[0] as unknown as Entry | undefined),
        width: track.video?.width,
        height: track.video?.height,
        sampleRate: track.audio?.sample_rate,
        channels: track.audio?.channel_count,
        defaultDuration: trex?.default_sample_duration ?? 0,
        defaultSize: trex?.default_sample_size ?? 0,
        defaultFlags: trex?.default_sample_flags ?? 0,
      };
    };
    file.appendBuffer(MP4BoxBuffer.fromArrayBuffer(Uint8Array.from(init).buffer, 0));
  } catch {
    throw new DemuxError('the CMAF header cannot be read');
  }
  if (header === undefined || !(header.timescale > 0)) {
    throw new DemuxError('the CMAF header has no track');
  }
  return header;
}

function description(entry: Entry | undefined): Uint8Array | undefined {
  const specific = entry?.esds?.esd?.findDescriptor?.(4)?.findDescriptor?.(5)?.data;
  if (specific !== undefined) {
    return Uint8Array.from(specific);
  }
  for (const kind of ['avcC', 'hvcC']) {
    const box = entry?.[kind] as { write?(stream: DataStream): void } | undefined;
    if (box?.write !== undefined) {
      const stream = new DataStream(undefined, 0, Endianness.BIG_ENDIAN);
      box.write(stream);
      return new Uint8Array(stream.buffer, 8, stream.byteLength - 8);
    }
  }
  return undefined;
}

interface Box {
  readonly kind: string;
  /// Where the box begins and its body begins and ends, in the object.
  readonly start: number;
  readonly body: number;
  readonly end: number;
}

function* boxes(view: DataView, from: number, to: number): Generator<Box> {
  let start = from;
  while (start < to) {
    if (to - start < 8) {
      throw new DemuxError('a box is cut short');
    }
    let size = view.getUint32(start);
    let body = start + 8;
    if (size === 1 && to - start >= 16) {
      size = Number(view.getBigUint64(start + 8));
      body += 8;
    } else if (size === 0) {
      size = to - start;
    }
    const end = start + size;
    if (end > to || end < body) {
      throw new DemuxError('a box is larger than what holds it');
    }
    const kind = String.fromCharCode(...[4, 5, 6, 7].map((offset) => view.getUint8(start + offset)));
    yield { kind, start, body, end };
    start = end;
  }
}

/// The samples of one object: any number of `moof` + `mdat`, other boxes passed over.
export function readFragments(object: Uint8Array, header: TrackHeader): MediaSample[] {
  const view = new DataView(object.buffer, object.byteOffset, object.byteLength);
  const samples: MediaSample[] = [];
  let moof: Box | undefined;
  try {
    for (const box of boxes(view, 0, object.byteLength)) {
      if (box.kind === 'moof') {
        moof = box;
      } else if (box.kind === 'mdat' && moof !== undefined) {
        for (const traf of boxes(view, moof.body, moof.end)) {
          if (traf.kind === 'traf') {
            readTraf(object, view, { traf, moof, mdat: box }, header, samples);
          }
        }
        moof = undefined;
      }
    }
  } catch (error) {
    throw error instanceof DemuxError ? error : new DemuxError('a fragment is cut short');
  }
  return samples;
}

/// Reads 32-bit fields one after another, some of them only if a flag says they are there.
class Fields {
  constructor(
    private readonly view: DataView,
    private at: number,
  ) {}
  u32(): number {
    this.at += 4;
    return this.view.getUint32(this.at - 4);
  }
  i32(): number {
    this.at += 4;
    return this.view.getInt32(this.at - 4);
  }
  u64(): number {
    this.at += 8;
    return Number(this.view.getBigUint64(this.at - 8));
  }
  optional(present: number, otherwise: number): number {
    return present === 0 ? otherwise : this.u32();
  }
}

interface Place {
  readonly traf: Box;
  readonly moof: Box;
  readonly mdat: Box;
}

function readTraf(object: Uint8Array, view: DataView, place: Place, header: TrackHeader, out: MediaSample[]): void {
  let { defaultDuration: duration, defaultSize: size, defaultFlags: flags } = header;
  let time = 0;
  let data = place.mdat.body;
  for (const box of boxes(view, place.traf.body, place.traf.end)) {
    const fields = new Fields(view, box.body);
    if (box.kind === 'tfhd') {
      const present = fields.u32() & 0xff_ffff;
      fields.u32(); // track_ID: an object holds one track
      if (present & 0x1) {
        fields.u64(); // base_data_offset: counts from the start of a file that does not exist here
      }
      fields.optional(present & 0x2, 0);
      duration = fields.optional(present & 0x8, duration);
      size = fields.optional(present & 0x10, size);
      flags = fields.optional(present & 0x20, flags);
    } else if (box.kind === 'tfdt') {
      time = fields.u32() >>> 24 === 1 ? fields.u64() : fields.u32();
    } else if (box.kind === 'trun') {
      const run = { fields, time, data, moof: place.moof.start, end: place.mdat.end, duration, size, flags };
      [time, data] = readTrun(object, run, header.timescale, out);
    }
  }
}

interface Run {
  readonly fields: Fields;
  readonly time: number;
  readonly data: number;
  readonly moof: number;
  readonly end: number;
  readonly duration: number;
  readonly size: number;
  readonly flags: number;
}

function readTrun(object: Uint8Array, run: Run, timescale: number, out: MediaSample[]): [number, number] {
  const { fields } = run;
  const present = fields.u32() & 0xff_ffff;
  const count = fields.u32();
  if (count + out.length > MAX_SAMPLES) {
    throw new DemuxError(`a fragment with more than ${MAX_SAMPLES} samples`);
  }
  let { time, data } = run;
  if (present & 0x1) {
    data = run.moof + fields.i32();
  }
  const firstFlags = present & 0x4 ? fields.u32() : undefined;
  const micros = (ticks: number) => Math.round((ticks * 1e6) / timescale);
  for (let index = 0; index < count; index += 1) {
    const duration = fields.optional(present & 0x100, run.duration);
    const size = fields.optional(present & 0x200, run.size);
    const own = fields.optional(present & 0x400, run.flags);
    const offset = present & 0x800 ? fields.i32() : 0;
    const flags = index === 0 && firstFlags !== undefined ? firstFlags : own;
    if (data < 0 || data + size > run.end) {
      throw new DemuxError('a sample lies outside its object');
    }
    out.push({
      decodeTime: micros(time),
      time: micros(time + offset),
      duration: micros(duration),
      // Bit 16: the sample is no sync sample.
      key: (flags & 0x1_0000) === 0,
      data: object.subarray(data, data + size),
    });
    time += duration;
    data += size;
  }
  return [time, data];
}
