/// The worker of the publish page: frames to encoders to tracks, away from the page's own work.

import { BitrateControl } from './bitrate';
import { Broadcast } from './broadcast';
import { AUDIO_BITRATE, AudioEncoding, VideoEncoding } from './encoding';
import { GroupPlan } from './groups';
import { encoderConfig, encodes, FAMILIES, ladder, type Rendition, type Size } from './ladder';
import { Link, words } from './link';
import type { FromWorker, Settings, Source, Statistics, Told, ToWorker } from './messages';
import { Letterbox, Pattern, readAudio, readVideo, type Sink } from './sources';

/** How often the encoders' bitrate is thought over. */
const CONTROL_MS = 250;
const STATISTICS_MS = 1000;
/** Frames in an encoder beyond which the next one is left out. */
const MOST_QUEUED = 4;
/** A device that gives no picture for so long is of no use. */
const FIRST_FRAME_MS = 10_000;
const PATTERN_SIZE = { width: 1280, height: 720 };

/** A broadcast on its way, from the first frame to the end. */
class Show implements Sink {
  readonly #number: number;
  readonly #settings: Settings;
  readonly #groups = new GroupPlan();
  readonly #hasVideo: boolean;
  readonly #audio: AudioEncoding | undefined;
  #broadcast: Broadcast | undefined;
  #encodings: VideoEncoding[] = [];
  #renditions: Rendition[] = [];
  #letterbox: Letterbox | undefined;
  #control = new BitrateControl(AUDIO_BITRATE);
  #decision: { share: number; keepOneIn: number } = { share: 1, keepOneIn: 1 };
  #link: Link | undefined;
  #starting = false;
  readonly #over = new AbortController();
  #frames = 0;
  #dropped = 0;
  #bytesBefore = 0;
  #timers: ReturnType<typeof setInterval>[] = [];

  constructor(number: number, settings: Settings, hasVideo: boolean, hasAudio: boolean) {
    this.#number = number;
    this.#settings = settings;
    this.#hasVideo = hasVideo;
    if (hasAudio) {
      this.#audio = new AudioEncoding(
        (frame, config) => {
          if (!this.#hasVideo) this.#groups.next(frame.timestamp, frame.timestamp / 1000);
          this.#broadcast?.audio(frame, config);
        },
        (error) => this.fail(`The sound cannot be encoded: ${error.message}`),
      );
    }
    if (!hasVideo) this.#begin([]);
  }

  /** Aborts when the broadcast ends. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  video(frame: VideoFrame): void {
    if (this.#encodings.length === 0) {
      const size = { width: frame.displayWidth, height: frame.displayHeight };
      frame.close();
      if (!this.#starting && !this.over.aborted) void this.#prepare(size);
      return;
    }
    const open = this.#encodings.filter((encoding) => encoding.open);
    this.#frames += 1;
    const full = open.some((encoding) => encoding.queue >= MOST_QUEUED);
    if (full || this.#frames % this.#decision.keepOneIn !== 0) {
      this.#dropped += 1;
      frame.close();
      return;
    }
    const fitted = this.#letterbox?.frame(frame) ?? frame;
    const keyframe = this.#groups.next(fitted.timestamp, fitted.timestamp / 1000);
    for (const encoding of open) encoding.encode(fitted, keyframe);
    fitted.close();
  }

  audio(data: AudioData): void {
    // Sound from before the first picture has no group to be in.
    if (this.#broadcast) this.#audio?.encode(data);
    data.close();
  }

  /** Ends with words for the user. */
  fail(message: string): void {
    if (this.over.aborted) return;
    this.#tell({ kind: 'failed', message });
    void this.end();
  }

