/// WebCodecs' encoders, as far as publishing needs them: frames in, coded frames with their configuration out.

import type { AudioFrame, CodedFrame } from './broadcast';
import { type AudioConfig, actualCodec, type VideoConfig } from './describe';

/** Bits per second of Opus. */
export const AUDIO_BITRATE = 96_000;

type Failed = (error: Error) => void;

export class VideoEncoding {
  readonly #encoder: VideoEncoder;
  #config: VideoEncoderConfig;

  constructor(
    config: VideoEncoderConfig,
    output: (frame: CodedFrame, config: VideoConfig | undefined) => void,
    failed: Failed,
  ) {
    this.#config = config;
    this.#encoder = new VideoEncoder({
      output: (chunk, metadata) => {
        const data = new Uint8Array(chunk.byteLength);
        chunk.copyTo(data);
        const frame = {
          data,
          timestamp: chunk.timestamp,
          keyframe: chunk.type === 'key',
          temporalLayer: metadata?.svc?.temporalLayerId ?? 0,
        };
        output(frame, metadata?.decoderConfig && this.#describe(metadata.decoderConfig));
      },
      error: failed,
    });
    this.#encoder.configure(config);
  }

  get codec(): string {
    return this.#config.codec;
  }

  get size(): { readonly width: number; readonly height: number } {
    return { width: this.#config.width, height: this.#config.height };
  }

  /** Frames that have not come out yet. */
  get queue(): number {
    return this.#encoder.encodeQueueSize;
  }

  get open(): boolean {
    return this.#encoder.state === 'configured';
  }

  encode(frame: VideoFrame, keyframe: boolean): void {
    if (this.open) this.#encoder.encode(frame, { keyFrame: keyframe });
  }

  spend(bitrate: number): void {
    if (!this.open || bitrate === this.#config.bitrate) return;
    this.#config = { ...this.#config, bitrate };
    this.#encoder.configure(this.#config);
  }

  /** Waits for what is inside, then closes. */
  async finish(): Promise<void> {
    if (this.open) await this.#encoder.flush().catch(() => undefined);
    if (this.#encoder.state !== 'closed') this.#encoder.close();
  }

  #describe(config: VideoDecoderConfig): VideoConfig {
    const description = bytes(config.description);
    return {
      codec: actualCodec(config.codec, description),
      width: config.codedWidth ?? this.#config.width,
      height: config.codedHeight ?? this.#config.height,
      description,
    };
  }
}

export class AudioEncoding {
  readonly #encoder: AudioEncoder;
  #channels = 0;
  #sampleRate = 0;

  constructor(output: (frame: AudioFrame, config: AudioConfig | undefined) => void, failed: Failed) {
    this.#encoder = new AudioEncoder({
      output: (chunk, metadata) => {
        const data = new Uint8Array(chunk.byteLength);
        chunk.copyTo(data);
        const config = metadata?.decoderConfig && {
          codec: metadata.decoderConfig.codec,
          channels: metadata.decoderConfig.numberOfChannels,
          description: bytes(metadata.decoderConfig.description),
        };
        output({ data, timestamp: chunk.timestamp, duration: chunk.duration ?? 20_000 }, config);
      },
      error: failed,
    });
  }

  encode(data: AudioData): void {
    if (this.#encoder.state === 'closed') return;
    const { numberOfChannels, sampleRate } = data;
    if (numberOfChannels !== this.#channels || sampleRate !== this.#sampleRate) {
      this.#encoder.configure({ codec: 'opus', numberOfChannels, sampleRate, bitrate: AUDIO_BITRATE });
      this.#channels = numberOfChannels;
      this.#sampleRate = sampleRate;
    }
    this.#encoder.encode(data);
  }

  async finish(): Promise<void> {
    if (this.#encoder.state === 'configured') await this.#encoder.flush().catch(() => undefined);
    if (this.#encoder.state !== 'closed') this.#encoder.close();
  }
}

function bytes(source: AllowSharedBufferSource | undefined): Uint8Array | undefined {
  if (!source) return undefined;
  // A copy: the browser may keep its own.
  if (ArrayBuffer.isView(source)) {
    return new Uint8Array(source.buffer, source.byteOffset, source.byteLength).slice();
  }
  return new Uint8Array(source).slice();
}
