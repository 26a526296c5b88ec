/// One request: a bidirectional stream on which messages go both ways.

import { MoqtError } from '../errors';
import { encodeMessage } from '../wire/encode';
import type { Message, RequestError } from '../wire/message';
import { type BidirectionalStream, cut, InStream, ignore, streamError } from './transport';

export class Exchange {
  readonly #in: InStream;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #onMalformed: (error: MoqtError) => void;

  /** `onMalformed` hears of what the peer did wrong, which ends the session. */
  constructor(stream: BidirectionalStream, onMalformed: (error: MoqtError) => void) {
    this.#in = new InStream(stream.readable);
    this.#writer = stream.writable.getWriter();
    this.#onMalformed = onMalformed;
    // Settles with the stream; `stopped` looks at it when somebody cares.
    this.#writer.closed.catch(ignore);
  }

  /** Settles when the peer wants to hear no more; never rejects, and stays open while it does. */
  get stopped(): Promise<void> {
    return this.#writer.closed.then(ignore, ignore);
  }

  send(message: Message): void {
    this.#writer.write(encodeMessage(message)).catch(ignore);
  }

  /** FIN of our direction, after what was sent. */
  finish(): void {
    this.#writer.close().catch(ignore);
  }

  /** The peer's next message; `undefined` at its FIN. Rejects with MoqtError when the stream is cut. */
  async next(): Promise<Message | undefined> {
    try {
      return await this.#in.source.message('request');
    } catch (error) {
      const reason = cut(error);
      if (reason.kind === 'malformed') this.#onMalformed(reason);
      throw reason;
    }
  }

  /** The peer's answer, if it is of type `wanted`; rejects with MoqtError if the peer refuses. */
  async answer<T extends Message['type']>(wanted: T): Promise<Extract<Message, { type: T }>> {
    const message = await this.next();
    if (message?.type === wanted) return message as Extract<Message, { type: T }>;
    if (message?.type === 'REQUEST_ERROR') throw refusal(message);
    if (!message) throw new MoqtError('cut', 0, 'the peer ended the request without an answer');
    const error = new MoqtError('malformed', 3, `${message.type} where ${wanted} should be`);
    this.#onMalformed(error);
    throw error;
  }

  /** Gives the request up, both directions. */
  cancel(code: number): void {
    this.#in.stop(code);
    this.#writer.abort(streamError(code, 'cancelled')).catch(ignore);
  }
}

function refusal({ code, reason, retryAfterMs }: RequestError): MoqtError {
  const words = reason === '' ? `the peer refused (code 0x${code.toString(16)})` : reason;
  return new MoqtError('refused', Number(code), words, retryAfterMs === undefined ? undefined : Number(retryAfterMs));
}