  async end(): Promise<void> {
    if (this.over.aborted) return;
    this.#over.abort();
    for (const timer of this.#timers) clearInterval(timer);
    await Promise.all([...this.#encodings, ...(this.#audio ? [this.#audio] : [])].map((encoding) => encoding.finish()));
    this.#broadcast?.end();
    // A moment for the last objects and the end of the tracks to leave.
    setTimeout(() => this.#link?.close(), 300);
  }

  async #prepare(size: Size): Promise<void> {
    this.#starting = true;
    const { height, framerate, simulcast } = this.#settings;
    const wanted = ladder(size, height, framerate, simulcast);
    const configs = await this.#choose(wanted);
    if (this.over.aborted) return;
    if (!configs) return this.fail('This browser has no encoder for video of this kind. Choose another codec.');
    const renditions = wanted.slice(0, configs.length);
    this.#renditions = renditions;
    const best = renditions[0];
    if (best) this.#letterbox = new Letterbox(best);
    this.#begin(renditions);
    this.#encodings = configs.map(
      (config, index) =>
        new VideoEncoding(
          config,
          (frame, description) => this.#coded(() => this.#broadcast?.video(index, frame, description)),
          (error) => this.#encoderFailed(index, error),
        ),
    );
  }

  /** Configurations for the renditions, or for the first one alone if the encoder takes only that. */
  async #choose(wanted: readonly Rendition[]): Promise<VideoEncoderConfig[] | undefined> {
    const { codec, temporalLayers } = this.#settings;
    for (const family of codec ? [codec] : FAMILIES) {
      const configs: VideoEncoderConfig[] = [];
      for (const rendition of wanted) {
        const layered = encoderConfig(family, rendition, temporalLayers);
        const plain = encoderConfig(family, rendition, false);
        if (await encodes(layered)) configs.push(layered);
        else if (await encodes(plain)) configs.push(plain);
        else break;
      }
      if (configs.length > 0) return configs;
    }
    return undefined;
  }

  #begin(renditions: readonly Rendition[]): void {
    const { packaging, temporalLayers } = this.#settings;
    const audio = this.#audio && { bitrate: AUDIO_BITRATE };
    const broadcast = new Broadcast({ packaging, video: renditions, audio, temporalLayers }, this.#groups);
    this.#broadcast = broadcast;
    const bitrate = renditions.reduce((sum, rendition) => sum + rendition.bitrate, AUDIO_BITRATE);
    this.#control = new BitrateControl(bitrate);
    this.#timers = [
      setInterval(() => this.#steer(), CONTROL_MS),
      setInterval(() => this.#tell({ kind: 'statistics', statistics: this.#statistics(broadcast) }), STATISTICS_MS),
    ];
    const link = new Link(
      this.#settings,
      (name) => broadcast.track(name),
      (message) => this.#tell(message),
    );
    this.#link = link;
    link.run().then(
      () => this.#tell({ kind: 'stopped' }),
      (error: unknown) => this.fail(words(error)),
    );
  }

  #tell(message: FromWorker): void {
    const told: Told = { show: this.#number, message };
    self.postMessage(told);
  }

  /** What an encoder gives is written, or the broadcast ends with the reason. */
  #coded(write: () => void): void {
    try {
      write();
    } catch (error) {
      this.fail(words(error));
    }
  }

  #encoderFailed(index: number, error: Error): void {
    this.#broadcast?.dropVideo(index);
    if (this.#encodings.some((encoding, other) => other !== index && encoding.open)) {
      this.#tell({
        kind: 'warning',
        message: `One of the picture sizes cannot be encoded and is left out: ${error.message}`,
      });
    } else {
      this.fail(`The picture cannot be encoded: ${error.message}`);
    }
  }

  #steer(): void {
    const open = this.#encodings.filter((encoding) => encoding.open);
    const encoderQueue = Math.max(0, ...open.map((encoding) => encoding.queue));
    const backlogBytes = this.#broadcast?.backlogBytes ?? 0;
    this.#decision = this.#control.update({ now: performance.now(), encoderQueue, backlogBytes });
    this.#encodings.forEach((encoding, index) => {
      encoding.spend(Math.round((this.#renditions[index]?.bitrate ?? 0) * this.#decision.share));
    });
  }

  #statistics(broadcast: Broadcast): Statistics {
    const { bytes, groups } = broadcast.written;
    const bitrate = ((bytes - this.#bytesBefore) * 8000) / STATISTICS_MS;
    this.#bytesBefore = bytes;
    const open = this.#encodings.filter((encoding) => encoding.open);
    const media = broadcast.media();
    return {
      bitrate,
      share: this.#decision.share,
      frames: this.#frames - this.#dropped,
      framesDropped: this.#dropped,
      groups,
      tracks: media.length,
      tracksRead: media.filter(({ track }) => track.subscribers > 0).length,
      rtt: this.#link?.session?.rtt,
      renditions: open.map((encoding) => ({ codec: encoding.codec, ...encoding.size })),
    };
  }
}

let canvas: OffscreenCanvas | undefined;
let pattern: Pattern | undefined;
let show: Show | undefined;
let muted = false;

function showPattern(on: boolean): void {
  pattern?.stop();
  pattern = undefined;
  if (!on) return;
  canvas ??= new OffscreenCanvas(PATTERN_SIZE.width, PATTERN_SIZE.height);
  pattern = new Pattern(canvas, PATTERN_SIZE, 30);
  pattern.muted = muted;
}

function start(number: number, settings: Settings, source: Source): void {
  if (source.kind === 'pattern') {
    if (!pattern) showPattern(true);
    show = new Show(number, settings, true, true);
    if (pattern) pattern.sink = show;
    return;
  }
  const begun = new Show(number, settings, source.video !== undefined, source.audio !== undefined);
  show = begun;
  const lost = (error: unknown) => begun.fail(`The device stopped: ${words(error)}`);
  if (source.video) {
    const late = setTimeout(() => begun.fail('The device gives no picture.'), FIRST_FRAME_MS);
    const video = (frame: VideoFrame) => {
      clearTimeout(late);
      begun.video(frame);
    };
    readVideo(source.video, { video }, begun.over).then(() => void begun.end(), lost);
  }
  if (source.audio) readAudio(source.audio, begun, begun.over).catch(lost);
}

self.addEventListener('message', ({ data }: MessageEvent<ToWorker>) => {
  switch (data.kind) {
    case 'canvas':
      canvas = data.canvas;
      break;
    case 'pattern':
      showPattern(data.on);
      break;
    case 'mute':
      muted = data.muted;
      if (pattern) pattern.muted = muted;
      break;
    case 'start':
      void show?.end();
      start(data.show, data.settings, data.source);
      break;
    case 'stop':
      if (pattern) pattern.sink = undefined;
      void show?.end();
      break;
  }
});
