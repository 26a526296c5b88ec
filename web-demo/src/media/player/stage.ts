/// What plays: the media clock, the sound, the picture, and the next picture while renditions change.
///
/// `tick` moves everything on. It is called on each screen refresh, and by the sound's reports and a timer when the
/// browser does not refresh because nobody looks.

import { MediaClock } from '../core/clock';
import { Meter } from '../core/meter';
import type { MediaSample } from '../demux/sample';
import { AudioOutput } from '../io/audio';
import { VideoOutput } from '../io/video';
import type { Configured } from './config';
import type { Source } from './source';
import type { PlayerStats } from './status';

/// Time that goes back by more than this: the broadcast has started over.
const RESTART = 1_000_000;
/// Offsets that differ by more than this are not averaged: something jumped between them.
const STEP = 100_000;
/// A track that is so far behind the others is not waited for.
const ABSENT = 3_000_000;

export interface StageEvents {
  firstFrame(): void;
  /// The picture or the sound of `source` cannot be decoded after all.
  failed(source: Source, message: string): void;
  /// Another picture shows instead of that of `source`.
  replaced(source: Source): void;
  stalled(now: number): void;
  soundBlocked(blocked: boolean): void;
}

interface Picture {
  readonly source: Source;
  readonly output: VideoOutput;
}

export function pageNow(): number {
  return performance.now() * 1000;
}

