/// Plays decoded sound at the media clock's pace. Runs in the audio thread, loaded as a module of its own.
///
/// Samples lie in a ring at the place of their media time, so a gap in the sound stays a gap and sound never drifts away
/// from the picture. The page says which media time is due at which context time, and at which rate; small errors
/// are mended by reading up to 2 % faster or slower, larger ones by a jump.

declare const sampleRate: number;
declare const currentTime: number;
declare function registerProcessor(name: string, processor: unknown): void;
declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}

export const PROCESSOR = 'headwater-sound';

/// Page to worklet. Times in microseconds of media, context times in seconds.
export type ToWorklet =
  | { readonly kind: 'sound'; readonly time: number; readonly planes: readonly Float32Array[] }
  | { readonly kind: 'clock'; readonly context: number; readonly media: number; readonly rate: number }
  | { readonly kind: 'clear' };

/// Worklet to page, about twenty times a second.
export interface FromWorklet {
  /// The media time that is played at context time `context`.
  readonly media: number;
  readonly context: number;
  /// Root mean square of what was played since the last report, and the part of it that was there.
  readonly level: number;
  readonly filled: number;
  readonly jumps: number;
}

/// Seconds of sound that are kept, played or not.
const KEPT = 8;
/// Timestamps are rounded by packagers; a few samples off is still the next sample.
const JOIN = 64;
const JUMP = 0.03;

/// The ring of all channels: `at` counts samples since media time 0.
export class SoundRing {
  #channels: Float32Array[] = [];
  #start = 0;
  #end = 0;

  constructor(
    private readonly rate: number,
    private readonly capacity = Math.round(rate * KEPT),
  ) {}

  clear(): void {
    this.#start = 0;
    this.#end = 0;
  }

  write(time: number, planes: readonly Float32Array[]): void {
    const length = planes[0]?.length ?? 0;
    if (length === 0 || length > this.capacity) {
      return;
    }
    while (this.#channels.length < planes.length) {
      this.#channels.push(new Float32Array(this.capacity));
    }
    let at = Math.round((time * this.rate) / 1e6);
    if (Math.abs(at - this.#end) <= JOIN) {
      at = this.#end;
    } else if (at > this.#end && at - this.#end < this.capacity && this.#end > this.#start) {
      this.#silence(this.#end, at);
    } else {
      this.#start = at;
    }
    for (const [channel, ring] of this.#channels.entries()) {
      const plane = planes[channel] ?? planes[0];
      for (let index = 0; index < length; index += 1) {
        ring[(at + index) % this.capacity] = plane?.[index] ?? 0;
      }
    }
    this.#end = at + length;
    this.#start = Math.max(this.#start, this.#end - this.capacity);
  }

  /// The sample of `channel` at a fraction of a sample; undefined where nothing was written.
  read(channel: number, at: number): number | undefined {
    const whole = Math.floor(at);
    if (whole < this.#start || whole + 1 >= this.#end) {
      return undefined;
    }
    const ring = this.#channels[Math.min(channel, this.#channels.length - 1)];
    const left = ring?.[whole % this.capacity] ?? 0;
    const right = ring?.[(whole + 1) % this.capacity] ?? 0;
    return left + (right - left) * (at - whole);
  }

  #silence(from: number, to: number): void {
    for (const ring of this.#channels) {
      for (let at = from; at < to; at += 1) {
        ring[at % this.capacity] = 0;
      }
    }
  }
}

function processor(): unknown {
  return class extends AudioWorkletProcessor {
    #ring = new SoundRing(sampleRate);
    #clock = { context: 0, media: 0, rate: 0 };
    /// Media time of the next sample, in seconds.
    #at = 0;
    #gain = 0;
    #jumps = 0;
    #sum = 0;
    #filled = 0;
    #count = 0;

    constructor() {
      super();
      this.port.onmessage = ({ data }: MessageEvent<ToWorklet>) => {
        if (data.kind === 'sound') {
          this.#ring.write(data.time, data.planes);
        } else if (data.kind === 'clock') {
          this.#clock = data;
        } else {
          this.#ring.clear();
        }
      };
    }

    process(_inputs: Float32Array[][], outputs: Float32Array[][]): boolean {
      const output = outputs[0] ?? [];
      const length = output[0]?.length ?? 0;
      const speed = this.#speed();
      if (speed > 0) {
        for (let index = 0; index < length; index += 1) {
          this.#frame(output, index);
          this.#at += speed / sampleRate;
        }
      } else {
        this.#gain = 0;
      }
      this.#count += length;
      if (this.#count >= sampleRate / 20) {
        this.#report(length);
      }
      return true;
    }

    #speed(): number {
      const { context, media, rate } = this.#clock;
      const due = media / 1e6 + (currentTime - context) * rate;
      const error = due - this.#at;
      if (rate === 0 || Math.abs(error) > JUMP) {
        this.#jumps += rate === 0 ? 0 : 1;
        this.#at = due;
        this.#gain = 0;
        return rate;
      }
      const mend = Math.abs(error) < 0.001 ? 0 : Math.max(-0.02, Math.min(0.02, error));
      return rate * (1 + mend);
    }

    #frame(output: Float32Array[], index: number): void {
      for (const [channel, plane] of output.entries()) {
        const value = this.#ring.read(channel, this.#at * sampleRate);
        if (value === undefined) {
          this.#gain = 0;
          continue;
        }
        if (channel === 0) {
          // A short ramp after silence and jumps, against clicks.
          this.#gain = Math.min(1, this.#gain + 1 / 128);
          this.#filled += 1;
          this.#sum += value * value;
        }
        plane[index] = value * this.#gain;
      }
    }

    #report(length: number): void {
      const report: FromWorklet = {
        media: this.#at * 1e6,
        context: currentTime + length / sampleRate,
        level: Math.sqrt(this.#sum / this.#count),
        filled: this.#filled / this.#count,
        jumps: this.#jumps,
      };
      this.port.postMessage(report);
      this.#sum = 0;
      this.#filled = 0;
      this.#count = 0;
    }
  };
}

/// True in the audio thread, where this file is loaded a second time to register its processor.
export const inAudioThread = typeof registerProcessor === 'function';
if (inAudioThread) {
  registerProcessor(PROCESSOR, processor());
}
