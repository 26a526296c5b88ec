/// Where frames come from, with times on the wall clock: streams of a device's frames, or the test pattern.

import type { Size } from './ladder';
import { beep, drawPattern } from './pattern';
import { Timeline } from './timeline';

/** Takes frames and closes them. `timestamp` of a frame is in wall-clock microseconds. */
export interface Sink {
  video(frame: VideoFrame): void;
  audio(data: AudioData): void;
}

/** Wall-clock microseconds from a clock that does not step. */
export function wallClock(): number {
  return (performance.timeOrigin + performance.now()) * 1000;
}

/** A reader that is done once `signal` aborts: the device is then read no more. */
function reading<T>(stream: ReadableStream<T>, signal: AbortSignal): ReadableStreamDefaultReader<T> {
  const reader = stream.getReader();
  const cancel = () => void reader.cancel().catch(() => undefined);
  if (signal.aborted) cancel();
  else signal.addEventListener('abort', cancel, { once: true });
  return reader;
}

/** Hands on the frames of `stream` until it ends or `signal` aborts. */
export async function readVideo(
  stream: ReadableStream<VideoFrame>,
  sink: Pick<Sink, 'video'>,
  signal: AbortSignal,
): Promise<void> {
  const timeline = new Timeline();
  const reader = reading(stream, signal);
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    const frame = next.value;
    timeline.observe(frame.timestamp, wallClock());
    const placed = new VideoFrame(frame, { timestamp: timeline.place(frame.timestamp) });
    frame.close();
    sink.video(placed);
  }
}

/** Hands on the sound of `stream` until it ends or `signal` aborts. */
export async function readAudio(
  stream: ReadableStream<AudioData>,
  sink: Pick<Sink, 'audio'>,
  signal: AbortSignal,
): Promise<void> {
  const timeline = new Timeline();
  const reader = reading(stream, signal);
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    const data = next.value;
    timeline.observe(data.timestamp, wallClock(), data.duration);
    const timestamp = timeline.place(data.timestamp);
    const samples = new Float32Array(data.numberOfFrames * data.numberOfChannels);
    for (let plane = 0; plane < data.numberOfChannels; plane += 1) {
      const at = samples.subarray(plane * data.numberOfFrames, (plane + 1) * data.numberOfFrames);
      data.copyTo(at, { planeIndex: plane, format: 'f32-planar' });
    }
    const { numberOfFrames, numberOfChannels, sampleRate } = data;
    data.close();
    sink.audio(
      new AudioData({ format: 'f32-planar', numberOfFrames, numberOfChannels, sampleRate, timestamp, data: samples }),
    );
  }
}

const SAMPLE_RATE = 48_000;
/** Samples in one piece of the pattern's sound: 20 ms. */
const PIECE = 960;
/** A machine that fell further behind than this many pieces leaves them out. */
const MOST_PIECES = 25;

/** Draws the test pattern on `canvas` in its own time until stopped, and hands it to a sink while there is one. */
export class Pattern {
  readonly #canvas: OffscreenCanvas;
  readonly #context: OffscreenCanvasRenderingContext2D;
  readonly #framerate: number;
  readonly #start = Math.ceil(wallClock() / 1e6) * 1e6 - 1e6;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #frame: number;
  #sample: number;
  sink: Sink | undefined;
  muted = false;

  constructor(canvas: OffscreenCanvas, size: Size, framerate: number) {
    canvas.width = size.width;
    canvas.height = size.height;
    const context = canvas.getContext('2d');
    if (!context) throw new Error('This browser cannot draw the test pattern.');
    this.#canvas = canvas;
    this.#context = context;
    this.#framerate = framerate;
    const past = wallClock() - this.#start;
    this.#frame = Math.ceil((past * framerate) / 1e6);
    this.#sample = Math.ceil((past * SAMPLE_RATE) / 1e6 / PIECE) * PIECE;
    this.#tick();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.sink = undefined;
  }

  #tick(): void {
    const now = wallClock();
    const due = Math.floor(((now - this.#start) * this.#framerate) / 1e6);
    if (due >= this.#frame) {
      // Frames that were missed stay out; the number tells of them.
      this.#frame = due;
      this.#draw();
      this.#frame += 1;
    }
    this.#sound(now);
    const next = this.#start + (this.#frame * 1e6) / this.#framerate;
    this.#timer = setTimeout(() => this.#tick(), Math.max(0, (next - wallClock()) / 1000));
  }

  #draw(): void {
    const timestamp = Math.round(this.#start + (this.#frame * 1e6) / this.#framerate);
    const { width, height } = this.#canvas;
    drawPattern(this.#context, { width, height }, this.#frame, Math.floor(timestamp / 1000));
    if (this.sink) this.sink.video(new VideoFrame(this.#canvas, { timestamp }));
  }

  #sound(now: number): void {
    const due = Math.floor(((now - this.#start) * SAMPLE_RATE) / 1e6);
    if (due - this.#sample > MOST_PIECES * PIECE) this.#sample = Math.floor(due / PIECE) * PIECE - PIECE;
    for (; this.#sample + PIECE <= due; this.#sample += PIECE) {
      if (!this.sink) continue;
      const timestamp = Math.round(this.#start + (this.#sample * 1e6) / SAMPLE_RATE);
      const data = this.muted ? new Float32Array(PIECE) : beep(this.#sample, PIECE, SAMPLE_RATE);
      const format = { format: 'f32-planar', sampleRate: SAMPLE_RATE, numberOfFrames: PIECE } as const;
      this.sink.audio(new AudioData({ ...format, numberOfChannels: 1, timestamp, data }));
    }
  }
}

/** Draws frames of another shape than the encoders' with black borders: a shared window may change its size. */
export class Letterbox {
  readonly #ratio: number;
  readonly #size: Size;
  #canvas: OffscreenCanvas | undefined;

  constructor(size: Size) {
    this.#size = size;
    this.#ratio = size.width / size.height;
  }

  /** `frame`, or a picture of it in the right shape; the frame given is closed if it is not returned. */
  frame(frame: VideoFrame): VideoFrame {
    const ratio = frame.displayWidth / frame.displayHeight;
    if (Math.abs(ratio / this.#ratio - 1) < 0.02) return frame;
    const { width, height } = this.#size;
    this.#canvas ??= new OffscreenCanvas(width, height);
    const context = this.#canvas.getContext('2d');
    if (!context) return frame;
    const scale = Math.min(width / frame.displayWidth, height / frame.displayHeight);
    const [w, h] = [frame.displayWidth * scale, frame.displayHeight * scale];
    context.fillStyle = '#000';
    context.fillRect(0, 0, width, height);
    context.drawImage(frame, (width - w) / 2, (height - h) / 2, w, h);
    const { timestamp } = frame;
    frame.close();
    return new VideoFrame(this.#canvas, { timestamp });
  }
}
