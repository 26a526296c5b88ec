/// What a session needs of a transport: the streams of WebTransport, and nothing of its datagrams.

import { MoqtError, StreamCode } from '../errors';
import type { Bytes } from '../types';
import { ByteSource } from '../wire/source';

export interface BidirectionalStream {
  readonly readable: ReadableStream<Bytes>;
  readonly writable: WritableStream<Bytes>;
}

export interface CloseInfo {
  readonly closeCode?: number;
  readonly reason?: string;
}

/** Higher orders are sent first where the browser knows about them. */
export interface StreamOptions {
  readonly sendOrder?: number;
}

/** The part of the browser's WebTransport that a session uses; tests bring their own. */
export interface Transport {
  readonly closed: Promise<CloseInfo>;
  readonly incomingBidirectionalStreams: ReadableStream<BidirectionalStream>;
  readonly incomingUnidirectionalStreams: ReadableStream<ReadableStream<Bytes>>;
  createBidirectionalStream(options?: StreamOptions): Promise<BidirectionalStream>;
  createUnidirectionalStream(options?: StreamOptions): Promise<WritableStream<Bytes>>;
  close(info?: CloseInfo): void;
}

/** Orders of what is not a subgroup: control before requests before any data. */
export const ORDER_CONTROL = Number.MAX_SAFE_INTEGER;
export const ORDER_REQUEST = ORDER_CONTROL - 1;

/** Subscriber priority before publisher priority, then older groups first (draft section "Priorities"). */
export function sendOrder(subscriberPriority: number, publisherPriority: number, group: bigint): number {
  const urgency = subscriberPriority * 256 + publisherPriority;
  return -(urgency * 2 ** 32 + Number(group & 0xffff_ffffn));
}

interface StreamErrorConstructor {
  new (message: string, options: { source: 'stream'; streamErrorCode: number }): Error;
  new (init: { message: string; streamErrorCode: number }): Error;
}

/** The reason with which a stream is reset or stopped so that the peer sees `code`. */
export function streamError(code: number, message: string): unknown {
  const Constructor = (globalThis as unknown as { WebTransportError?: StreamErrorConstructor }).WebTransportError;
  if (!Constructor) return Object.assign(new Error(message), { streamErrorCode: code });
  try {
    return new Constructor(message, { source: 'stream', streamErrorCode: code });
  } catch {
    // Chromium still has the constructor of an earlier draft of WebTransport, which takes all in one.
    return new Constructor({ message, streamErrorCode: code });
  }
}

/** What became of a stream, in our words. */
export function cut(error: unknown): MoqtError {
  if (error instanceof MoqtError) return error;
  const { streamErrorCode, source } = (error ?? {}) as { streamErrorCode?: unknown; source?: unknown };
  if (source === 'session') return new MoqtError('session', StreamCode.sessionClosed, 'the session is over');
  const code = typeof streamErrorCode === 'number' ? streamErrorCode : StreamCode.internalError;
  return new MoqtError('cut', code, `the stream was cut (${codeName(code)})`);
}

function codeName(code: number): string {
  return Object.entries(StreamCode).find(([, value]) => value === code)?.[0] ?? `code ${code}`;
}

/** An incoming stream: its bytes, and a way to refuse the rest. */
export class InStream {
  readonly source: ByteSource;
  readonly #reader: ReadableStreamDefaultReader<Bytes>;

  constructor(stream: ReadableStream<Bytes>) {
    const reader = stream.getReader();
    this.#reader = reader;
    this.source = new ByteSource(async () => {
      const { done, value } = await reader.read();
      return done ? undefined : value;
    });
  }

  /** STOP_SENDING; harmless on a stream that is over. */
  stop(code: number): void {
    this.#reader.cancel(streamError(code, 'not wanted any more')).catch(ignore);
  }
}

/** For promises whose failure is seen elsewhere. */
export function ignore(): void {}
