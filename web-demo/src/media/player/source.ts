/// One subscribed track: reads its objects, demuxes them, fills a jitter buffer.

import type { MoqObject, Session, Subscription } from '../../moqt';
import type { CatalogTrack } from '../catalog/model';
import { isForbidden, isMissing } from '../catalog/open';
import { JitterBuffer } from '../core/buffer';
import { readFragments, readHeader, type TrackHeader } from '../demux/cmaf';
import { readLegacy, readLoc } from '../demux/loc';
import { DemuxError, type MediaSample } from '../demux/sample';

/// Where neither catalog nor samples tell: one frame of AAC or Opus, about.
const AUDIO_DURATION = 20_000;

/// So many objects in a row that are no media, and none before that was: the track is not what the catalog says.
const MOST_MALFORMED = 8;

/// The track is there, but cannot be played here.
export class UnplayableError extends Error {
  override readonly name = 'UnplayableError';
}

/// Whether the error concerns this track only: others of the broadcast may well be played.
export function isOfTrack(error: unknown): boolean {
  return error instanceof UnplayableError || isMissing(error) || isForbidden(error);
}

export interface SourceEvents {
  /// The first decode time of an object that arrived.
  arrived(source: Source, decodeTime: number, bytes: number): void;
  /// A sample of sound, ready for the decoder.
  sound(source: Source, sample: MediaSample): void;
  /// Media time 0 of the player, given the first time that was seen.
  origin(time: number): number;
}

export class Source {
  readonly buffer: JitterBuffer;
  readonly header: TrackHeader | undefined;
  /// Objects that could not be read.
  malformed = 0;
  /// Objects that could.
  #read = 0;
  #subscription: Subscription | undefined;

  /// Throws DemuxError if the catalog's header cannot be read.
  constructor(
    readonly track: CatalogTrack,
    private readonly events: SourceEvents,
  ) {
    this.buffer = new JitterBuffer(track.kind);
    this.header = track.init === undefined ? undefined : readHeader(track.init);
  }

  get groupsSkipped(): number {
    return this.buffer.groupsSkipped + (this.#subscription?.groupsSkipped ?? 0);
  }

  /// Reads until the track ends; throws MoqtError when it is refused or cut, UnplayableError when nothing of it can be read.
  async run(session: Session, namespace: readonly string[], signal: AbortSignal): Promise<void> {
    // Sound matters more than pictures and is small; lower is more urgent.
    const priority = this.track.kind === 'audio' ? 64 : 128;
    const subscription = await session.join({ namespace, name: this.track.name }, { signal, priority });
    this.#subscription = subscription;
    try {
      for (;;) {
        const object = await subscription.next();
        if (object === undefined || signal.aborted) {
          return;
        }
        this.#take(object);
      }
    } finally {
      subscription.cancel();
    }
  }

  #take(object: MoqObject): void {
    if (object.status !== 'normal') {
      this.buffer.endGroup(object.group);
      return;
    }
    let samples: MediaSample[];
    try {
      samples = this.#demux(object);
    } catch (error) {
      if (!(error instanceof DemuxError)) {
        throw error;
      }
      this.malformed += 1;
      if (this.#read === 0 && this.malformed >= MOST_MALFORMED) {
        throw new UnplayableError(error.message);
      }
      return;
    }
    const [first] = samples;
    if (first === undefined) {
      return;
    }
    this.#read += 1;
    const { group, subgroup, object: id } = object;
    this.buffer.push({ group, subgroup, object: id, samples });
    this.events.arrived(this, first.decodeTime, object.payload.length);
    if (this.track.kind === 'audio') {
      this.#forward();
    }
  }

  /// Sound is decoded as it comes; the ring behind the decoder puts it in its place.
  #forward(): void {
    const end = Number.POSITIVE_INFINITY;
    for (let sample = this.buffer.pop(end, end); sample !== undefined; sample = this.buffer.pop(end, end)) {
      this.events.sound(this, sample);
    }
  }

  #demux(object: MoqObject): MediaSample[] {
    const { kind, packaging } = this.track;
    const raw =
      this.header !== undefined
        ? readFragments(object.payload, this.header)
        : [packaging === 'loc' ? readLoc(object, kind) : readLegacy(object, kind)];
    const [first] = raw;
    const origin = first === undefined ? 0 : this.events.origin(first.decodeTime);
    return raw.map((sample) => ({
      ...sample,
      decodeTime: sample.decodeTime - origin,
      time: sample.time - origin,
      duration: sample.duration || this.#duration(),
    }));
  }

  #duration(): number {
    const { kind, framerate } = this.track;
    return kind === 'audio' ? AUDIO_DURATION : Math.round(1e6 / (framerate ?? 30));
  }
}
