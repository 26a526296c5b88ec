/// Coded frames in, MoQ tracks out: packages, groups, and catalogs that come with each group.
///
/// One video track per rendition, an audio track, both catalogs. A group is a GOP; an audio group has the id of the video group it
/// sounds with. The catalogs are written with the id of each group before its first frame, so that a subscriber
/// who cannot fetch starts as well. No clock, no encoder, no DOM: runs in tests as it is.

import { PublishedTrack } from '../../moqt';
import type { GroupWriter, Properties } from '../../moqt/types';
import type { Bytes } from './boxes';
import { type CatalogTrack, HANG_TRACK, MSF_TRACK, type Packaging, writeHang, writeMsf } from './catalog';
import {
  AUDIO_TIMESCALE,
  type AudioConfig,
  describeAudio,
  describeVideo,
  VIDEO_TIMESCALE,
  type VideoConfig,
  withoutDelimiter,
} from './describe';
import { fragment, initSegment, type Sample, type TrackHeader } from './fmp4';
import type { GroupPlan } from './groups';
import { AudioTicks } from './timeline';

/** Small and needed most before large: the priorities of `moq publish`. */
const CATALOG_PRIORITY = 64;
const AUDIO_PRIORITY = 96;
const VIDEO_PRIORITY = 128;
/** Opus frames in a CMAF object: 40 ms. */
const AUDIO_FRAMES = 2;
/** How long one track may keep the catalog waiting, in microseconds of media. */
const PATIENCE_US = 1_500_000;

/** LOC-04 object properties. */
const LOC_TIMESTAMP = 0x10n;
const LOC_TIMESCALE = 0x08n;
const LOC_VIDEO_CONFIG = 0x0dn;

export interface VideoPlan {
  readonly bitrate: number;
  readonly framerate: number;
}

export interface AudioPlan {
  readonly bitrate: number;
}

export interface BroadcastPlan {
  readonly packaging: Packaging;
  /** The renditions, best first. */
  readonly video: readonly VideoPlan[];
  readonly audio: AudioPlan | undefined;
  /** Frames may come in temporal layers, each a subgroup. */
  readonly temporalLayers: boolean;
}

/** A frame as an encoder gives it. */
export interface CodedFrame {
  readonly data: Bytes;
  /** Wall-clock microseconds. */
  readonly timestamp: number;
  readonly keyframe: boolean;
  /** 0 or 1; layer 1 may be left out by whoever cannot keep up. */
  readonly temporalLayer: number;
}

export interface AudioFrame {
  readonly data: Bytes;
  readonly timestamp: number;
  /** Microseconds. */
  readonly duration: number;
}

interface Lane {
  readonly name: string;
  readonly track: PublishedTrack;
  group: bigint | undefined;
  writer: GroupWriter | undefined;
  entry: CatalogTrack | undefined;
  /** Not expected any more: its encoder failed. */
  givenUp: boolean;
  sequence: number;
}

interface VideoLane extends Lane {
  readonly plan: VideoPlan;
  config: VideoConfig | undefined;
  last: number | undefined;
}

interface AudioLane extends Lane {
  readonly plan: AudioPlan;
  readonly ticks: AudioTicks;
  filling: Sample[];
  fillingAt: number;
}

/** What was written so far. */
export interface Written {
  objects: number;
  groups: number;
  bytes: number;
}

export class Broadcast {
  readonly written: Written = { objects: 0, groups: 0, bytes: 0 };
  readonly #packaging: Packaging;
  readonly #groups: GroupPlan;
  readonly #video: VideoLane[];
  readonly #audio: AudioLane | undefined;
  readonly #catalogs: ReadonlyMap<string, PublishedTrack>;
  #catalogGroup: bigint | undefined;
  #firstAt: number | undefined;

