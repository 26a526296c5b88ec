/// Sound: decodes what arrives, hands it to the worklet, keeps the worklet at the media clock.

import type { MediaSample } from '../demux/sample';
import { type FromWorklet, PROCESSOR, type ToWorklet } from './worklet';

/// Decoding goes on as sound arrives; beyond this many waiting chunks something is wrong and the rest is dropped.
const MAX_QUEUED = 256;
/// After so many failures in a row without a sound, the track is not playable.
const MAX_ERRORS = 5;

export interface Heard {
  /// Media time heard at page time `now`, and the rate it runs at; microseconds.
  readonly media: number;
  readonly now: number;
  readonly level: number;
  readonly filled: number;
}

export interface AudioOutputEvents {
  report(): void;
  failed(message: string): void;
}

/// One per track: its context has the sample rate of the track.
export class AudioOutput {
  readonly #context: AudioContext;
  readonly #gain: GainNode;
  readonly #events: AudioOutputEvents;
  #node: AudioWorkletNode | undefined;
  #decoder: AudioDecoder | undefined;
  #config: AudioDecoderConfig;
  #heard: Heard | undefined;
  #closed = false;
  #errors = 0;
  dropped = 0;
  jumps = 0;

  /// Throws what the browser throws at a configuration that it cannot use, whatever it said of it before.
  constructor(config: AudioDecoderConfig, workletUrl: string, events: AudioOutputEvents) {
    this.#config = config;
    this.#events = events;
    this.#context = new AudioContext({ sampleRate: config.sampleRate, latencyHint: 'interactive' });
    this.#gain = this.#context.createGain();
    this.#gain.connect(this.#context.destination);
    try {
      this.#begin();
    } catch (error) {
      this.close();
      throw error;
    }
    this.#load(workletUrl).catch(() => events.failed('The sound cannot be played: its module did not load.'));
  }

  get heard(): Heard | undefined {
    return this.#context.state === 'running' ? this.#heard : undefined;
  }

  /// The browser keeps sound off until the user does something on the page.
  get blocked(): boolean {
    return this.#context.state === 'suspended';
  }

  async resume(): Promise<void> {
    await this.#context.resume();
  }

  setVolume(volume: number): void {
    this.#gain.gain.setTargetAtTime(volume, this.#context.currentTime, 0.02);
  }

  push(sample: MediaSample): void {
    const decoder = this.#decoder;
    if (decoder === undefined || decoder.state !== 'configured' || decoder.decodeQueueSize > MAX_QUEUED) {
      this.dropped += 1;
      return;
    }
    try {
      if (sample.description !== undefined) {
        const config = { ...this.#config, description: sample.description };
        decoder.configure(config);
        this.#config = config;
      }
      decoder.decode(new EncodedAudioChunk({ type: 'key', timestamp: sample.time, data: sample.data }));
    } catch {
      this.#failed();
    }
  }

  /// `media` is due at page time `now` (microseconds).
  follow(media: number, now: number, rate: number): void {
    const { contextTime = 0, performanceTime = 0 } = this.#context.getOutputTimestamp();
    const known = performanceTime > 0;
    const context = known
      ? contextTime + (now / 1000 - performanceTime) / 1000
      : this.#context.currentTime - this.#context.outputLatency;
    this.#send({ kind: 'clock', context, media, rate });
  }

  clear(): void {
    this.#send({ kind: 'clear' });
  }

  close(): void {
    this.#closed = true;
    this.#end();
    this.#node?.disconnect();
    this.#context.close().catch(() => {
      // It is closed already, which is what was asked for.
    });
  }

  async #load(url: string): Promise<void> {
    await this.#context.audioWorklet.addModule(url);
    if (this.#closed) {
      return;
    }
    const channelCount = Math.max(1, Math.min(2, this.#config.numberOfChannels));
    const node = new AudioWorkletNode(this.#context, PROCESSOR, {
      numberOfInputs: 0,
      outputChannelCount: [channelCount],
    });
    node.port.onmessage = ({ data }: MessageEvent<FromWorklet>) => this.#report(data);
    node.connect(this.#gain);
    this.#node = node;
  }

  #report(report: FromWorklet): void {
    const { contextTime = 0, performanceTime = 0 } = this.#context.getOutputTimestamp();
    const late = performanceTime > 0 ? report.context - contextTime : this.#context.outputLatency;
    const base = performanceTime > 0 ? performanceTime : performance.now();
    this.#heard = { media: report.media, now: (base + late * 1000) * 1000, level: report.level, filled: report.filled };
    this.jumps = report.jumps;
    this.#events.report();
  }

  #begin(): void {
    const decoder = new AudioDecoder({
      output: (data) => this.#output(data),
      error: () => this.#failed(),
    });
    this.#decoder = decoder;
    decoder.configure(this.#config);
  }

  #end(): void {
    if (this.#decoder !== undefined && this.#decoder.state !== 'closed') {
      this.#decoder.close();
    }
  }

  #failed(): void {
    this.#errors += 1;
    if (this.#closed) {
      return;
    }
    this.#end();
    try {
      if (this.#errors <= MAX_ERRORS) {
        this.#begin();
        return;
      }
    } catch {
      // What it took before it does not take any more.
    }
    this.#events.failed('The sound of this broadcast cannot be decoded.');
  }

  #output(data: AudioData): void {
    this.#errors = 0;
    const planes: Float32Array[] = [];
    for (let channel = 0; channel < Math.min(2, data.numberOfChannels); channel += 1) {
      const plane = new Float32Array(data.numberOfFrames);
      data.copyTo(plane, { planeIndex: channel, format: 'f32-planar' });
      planes.push(plane);
    }
    this.#send({ kind: 'sound', time: data.timestamp, planes });
    data.close();
  }

  #send(message: ToWorklet): void {
    const transfer = message.kind === 'sound' ? message.planes.map((plane) => plane.buffer as ArrayBuffer) : [];
    this.#node?.port.postMessage(message, transfer);
  }
}
