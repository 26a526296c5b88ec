/// A way to a relay that delays and loses datagrams, or carries none. Pages come over TCP on the same port, untouched, so
/// that a browser finds pages and WebTransport at one origin, as at the relay itself. What is lost is chosen by a seed.
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket as Stream } from 'node:net';

export interface Weather {
  /** One way, in milliseconds. */
  readonly delayMs?: number;
  /** Share of datagrams that are lost each way, 0 to 1. */
  readonly loss?: number;
  /** Nothing passes, and nobody is told. */
  readonly cut?: boolean;
}

const SEED = 0x2545f491;

export class Link {
  weather: Weather;
  /** Datagrams that were lost by `loss`. */
  lost = 0;
  readonly #relay: number;
  readonly #outside: Socket;
  readonly #pages: Server;
  /** One socket towards the relay for each end that dials. */
  readonly #inside = new Map<string, Socket>();
  readonly #streams = new Set<Stream>();
  readonly #random = generator(SEED);

  private constructor(relay: number, weather: Weather, outside: Socket, pages: Server) {
    this.#relay = relay;
    this.weather = weather;
    this.#outside = outside;
    this.#pages = pages;
    outside.on('message', (datagram, from) => this.#inwards(datagram, from));
    pages.on('connection', (stream) => this.#carry(stream));
  }

  /** Stands before the relay at `port` of this machine. */
  static async start(port: number, weather: Weather): Promise<Link> {
    const pages = createServer().listen(0, '::');
    await once(pages, 'listening');
    const outside = createSocket('udp6').bind((pages.address() as AddressInfo).port, '::');
    await once(outside, 'listening');
    return new Link(port, weather, outside, pages);
  }

  get port(): number {
    return this.#outside.address().port;
  }

  /** Where the relay's pages are at this end, without a slash at the end. */
  get page(): string {
    return `http://localhost:${this.port}`;
  }

  async stop(): Promise<void> {
    for (const socket of [this.#outside, ...this.#inside.values()]) socket.close();
    for (const stream of this.#streams) stream.destroy();
    this.#pages.close();
    await once(this.#pages, 'close');
  }

  #inwards(datagram: Buffer, { address, port }: RemoteInfo): void {
    const key = `${address} ${port}`;
    const socket = this.#inside.get(key) ?? createSocket('udp4');
    if (!this.#inside.has(key)) {
      this.#inside.set(key, socket);
      socket.on('message', (answer) => this.#pass(() => this.#outside.send(answer, port, address)));
      // A relay that is gone: as on a real way, nobody is told.
      socket.on('error', () => {});
    }
    this.#pass(() => socket.send(datagram, this.#relay, '127.0.0.1'));
  }

  #pass(send: () => void): void {
    const { delayMs = 0, loss = 0, cut = false } = this.weather;
    if (cut) return;
    if (this.#random() < loss) {
      this.lost += 1;
      return;
    }
    setTimeout(() => {
      try {
        send();
      } catch {
        // The link has ended meanwhile.
      }
    }, delayMs);
  }

  #carry(stream: Stream): void {
    const onwards = connect(this.#relay, '127.0.0.1');
    for (const [one, other] of [
      [stream, onwards],
      [onwards, stream],
    ] as const) {
      this.#streams.add(one);
      one.pipe(other);
      one.on('error', () => other.destroy());
      one.on('close', () => this.#streams.delete(one));
    }
  }
}

/** Numbers from 0 to 1, the same for the same seed (xorshift, Marsaglia 2003). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