  constructor(plan: BroadcastPlan, groups: GroupPlan) {
    this.#packaging = plan.packaging;
    this.#groups = groups;
    this.#video = plan.video.map((video, index) => ({
      ...lane(`video${index}`, VIDEO_PRIORITY + index, plan.temporalLayers ? 'many' : 'single'),
      plan: video,
      config: undefined,
      last: undefined,
    }));
    this.#audio = plan.audio && {
      ...lane('audio0', AUDIO_PRIORITY, 'single'),
      plan: plan.audio,
      ticks: new AudioTicks(AUDIO_TIMESCALE),
      filling: [],
      fillingAt: 0,
    };
    const names = plan.packaging === 'cmaf' ? [MSF_TRACK, HANG_TRACK] : [MSF_TRACK];
    this.#catalogs = new Map(names.map((name) => [name, new PublishedTrack({ priority: CATALOG_PRIORITY })]));
  }

  /** The track that serves a subscription to `name`. */
  track(name: string): PublishedTrack | undefined {
    return this.#catalogs.get(name) ?? this.#lanes().find((lane) => lane.name === name)?.track;
  }

  /** All tracks with media, by name. */
  media(): { readonly name: string; readonly track: PublishedTrack }[] {
    return this.#lanes();
  }

  /** Bytes of all media that have not left. */
  get backlogBytes(): number {
    return this.#lanes().reduce((sum, { track }) => sum + track.backlogBytes, 0);
  }

  /** Takes a frame of rendition `index`; `config` comes with the first frame and wherever it changes. */
  video(index: number, frame: CodedFrame, config?: VideoConfig): void {
    const lane = this.#video[index];
    if (!lane || lane.givenUp) return;
    const data =
      config?.codec.startsWith('av01') || lane.config?.codec.startsWith('av01')
        ? withoutDelimiter(frame.data)
        : frame.data;
    if (config) this.#describeVideo(lane, config, data);
    if (!lane.entry) return;
    this.#firstAt ??= frame.timestamp;
    if (frame.keyframe) this.#begin(lane, frame.timestamp);
    if (!lane.writer) return;
    const options = { subgroup: BigInt(frame.temporalLayer) };
    if (this.#packaging === 'loc') {
      const properties = loc(frame.timestamp, frame.keyframe ? lane.config?.description : undefined);
      this.#write(lane, data, { ...options, properties });
    } else {
      const duration = lasts(lane, frame.timestamp);
      const sample = { data, duration, keyframe: frame.keyframe };
      lane.sequence += 1;
      this.#write(lane, fragment(lane.sequence, frame.timestamp, [sample]), options);
    }
  }

  /** Takes an audio frame; `config` as for video. */
  audio(frame: AudioFrame, config?: AudioConfig): void {
    const lane = this.#audio;
    if (!lane || lane.givenUp) return;
    if (config) this.#describeAudio(lane, config);
    if (!lane.entry) return;
    this.#firstAt ??= frame.timestamp;
    const duration = Math.round((frame.duration * AUDIO_TIMESCALE) / 1e6);
    const { at, gap } = lane.ticks.place(frame.timestamp, duration);
    const group = this.#groups.at(frame.timestamp);
    const begins = group !== undefined && (lane.group === undefined || group > lane.group);
    if (begins || gap) this.#flushAudio(lane);
    if (begins) this.#begin(lane, frame.timestamp);
    if (!lane.writer) return;
    if (this.#packaging === 'loc') {
      this.#write(lane, frame.data, { properties: loc(Math.round((at * 1e6) / AUDIO_TIMESCALE), undefined) });
      return;
    }
    if (lane.filling.length === 0) lane.fillingAt = at;
    lane.filling.push({ data: frame.data, duration, keyframe: true });
    if (lane.filling.length >= AUDIO_FRAMES) this.#flushAudio(lane);
  }

  /** The encoder of rendition `index` failed: its track ends, and the catalog does without it from the next group on. */
  dropVideo(index: number): void {
    const lane = this.#video[index];
    if (!lane) return;
    lane.givenUp = true;
    lane.entry = undefined;
    lane.writer = undefined;
    lane.track.end();
  }

  /** Ends all tracks. */
  end(): void {
    if (this.#audio) this.#flushAudio(this.#audio);
    for (const lane of this.#lanes()) lane.track.end();
    for (const track of this.#catalogs.values()) track.end();
  }

  #lanes(): Lane[] {
    return this.#audio ? [...this.#video, this.#audio] : [...this.#video];
  }

  #describeVideo(lane: VideoLane, config: VideoConfig, keyframe: Bytes): void {
    const header = describeVideo(config, keyframe);
    lane.config = config;
    this.#described(lane, {
      kind: 'video',
      name: lane.name,
      packaging: this.#packaging,
      codec: config.codec,
      bitrate: lane.plan.bitrate,
      init: this.#init(header),
      width: config.width,
      height: config.height,
      framerate: lane.plan.framerate,
      description: config.codec.startsWith('avc1') ? config.description : undefined,
    });
  }

  #describeAudio(lane: AudioLane, config: AudioConfig): void {
    this.#described(lane, {
      kind: 'audio',
      name: lane.name,
      packaging: this.#packaging,
      codec: config.codec,
      bitrate: lane.plan.bitrate,
      init: this.#init(describeAudio(config)),
      sampleRate: AUDIO_TIMESCALE,
      channels: config.channels,
    });
  }

  /** A catalog that waited for this track is written at once, with the id of the group in progress. */
  #described(lane: Lane, entry: CatalogTrack): void {
    const first = lane.entry === undefined;
    lane.entry = entry;
    const group = this.#lead()?.group;
    if (first && group !== undefined && this.#complete()) this.#writeCatalogs(group);
  }

  #init(header: TrackHeader): Bytes | undefined {
    return this.#packaging === 'cmaf' ? initSegment(header) : undefined;
  }

  /** The track whose groups bring the catalogs. */
  #lead(): Lane | undefined {
    return this.#video.find((lane) => !lane.givenUp) ?? this.#audio;
  }

  #complete(): boolean {
    return this.#lanes().every((lane) => lane.entry !== undefined || lane.givenUp);
  }

  #begin(lane: Lane, timestamp: number): void {
    const group = this.#groups.at(timestamp);
    // A keyframe that nobody asked for stays inside its group.
    if (group === undefined || (lane.group !== undefined && group <= lane.group)) return;
    lane.group = group;
    const waited = timestamp - (this.#firstAt ?? timestamp);
    if (lane === this.#lead() && (this.#complete() || waited > PATIENCE_US)) this.#writeCatalogs(group);
    lane.writer = lane.track.beginGroup(group);
    this.written.groups += 1;
  }

  #writeCatalogs(group: bigint): void {
    if (this.#catalogGroup !== undefined && group <= this.#catalogGroup) return;
    this.#catalogGroup = group;
    const tracks = this.#lanes().flatMap((lane) => lane.entry ?? []);
    const forms: [string, string | undefined][] = [
      [MSF_TRACK, writeMsf(tracks)],
      [HANG_TRACK, writeHang(tracks)],
    ];
    for (const [name, json] of forms) {
      const track = this.#catalogs.get(name);
      if (!track || json === undefined) continue;
      const writer = track.beginGroup(group);
      writer.write(new TextEncoder().encode(json));
      writer.end();
    }
  }

  #flushAudio(lane: AudioLane): void {
    const samples = lane.filling;
    if (samples.length === 0) return;
    lane.filling = [];
    lane.sequence += 1;
    this.#write(lane, fragment(lane.sequence, lane.fillingAt, samples), {});
  }

  #write(lane: Lane, payload: Bytes, options: { subgroup?: bigint; properties?: Properties }): void {
    lane.writer?.write(payload, options);
    this.written.objects += 1;
    this.written.bytes += payload.length;
  }
}

function lane(name: string, priority: number, subgroups: 'single' | 'many'): Lane {
  const track = new PublishedTrack({ priority, keepGroups: 3, subgroups });
  return { name, track, group: undefined, writer: undefined, entry: undefined, givenUp: false, sequence: 0 };
}

/** How long a frame will be shown is known with the next one; as long as the one before is the best guess. */
function lasts(lane: VideoLane, timestamp: number): number {
  const nominal = VIDEO_TIMESCALE / lane.plan.framerate;
  const before = lane.last === undefined ? nominal : timestamp - lane.last;
  lane.last = timestamp;
  return Math.round(Math.min(Math.max(before, nominal / 2), nominal * 4));
}

function loc(timestamp: number, config: Bytes | undefined): Properties {
  const properties = new Map<bigint, bigint | Bytes>([
    [LOC_TIMESCALE, 1_000_000n],
    [LOC_TIMESTAMP, BigInt(timestamp)],
  ]);
  if (config) properties.set(LOC_VIDEO_CONFIG, config);
  return properties;
}
