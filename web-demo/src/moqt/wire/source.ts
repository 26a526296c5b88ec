/// The bytes of one incoming stream, read field by field as they arrive.
///
/// A head (message frame, object header) is parsed from what has arrived; when that is too short, more is awaited and the
/// parse starts again. What is held is bounded by the longest head; payloads are taken piece by piece.

import type { Bytes } from '../types';
import { malformed, Reader, TRUNCATED } from './bytes';
import { checkType, decodeMessage } from './decode';
import type { Message, StreamKind } from './message';

/** Gives the next bytes; `undefined` at the FIN. Rejects when the stream is reset. */
export type Pull = () => Promise<Bytes | undefined>;

export class ByteSource {
  #held: Uint8Array<ArrayBufferLike> = new Uint8Array(0);
  #start = 0;
  #end = 0;
  #pull: Pull;
  #ended = false;

  constructor(pull: Pull) {
    this.#pull = pull;
  }

  /** One head; `undefined` if the stream ended before its first byte. A FIN inside a head is malformed. */
  async head<T>(parse: (reader: Reader) => T): Promise<T | undefined> {
    for (;;) {
      if (this.#end > this.#start) {
        const reader = new Reader(this.#held.subarray(this.#start, this.#end));
        try {
          const value = parse(reader);
          this.#start += reader.position;
          return value;
        } catch (error) {
          if (error !== TRUNCATED) throw error;
        }
      }
      if (!(await this.#more())) {
        if (this.#end > this.#start) throw malformed('the stream ends inside a head');
        return undefined;
      }
    }
  }

  /** What `head` would give, without taking it from the stream. */
  async peek<T>(parse: (reader: Reader) => T): Promise<T | undefined> {
    let length = 0;
    const value = await this.head((reader) => {
      const parsed = parse(reader);
      length = reader.position;
      return parsed;
    });
    if (value !== undefined) this.#start -= length;
    return value;
  }

  /** The next `length` bytes, in memory of their own. Memory grows with what arrives, not with what is announced. */
  async payload(length: number): Promise<Bytes> {
    const here = Math.min(length, this.#end - this.#start);
    const first = this.#held.slice(this.#start, this.#start + here);
    this.#start += here;
    if (here === length) return first;
    const pieces: Bytes[] = [first];
    let missing = length - here;
    while (missing > 0) {
      if (!(await this.#more())) throw malformed('the stream ends inside a payload');
      const piece = this.#held.slice(this.#start, Math.min(this.#end, this.#start + missing));
      this.#start += piece.length;
      missing -= piece.length;
      pieces.push(piece);
    }
    return concat(pieces, length);
  }

  /** The next message; `undefined` at the FIN. */
  message(stream: StreamKind): Promise<Message | undefined> {
    return this.head((reader) => {
      const type = reader.varint();
      checkType(type, stream);
      const length = (reader.u8() << 8) | reader.u8();
      const body = reader.slice(length);
      try {
        // A copy: what the message refers to outlives the buffer.
        return decodeMessage(type, body.slice(), stream);
      } catch (error) {
        // The body is all there, so what is missing inside it will not come.
        throw error === TRUNCATED ? malformed('a message ends in the middle of a field') : error;
      }
    });
  }

  async #more(): Promise<boolean> {
    if (this.#ended) return false;
    const piece = await this.#pull();
    if (piece === undefined) {
      this.#ended = true;
      return false;
    }
    this.#append(piece);
    return true;
  }

  #append(piece: Bytes): void {
    const kept = this.#end - this.#start;
    if (kept === 0) {
      // Nothing is copied in the common case: heads are read in place.
      this.#held = piece;
      this.#start = 0;
      this.#end = piece.length;
      return;
    }
    const grown = new Uint8Array(kept + Math.max(piece.length, kept));
    grown.set(this.#held.subarray(this.#start, this.#end));
    grown.set(piece, kept);
    this.#held = grown;
    this.#start = 0;
    this.#end = kept + piece.length;
  }
}

function concat(pieces: readonly Bytes[], length: number): Bytes {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
