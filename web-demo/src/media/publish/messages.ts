/// What the publish page and its worker say to each other. The page owns devices and words, the worker everything that must not stutter.

import type { Packaging } from './catalog';
import type { CodecFamily } from './ladder';

/** What to publish, and where. */
export interface Settings {
  /** The relay's address, `https://host:port/`. */
  readonly relay: string;
  /** SHA-256 of certificates in hexadecimal, from the page's address; empty: what the relay tells is used. */
  readonly certificateHashes: readonly string[];
  readonly token: string | undefined;
  readonly namespace: readonly string[];
  readonly packaging: Packaging;
  /** `undefined`: the best that the browser encodes. */
  readonly codec: CodecFamily | undefined;
  /** Lines of the best rendition. */
  readonly height: number;
  readonly framerate: number;
  readonly simulcast: boolean;
  readonly temporalLayers: boolean;
}

/** Where frames come from. */
export type Source =
  | { readonly kind: 'pattern' }
  | {
      readonly kind: 'tracks';
      readonly video: ReadableStream<VideoFrame> | undefined;
      readonly audio: ReadableStream<AudioData> | undefined;
    };

export type ToWorker =
  /** Where the pattern is shown, once. */
  | { readonly kind: 'canvas'; readonly canvas: OffscreenCanvas }
  /** Draws the pattern, or stops to. */
  | { readonly kind: 'pattern'; readonly on: boolean }
  | { readonly kind: 'start'; readonly show: number; readonly settings: Settings; readonly source: Source }
  | { readonly kind: 'mute'; readonly muted: boolean }
  | { readonly kind: 'stop' };

export interface Statistics {
  /** Bits per second over the last second, of all tracks. */
  readonly bitrate: number;
  /** Share of the nominal bitrate that the encoders may use now. */
  readonly share: number;
  readonly frames: number;
  readonly framesDropped: number;
  readonly groups: number;
  /** Tracks with media, and how many of them the relay reads: one that nobody watches it leaves alone. */
  readonly tracks: number;
  readonly tracksRead: number;
  readonly rtt: number | undefined;
  readonly renditions: readonly { readonly codec: string; readonly width: number; readonly height: number }[];
}

export type FromWorker =
  | { readonly kind: 'connecting'; readonly again: boolean }
  | { readonly kind: 'live'; readonly relay: string }
  /** The broadcast goes on, the user should know. */
  | { readonly kind: 'warning'; readonly message: string }
  /** The broadcast is over. */
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'statistics'; readonly statistics: Statistics };

/** A message of the broadcast that was started as number `show`. */
export interface Told {
  readonly show: number;
  readonly message: FromWorker;
}