export class Stage {
  readonly clock: MediaClock;
  #audio: { source: Source; output: AudioOutput } | undefined;
  #video: Picture | undefined;
  #next: Picture | undefined;
  #origin: number | undefined;
  #volume = 1;
  #hidden = false;
  #blocked = false;
  #offset: number | undefined;
  /// The latest decode time of each track.
  readonly #last = new WeakMap<Source, number>();
  readonly #bits = new Meter();
  readonly #frames = new Meter();
  #past = { drawn: 0, dropped: 0, skipped: 0, malformed: 0 };

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly workletUrl: string,
    private readonly events: StageEvents,
    target: number,
  ) {
    this.clock = new MediaClock(target);
  }

  /// The same for all tracks, and for as long as the player lives: small numbers keep the audio thread exact.
  origin(time: number): number {
    this.#origin ??= time;
    return this.#origin;
  }

  arrived(source: Source, decodeTime: number, bytes: number): void {
    const now = pageNow();
    this.#bits.add(now, bytes * 8);
    const last = this.#last.get(source) ?? decodeTime;
    this.#last.set(source, decodeTime);
    if (decodeTime < last - RESTART) {
      this.clock.reroute();
    }
    if (source !== this.#next?.source) {
      this.clock.observe(source.track.kind, decodeTime, now);
    }
    this.tick();
  }

  sound(source: Source, sample: MediaSample): void {
    if (source === this.#audio?.source) {
      this.#audio.output.push(sample);
    }
  }

  /// Puts a track on stage. A second picture waits until it has caught up with the first.
  add(source: Source, configured: Configured): void {
    if (configured.kind === 'audio') {
      this.#addSound(source, configured.config);
      return;
    }
    const events = {
      drawn: (time: number, first: boolean) => this.#drawn(time, first),
      failed: (message: string) => this.events.failed(source, message),
    };
    const eager = this.#video === undefined;
    const output = new VideoOutput(configured.config, source.buffer, this.canvas, events, eager);
    output.setHidden(this.#hidden);
    if (eager) {
      this.#video = { source, output };
    } else {
      this.#retire(this.#next);
      this.#next = { source, output };
    }
  }

  remove(source: Source): void {
    if (this.#audio?.source === source) {
      this.#audio.output.close();
      this.#audio = undefined;
      this.clock.forget('audio');
    } else if (this.#next?.source === source) {
      this.#retire(this.#next);
      this.#next = undefined;
    } else if (this.#video?.source === source) {
      this.#retire(this.#video);
      this.#video = undefined;
      this.clock.forget('video');
    }
  }

  /// A picture that does not show yet shall not show any more.
  dismiss(source: Source): void {
    if (this.#next?.source === source) {
      this.remove(source);
    }
  }

  /// Takes all tracks off; the last picture stays to be seen, the clock goes on.
  clear(): void {
    for (const part of [this.#audio, this.#next, this.#video]) {
      if (part !== undefined) {
        this.remove(part.source);
      }
    }
    this.clock.reroute();
  }

  setVolume(volume: number): void {
    this.#volume = volume;
    this.#audio?.output.setVolume(volume);
  }

  setHidden(hidden: boolean): void {
    this.#hidden = hidden;
    this.#video?.output.setHidden(hidden);
    this.#next?.output.setHidden(hidden);
  }

  async resumeSound(): Promise<void> {
    await this.#audio?.output.resume();
    this.#tellBlocked();
  }

  /// The track whose picture shows, or is to show first.
  get shown(): Source | undefined {
    return this.#video?.source;
  }

  tick(): void {
    const now = pageNow();
    const stalls = this.clock.stalls;
    this.clock.update(now, this.#available());
    if (this.clock.stalls > stalls) {
      this.events.stalled(now);
    }
    const position = this.clock.position(now);
    if (position === undefined) {
      this.#video?.output.pump(Number.NEGATIVE_INFINITY);
      return;
    }
    this.#audio?.output.follow(position, now, this.clock.rate);
    this.#video?.output.pump(position);
    this.#next?.output.pump(position);
    if (this.#next?.output.ready === true) {
      const before = this.#video;
      this.#retire(before);
      this.#video = this.#next;
      this.#next = undefined;
      if (before !== undefined) {
        this.events.replaced(before.source);
      }
    }
    if (!this.#hidden) {
      this.#video?.output.draw(position);
    }
  }

  stats(): Omit<PlayerStats, 'firstFrame' | 'rtt' | 'relay'> {
    const now = pageNow();
    const position = this.clock.position(now);
    const available = this.#available();
    const heard = this.#audio?.output.heard;
    const sources = [this.#audio?.source, this.#video?.source].filter((source) => source !== undefined);
    const sum = (value: (source: Source) => number) => sources.reduce((total, source) => total + value(source), 0);
    return {
      latency: milliseconds(this.clock.latency(now)),
      buffer: position === undefined || available === undefined ? undefined : milliseconds(available - position),
      bitrate: this.#bits.rate(now),
      frameRate: this.#frames.rate(now),
      framesDrawn: this.#past.drawn + (this.#video?.output.drawn ?? 0),
      framesDropped: this.#past.dropped + (this.#video?.output.dropped ?? 0),
      groupsSkipped: this.#past.skipped + sum((source) => source.groupsSkipped),
      malformed: this.#past.malformed + sum((source) => source.malformed),
      stalls: this.clock.stalls,
      jumps: this.clock.jumps,
      position: milliseconds(position),
      rate: this.clock.rate,
      avOffset: this.#video === undefined || heard === undefined ? undefined : milliseconds(this.#offset),
      level: heard?.level ?? 0,
      video: describe(this.#video?.source),
      audio: describe(this.#audio?.source),
    };
  }

  #addSound(source: Source, config: AudioDecoderConfig): void {
    const output = new AudioOutput(config, this.workletUrl, {
      report: () => {
        this.#tellBlocked();
        this.tick();
      },
      failed: (message) => this.events.failed(source, message),
    });
    output.setVolume(this.#volume);
    this.#audio = { source, output };
    output.resume().then(
      () => this.#tellBlocked(),
      () => this.#tellBlocked(),
    );
    this.#tellBlocked();
  }

  #tellBlocked(): void {
    const blocked = this.#audio?.output.blocked === true;
    if (blocked !== this.#blocked) {
      this.#blocked = blocked;
      this.events.soundBlocked(blocked);
    }
  }

  #retire(picture: Picture | undefined): void {
    if (picture !== undefined) {
      picture.output.close();
      this.#past.drawn += picture.output.drawn;
      this.#past.dropped += picture.output.dropped;
      this.#past.skipped += picture.source.groupsSkipped;
      this.#past.malformed += picture.source.malformed;
    }
  }

  #drawn(time: number, first: boolean): void {
    const now = pageNow();
    this.#frames.add(now, 1);
    if (first) {
      // It is shown at once, whatever the clock says.
      this.events.firstFrame();
      return;
    }
    const heard = this.#audio?.output.heard;
    if (heard !== undefined && heard.filled > 0 && this.clock.state === 'running') {
      const offset = time - (heard.media + (now - heard.now) * this.clock.rate);
      const before = this.#offset ?? offset;
      this.#offset = Math.abs(offset - before) > STEP ? offset : before + (offset - before) * 0.1;
    } else {
      this.#offset = undefined;
    }
  }

  /// Up to where both tracks can be played. One that is long gone does not hold up the other.
  #available(): number | undefined {
    const ends = [this.#audio?.source, this.#video?.source]
      .filter((source) => source !== undefined)
      .map((source) => source.buffer.end);
    const known = ends.filter((end) => end !== undefined);
    const latest = Math.max(...known);
    const present = known.filter((end) => end > latest - ABSENT);
    return present.length === 0 ? undefined : Math.min(...present);
  }
}

function milliseconds(micros: number | undefined): number | undefined {
  return micros === undefined ? undefined : micros / 1000;
}

function describe(source: Source | undefined): string {
  if (source === undefined) {
    return '';
  }
  const { codec, width, height, packaging } = source.track;
  const parts = [codec, packaging, width !== undefined && height !== undefined ? `${width} × ${height}` : ''];
  return parts.filter((part) => part !== '').join(', ');
}
