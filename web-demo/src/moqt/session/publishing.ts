/// What the peer asks of us: its requests, answered from our published tracks.

import { DoneCode, type MoqtError, RequestCode, SessionCode } from '../errors';
import type { KeptGroup, PublishedTrack } from '../published';
import type { Location, MoqObject, Publication } from '../types';
import { fromUtf8, malformed } from '../wire/bytes';
import { FetchWriter } from '../wire/fetch';
import type { Fetch, Message, Subscribe } from '../wire/message';
import { namespaceText, type TrackBytes } from '../wire/name';
import type { Parameters } from '../wire/parameter';
import { PropertyType, writeProperties } from '../wire/property';
import { MAX_VARINT } from '../wire/varint';
import type { Exchange } from './exchange';
import { PeerIds } from './ids';
import { OutStream } from './out';
import { Serving } from './serving';
import { ignore, sendOrder, type Transport } from './transport';

type OnSubscribe = (name: string) => PublishedTrack | undefined;

const NO_BYTES = new Uint8Array(0);

/** A namespace that was announced. */
export class Announced implements Publication {
  readonly closed: Promise<void>;
  readonly servings = new Set<Serving>();
  #settle: () => void = ignore;
  #over = false;

  constructor(
    readonly namespace: readonly string[],
    readonly onSubscribe: OnSubscribe,
    readonly withdraw: () => void,
  ) {
    this.closed = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  end(): void {
    if (this.#over) return;
    this.#over = true;
    this.withdraw();
    for (const serving of this.servings) serving.finish(DoneCode.trackEnded, 'the broadcast is over').catch(ignore);
    this.#settle();
  }
}

/** All requests of the peer on one session. */
export class Publishing {
  readonly #transport: Transport;
  readonly #fail: (error: MoqtError) => void;
  /** By the fields of their namespace. */
  readonly #announced = new Map<string, Announced>();
  /** The peer's subscriptions by request id, for joining fetches. */
  readonly #servings = new Map<bigint, Serving>();
  /** The peer is a server. */
  readonly #ids = new PeerIds(1n);
  #nextAlias = 0n;

  constructor(transport: Transport, fail: (error: MoqtError) => void) {
    this.#transport = transport;
    this.#fail = fail;
  }

  /** Whether a namespace could be added: each is announced once. */
  add(announced: Announced): boolean {
    const key = JSON.stringify(announced.namespace);
    if (this.#announced.has(key)) return false;
    this.#announced.set(key, announced);
    return true;
  }

  remove(announced: Announced): void {
    this.#announced.delete(JSON.stringify(announced.namespace));
  }

  /** The session is over: nobody is there to be told. */
  stop(): void {
    for (const serving of this.#servings.values()) serving.lose();
    for (const announced of [...this.#announced.values()]) announced.end();
  }

  /** Answers one request of the peer, for as long as it lasts. */
  async serve(exchange: Exchange): Promise<void> {
    const message = await exchange.next();
    if (!message) return;
    const requestId = this.#requestId(message);
    if (requestId === undefined) return;
    switch (message.type) {
      case 'SUBSCRIBE':
        return this.#subscribe(exchange, message);
      case 'TRACK_STATUS':
        return this.#trackStatus(exchange, message);
      case 'FETCH':
        return this.#fetch(exchange, message);
      case 'PUBLISH':
        return refuse(exchange, RequestCode.uninterested, 'tracks are subscribed to here, not taken');
      default:
        return refuse(exchange, RequestCode.notSupported, `${message.type} is not served here`);
    }
  }

  /** The id of a request; whatever else opens a stream, or an id that may not be, ends the session. */
  #requestId(message: Message): bigint | undefined {
    if (!('requestId' in message) || message.type === 'REQUEST_UPDATE' || message.type === 'GOAWAY') {
      this.#fail(malformed(`${message.type} opens a request stream`));
      return undefined;
    }
    if (this.#ids.use(message.requestId)) return message.requestId;
    this.#fail(malformed(`request id ${message.requestId} may not be used`, SessionCode.invalidRequestId));
    return undefined;
  }

  #find(track: TrackBytes): { announced: Announced; track: PublishedTrack } | undefined {
    const namespace = namespaceText(track.namespace);
    const name = fromUtf8(track.name);
    if (!namespace || name === undefined) return undefined;
    const announced = this.#announced.get(JSON.stringify(namespace));
    const found = announced?.onSubscribe(name);
    return announced && found && { announced, track: found };
  }

  async #subscribe(exchange: Exchange, message: Subscribe): Promise<void> {
    const found = this.#find(message.track);
    if (!found) return refuse(exchange, RequestCode.doesNotExist, 'there is no such track');
    const { announced, track } = found;
    const alias = this.#nextAlias++;
    exchange.send({
      type: 'SUBSCRIBE_OK',
      trackAlias: alias,
      parameters: largest(track),
      properties: trackProperties(track),
    });
    const serving = new Serving(this.#transport, exchange, track, alias, message.parameters);
    this.#servings.set(message.requestId, serving);
    announced.servings.add(serving);
    if (track.ended) serving.trackEnd();
    try {
      await Promise.race([exchange.stopped, this.#updates(exchange, serving)]);
    } finally {
      serving.abandon();
      announced.servings.delete(serving);
      this.#servings.delete(message.requestId);
    }
  }

  /** Answers updates until the subscriber resets its direction. Its FIN only says that no update will come. */
  async #updates(exchange: Exchange, serving: Serving): Promise<void> {
    try {
      for (let message = await exchange.next(); message; message = await exchange.next()) {
        if (message.type !== 'REQUEST_UPDATE') {
          this.#fail(malformed(`${message.type} in a subscription`));
          return;
        }
        if (!this.#ids.use(message.requestId)) {
          this.#fail(malformed(`request id ${message.requestId} may not be used`, SessionCode.invalidRequestId));
          return;
        }
        serving.update(message.parameters);
        exchange.send({ type: 'REQUEST_OK', parameters: largest(serving.track), properties: NO_BYTES });
      }
    } catch {
      return;
    }
    await exchange.stopped;
  }

  #trackStatus(exchange: Exchange, message: Subscribe): void {
    const found = this.#find(message.track);
    if (!found) {
      refuse(exchange, RequestCode.doesNotExist, 'there is no such track');
      return;
    }
    const { track } = found;
    exchange.send({ type: 'REQUEST_OK', parameters: largest(track), properties: trackProperties(track) });
    exchange.finish();
  }

  async #fetch(exchange: Exchange, message: Fetch): Promise<void> {
    const range = this.#range(message);
    if ('code' in range) return refuse(exchange, range.code, range.reason);
    const { track, start, end } = range;
    const last = track.largest;
    if (!last || compare(start, last) > 0 || compare(start, end) > 0) {
      return refuse(exchange, RequestCode.invalidRange, 'nothing of that range has been published');
    }
    const clipped = compare(end, last) < 0 ? end : last;
    const whole = clipped.object === MAX_VARINT;
    exchange.send({
      type: 'FETCH_OK',
      endOfTrack: track.ended && compare(end, last) >= 0,
      end: { group: clipped.group, object: whole ? 0n : clipped.object + 1n },
      parameters: {},
      properties: trackProperties(track),
    });
    exchange.finish();
    await this.#send(exchange, message, track, start, clipped);
  }

  /** Writes what is kept of the range; what is not kept any more is said to be unknown. */
  async #send(
    exchange: Exchange,
    message: Fetch,
    track: PublishedTrack,
    start: Location,
    end: Location,
  ): Promise<void> {
    const order = message.parameters.groupOrder ?? 'ascending';
    const priority = message.parameters.subscriberPriority ?? 128;
    const options = { sendOrder: sendOrder(priority, track.priority, start.group) };
    const stream = new OutStream(this.#transport.createUnidirectionalStream(options));
    const now = performance.now();
    const writer = new FetchWriter(order);
    stream.write(writer.header(message.requestId), now);
    const groups = track.kept.filter(({ group }) => group >= start.group && group <= end.group);
    const first = track.kept[0]?.group ?? 0n;
    const gone = start.group < first ? { group: first - 1n, object: MAX_VARINT } : undefined;
    const unknown = () => gone && stream.write(writer.marker({ kind: 'unknown', location: gone }), now);
    if (order === 'ascending') unknown();
    for (const group of order === 'ascending' ? groups : groups.reverse()) {
      for (const object of within(group, start, end)) {
        const { subgroup, priority, payload } = object;
        const properties = writeProperties(object.properties);
        const location = { group: object.group, object: object.object };
        stream.write(writer.object({ location, subgroup, priority, properties }, payload.length), now);
        stream.write(payload, now);
      }
    }
    stream.close();
    // A reset of the request gives up its stream as well; its FIN does not.
    exchange.next().catch(() => stream.reset(0x1));
    await stream.settled;
  }

  #range(message: Fetch): { track: PublishedTrack; start: Location; end: Location } | { code: number; reason: string } {
    const { range } = message;
    if (range.kind === 'standalone') {
      const found = this.#find(range.track);
      if (!found) return { code: RequestCode.doesNotExist, reason: 'there is no such track' };
      const { group, object } = range.end;
      return {
        track: found.track,
        start: range.start,
        end: { group, object: object === 0n ? MAX_VARINT : object - 1n },
      };
    }
    const serving = this.#servings.get(range.subscription);
    if (!serving) return { code: RequestCode.invalidJoiningRequestId, reason: 'there is no such subscription' };
    const end = serving.joinedAt;
    if (!end || !serving.forward) return { code: RequestCode.invalidRange, reason: 'nothing was published before' };
    const back = range.kind === 'relative-joining' ? end.group - range.groups : range.group;
    return { track: serving.track, start: { group: back < 0n ? 0n : back, object: 0n }, end };
  }
}

function within(kept: KeptGroup, start: Location, end: Location): MoqObject[] {
  return kept.objects.filter((object) => compare(object, start) >= 0 && compare(object, end) <= 0);
}

function compare(a: Location, b: Location): number {
  if (a.group !== b.group) return a.group < b.group ? -1 : 1;
  return a.object < b.object ? -1 : a.object > b.object ? 1 : 0;
}

function largest(track: PublishedTrack): Parameters {
  return track.largest ? { largestObject: track.largest } : {};
}

function trackProperties(track: PublishedTrack): Uint8Array {
  return writeProperties(new Map([[PropertyType.defaultPublisherPriority, BigInt(track.priority)]]));
}

function refuse(exchange: Exchange, code: number, reason: string): void {
  exchange.send({ type: 'REQUEST_ERROR', code: BigInt(code), reason });
  exchange.finish();
}
