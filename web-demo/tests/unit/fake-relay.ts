/// The other end of a session, scripted by a test: a transport in memory, and the relay's side of its streams.

import type { Bytes } from '../../src/moqt';
import { MoqtSession } from '../../src/moqt/session/session';
import type { BidirectionalStream, CloseInfo, Transport } from '../../src/moqt/session/transport';
import { encodeMessage } from '../../src/moqt/wire/encode';
import type { Message } from '../../src/moqt/wire/message';
import { ByteSource } from '../../src/moqt/wire/source';

type Pipe = { readable: ReadableStream<Bytes>; writable: WritableStream<Bytes> };

/** Holds `chunks` writes before the writer has to wait for the reader. */
function pipe(chunks = 1024): Pipe {
  return new TransformStream<Bytes, Bytes>(undefined, { highWaterMark: 1 }, { highWaterMark: chunks });
}

/** Values that come one by one. */
class Inbox<T> {
  readonly #values: T[] = [];
  readonly #waiting: ((value: T) => void)[] = [];

  put(value: T): void {
    const waiting = this.#waiting.shift();
    if (waiting) waiting(value);
    else this.#values.push(value);
  }

  take(): Promise<T> {
    const value = this.#values.shift();
    return value === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(value);
  }
}

function resetError(code: number): Error {
  return Object.assign(new Error('reset by the relay'), { source: 'stream', streamErrorCode: code });
}

/** The relay's side of one stream. */
export class RelayStream {
  readonly source: ByteSource;
  readonly #reader: ReadableStreamDefaultReader<Bytes> | undefined;
  readonly #writer: WritableStreamDefaultWriter<Bytes> | undefined;

  constructor(readable: ReadableStream<Bytes> | undefined, writable: WritableStream<Bytes> | undefined) {
    const reader = readable?.getReader();
    this.#reader = reader;
    this.#writer = writable?.getWriter();
    this.#writer?.closed.catch(() => undefined);
    this.source = new ByteSource(async () => (await reader?.read())?.value);
  }

  /** The next message of a request; fails if there is none. */
  async message<T extends Message['type']>(type: T): Promise<Extract<Message, { type: T }>> {
    const message = await this.source.message('request');
    if (message?.type !== type) throw new Error(`${message?.type} instead of ${type}`);
    return message as Extract<Message, { type: T }>;
  }

  send(message: Message): void {
    this.write(encodeMessage(message));
  }

  write(bytes: Bytes): void {
    this.#writer?.write(bytes).catch(() => undefined);
  }

  finish(): void {
    this.#writer?.close().catch(() => undefined);
  }

  reset(code: number): void {
    this.#writer?.abort(resetError(code)).catch(() => undefined);
  }

  stop(code: number): void {
    this.#reader?.cancel(resetError(code)).catch(() => undefined);
  }

  /** Settles with the code with which the session stopped what the relay sends. */
  stopped(): Promise<number> {
    return (this.#writer?.closed ?? Promise.reject(new Error('nothing is sent here'))).then(
      () => Promise.reject(new Error('it was finished')),
      (error: { streamErrorCode: number }) => error.streamErrorCode,
    );
  }
}

export class FakeRelay implements Transport {
  readonly closed: Promise<CloseInfo>;
  readonly incomingBidirectionalStreams: ReadableStream<BidirectionalStream>;
  readonly incomingUnidirectionalStreams: ReadableStream<ReadableStream<Bytes>>;
  readonly #requests = new Inbox<RelayStream>();
  readonly #streams = new Inbox<RelayStream>();
  #openRequest: (stream: BidirectionalStream) => void = () => undefined;
  #openStream: (stream: ReadableStream<Bytes>) => void = () => undefined;
  #settle: (info: CloseInfo) => void = () => undefined;
  /** Writes that a data stream of the session may have under way. */
  streamChunks = 1024;
  endedWith: CloseInfo | undefined;

  constructor() {
    this.closed = new Promise((resolve) => {
      this.#settle = resolve;
    });
    this.incomingBidirectionalStreams = new ReadableStream({
      start: (controller) => {
        this.#openRequest = (stream) => controller.enqueue(stream);
      },
    });
    this.incomingUnidirectionalStreams = new ReadableStream({
      start: (controller) => {
        this.#openStream = (stream) => controller.enqueue(stream);
      },
    });
  }

  async createBidirectionalStream(): Promise<BidirectionalStream> {
    const [up, down] = [pipe(), pipe()];
    this.#requests.put(new RelayStream(up.readable, down.writable));
    return { readable: down.readable, writable: up.writable };
  }

  async createUnidirectionalStream(): Promise<WritableStream<Bytes>> {
    const { readable, writable } = pipe(this.streamChunks);
    this.#streams.put(new RelayStream(readable, undefined));
    return writable;
  }

  close(info: CloseInfo = {}): void {
    this.endedWith ??= info;
    this.#settle(info);
  }

  /** The next request of the session. */
  request(): Promise<RelayStream> {
    return this.#requests.take();
  }

  /** The next unidirectional stream of the session. */
  stream(): Promise<RelayStream> {
    return this.#streams.take();
  }

  openRequest(): RelayStream {
    const [up, down] = [pipe(), pipe()];
    this.#openRequest({ readable: down.readable, writable: up.writable });
    return new RelayStream(up.readable, down.writable);
  }

  openStream(): RelayStream {
    const { readable, writable } = pipe();
    this.#openStream(readable);
    return new RelayStream(undefined, writable);
  }
}

const NOTHING = new Uint8Array(0);

/** A session that has shaken hands with a scripted relay, whose question for the round trip is out of the way. */
export async function session(options: { readonly token?: string } = {}) {
  const relay = new FakeRelay();
  const session = new MoqtSession('https://relay.test/', relay, options);
  const theirs = await relay.stream();
  const setup = await theirs.source.message('control');
  const control = relay.openStream();
  control.send({ type: 'SETUP', tokens: [], implementation: new TextEncoder().encode('fake'), extensions: NOTHING });
  await session.ready;
  const ping = await relay.request();
  await ping.message('TRACK_STATUS');
  ping.send({ type: 'REQUEST_ERROR', code: 0x10n, reason: '' });
  ping.finish();
  return { relay, session, control, setup };
}
