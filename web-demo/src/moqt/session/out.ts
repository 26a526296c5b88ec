/// An outgoing stream whose bytes wait here until the transport takes them, so that what waits can be measured and dropped.

import type { Bytes } from '../types';
import { ignore, streamError } from './transport';

interface Chunk {
  readonly bytes: Bytes;
  /** When it was written, in ms of the caller's clock. */
  readonly at: number;
}

export class OutStream {
  readonly #chunks: Chunk[] = [];
  #pending = 0;
  #wake: (() => void) | undefined;
  #state: 'open' | 'closing' | 'over' = 'open';
  #abort: ((code: number) => void) | undefined;
  #resetCode: number | undefined;
  /** Settles once the stream is finished, reset or stopped by the peer; never rejects. `true`: everything was delivered. */
  readonly settled: Promise<boolean>;

  constructor(open: Promise<WritableStream<Bytes>>) {
    this.settled = this.#run(open);
  }

  /** Bytes the transport has not taken. */
  get pending(): number {
    return this.#pending;
  }

  /** When the oldest of them was written; `undefined`: nothing waits. */
  get waitingSince(): number | undefined {
    return this.#chunks[0]?.at;
  }

  get over(): boolean {
    return this.#state === 'over';
  }

  write(bytes: Bytes, at: number): void {
    if (this.#state !== 'open') return;
    this.#chunks.push({ bytes, at });
    this.#pending += bytes.length;
    this.#wake?.();
  }

  /** FIN, after what waits. */
  close(): void {
    if (this.#state !== 'open') return;
    this.#state = 'closing';
    this.#wake?.();
  }

  /** RESET_STREAM: what waits is dropped. */
  reset(code: number): void {
    if (this.#state === 'over') return;
    this.#finish();
    this.#resetCode = code;
    this.#abort?.(code);
    this.#wake?.();
  }

  /**
   * The session is over: what waits is dropped, and the transport ends the stream. It is not reset: Chromium 156 ends the whole
   * page if a stream is aborted whose write still waits while its session closes.
   */
  forget(): void {
    this.#stopped();
  }

  async #run(open: Promise<WritableStream<Bytes>>): Promise<boolean> {
    try {
      const writer = (await open).getWriter();
      writer.closed.catch(() => this.#stopped());
      this.#abort = (code) => void writer.abort(streamError(code, 'reset')).catch(ignore);
      if (this.#resetCode !== undefined) this.#abort(this.#resetCode);
      while (!this.over) {
        const chunk = this.#chunks[0];
        if (chunk) {
          await writer.write(chunk.bytes);
          // A reset in between has dropped it already.
          if (this.#chunks[0] === chunk) this.#chunks.shift();
          this.#pending = Math.max(0, this.#pending - chunk.bytes.length);
        } else if (this.#state === 'closing') {
          this.#finish();
          await writer.close();
          return true;
        } else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        }
      }
    } catch {
      // The peer stopped the stream or the session is over; who writes sees `over`.
      this.#finish();
    }
    return false;
  }

  #stopped(): void {
    this.#finish();
    this.#wake?.();
  }

  #finish(): void {
    this.#state = 'over';
    this.#chunks.length = 0;
    this.#pending = 0;
  }
}
