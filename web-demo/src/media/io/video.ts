/// Pictures: decodes a little ahead of the media clock and draws the one that is due.

import type { JitterBuffer } from '../core/buffer';

/// Decoded ahead of the clock; enough for reordering and for a decoder's own delay.
const AHEAD = 250_000;
/// Pictures are large and some decoders have few of them.
const MAX_PICTURES = 12;
/// After so many failures in a row without a picture, the track is not playable.
const MAX_ERRORS = 5;
/// The same for a track that never gave a picture: each attempt waits for a keyframe.
const MAX_ERRORS_AT_FIRST = 2;

export interface VideoEvents {
  drawn(time: number, first: boolean): void;
  failed(message: string): void;
}

export class VideoOutput {
  #decoder: VideoDecoder | undefined;
  #frames: VideoFrame[] = [];
  #errors = 0;
  #decodes = false;
  #drawn = 0;
  /// A picture was drawn at its time; those dropped before were late from the start.
  #onTime = false;
  #hidden = false;
  #closed = false;
  #position: number | undefined;
  /// Decoded, but another one was due by the time it could be drawn.
  dropped = 0;

  /// Throws what the browser throws at a configuration that it cannot use, whatever it said of it before.
  constructor(
    private config: VideoDecoderConfig,
    private readonly buffer: JitterBuffer,
    private readonly canvas: HTMLCanvasElement,
    private readonly events: VideoEvents,
    /// Draw the first picture before its time; else wait until this output has caught up with the clock.
    private readonly eager: boolean,
  ) {
    this.#begin();
  }

  get drawn(): number {
    return this.#drawn;
  }

  /// Pictures have caught up with the clock.
  get ready(): boolean {
    return (this.#frames.at(-1)?.timestamp ?? Number.NEGATIVE_INFINITY) >= (this.#position ?? 0);
  }

  /// Nobody sees the page: keep what is needed to go on, decode nothing.
  setHidden(hidden: boolean): void {
    if (hidden && !this.#hidden) {
      this.#dropFrames(this.#frames.length);
      this.buffer.needKey();
    }
    this.#hidden = hidden;
  }

  /// Feeds the decoder for a clock at `position`.
  pump(position: number): void {
    this.#position = position;
    if (this.buffer.skipTo(position)) {
      this.#dropFrames(this.#frames.length);
    }
    if (this.#hidden) {
      return;
    }
    for (;;) {
      const decoder = this.#decoder;
      if (decoder?.state !== 'configured' || decoder.decodeQueueSize + this.#frames.length >= MAX_PICTURES) {
        return;
      }
      const sample = this.buffer.pop(position, position + AHEAD);
      if (sample === undefined) {
        return;
      }
      const { time: timestamp, data, key, description } = sample;
      try {
        if (description !== undefined) {
          const config = { ...this.config, description };
          decoder.configure(config);
          this.config = config;
        }
        decoder.decode(new EncodedVideoChunk({ type: key ? 'key' : 'delta', timestamp, data }));
      } catch {
        // Said to be a keyframe, and is none; or it came with a configuration that is none.
        this.buffer.needKey();
        this.#count();
      }
    }
  }

  /// Draws the picture that is due at `position`; the very first one at once.
  draw(position: number): void {
    let due = -1;
    this.#onTime ||= this.#drawn > 1;
    for (const [index, frame] of this.#frames.entries()) {
      if (frame.timestamp <= position) {
        due = index;
      }
    }
    if (due < 0 && this.eager && this.#drawn === 0 && this.#frames.length > 0) {
      due = 0;
    }
    if (due < 0) {
      return;
    }
    this.#dropFrames(due);
    const frame = this.#frames.shift();
    if (frame !== undefined) {
      this.#paint(frame);
    }
  }

  close(): void {
    this.#closed = true;
    this.#dropFrames(this.#frames.length);
    if (this.#decoder !== undefined && this.#decoder.state !== 'closed') {
      this.#decoder.close();
    }
  }

  #paint(frame: VideoFrame): void {
    const { displayWidth: width, displayHeight: height, timestamp } = frame;
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    this.canvas.getContext('2d', { alpha: false, desynchronized: true })?.drawImage(frame, 0, 0, width, height);
    frame.close();
    this.#drawn += 1;
    this.events.drawn(timestamp, this.#drawn === 1);
  }

  #dropFrames(count: number): void {
    for (const frame of this.#frames.splice(0, count)) {
      this.dropped += this.#onTime ? 1 : 0;
      frame.close();
    }
  }

  #begin(): void {
    const decoder = new VideoDecoder({
      output: (frame) => this.#output(frame),
      error: () => this.#failed(),
    });
    decoder.ondequeue = () => {
      if (this.#position !== undefined) {
        this.pump(this.#position);
      }
    };
    this.#decoder = decoder;
    decoder.configure(this.config);
    this.buffer.needKey();
  }

  #output(frame: VideoFrame): void {
    this.#errors = 0;
    this.#decodes = true;
    if (this.#closed || this.#hidden) {
      frame.close();
      return;
    }
    this.#frames.push(frame);
    if (this.eager && this.#drawn === 0) {
      this.draw(frame.timestamp);
    }
    // Late pictures make room at once, so that catching up does not wait for the screen.
    while (this.#frames.length > 1 && (this.#frames[1]?.timestamp ?? 0) <= (this.#position ?? 0)) {
      this.#dropFrames(1);
    }
  }

  #failed(): void {
    if (this.#closed || !this.#count()) {
      return;
    }
    try {
      this.#begin();
    } catch {
      // What it took before it does not take any more.
      this.#giveUp();
    }
  }

  /// One more failure; false, and an end to it, after too many in a row.
  #count(): boolean {
    this.#errors += 1;
    const goesOn = this.#errors <= (this.#decodes ? MAX_ERRORS : MAX_ERRORS_AT_FIRST);
    if (!goesOn) {
      this.#giveUp();
    }
    return goesOn;
  }

  #giveUp(): void {
    this.events.failed('its picture cannot be decoded');
  }
}
