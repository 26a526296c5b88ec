/// A session: the control streams, requests both ways, and who gets which stream (draft section "Session").

import { MoqtError, RequestCode, SessionCode, StreamCode } from '../errors';
import type { PublishedTrack } from '../published';
import type {
  FetchOptions,
  FullTrackName,
  Location,
  Namespaces,
  ObjectReader,
  Publication,
  Session,
  SessionEnd,
  SubscribeOptions,
  Subscription,
} from '../types';
import { lossyText, malformed, utf8 } from '../wire/bytes';
import { encodeMessage } from '../wire/encode';
import type { FetchRange, Message } from '../wire/message';
import { namespaceBytes, type TrackBytes, trackBytes } from '../wire/name';
import type { Parameters } from '../wire/parameter';
import { MAX_VARINT } from '../wire/varint';
import { Exchange } from './exchange';
import { Fetching } from './fetching';
import { Incoming } from './incoming';
import { NamespaceWatch } from './namespaces';
import { Past } from './past';
import { Announced, Publishing } from './publishing';
import { RoundTrips } from './rtt';
import { LiveSubscription } from './subscription';
import {
  type BidirectionalStream,
  type CloseInfo,
  cut,
  InStream,
  ignore,
  ORDER_CONTROL,
  ORDER_REQUEST,
  type Transport,
} from './transport';

const IMPLEMENTATION = 'headwater-web';
const MAX_BYTES = 8 * 1024 * 1024;
/** How long a group of a joined track is waited for when a later one is there. */
const PATIENCE_MS = 500;
/** Requests of the peer that are answered at the same time; more are turned away. */
const MAX_REQUESTS = 1024;

export class MoqtSession implements Session {
  readonly closed: Promise<SessionEnd>;
  readonly goaway: Promise<{ readonly uri: string; readonly timeoutMs: number }>;
  /** Settles with the peer's SETUP; rejects if the session ends before it. */
  readonly ready: Promise<void>;
  implementation: string | undefined;

  readonly #transport: Transport;
  readonly #incoming: Incoming;
  readonly #publishing: Publishing;
  readonly #rtt: RoundTrips;
  #nextRequestId = 0n;
  #serving = 0;
  #hasControl = false;
  #goingAway = false;
  #end: SessionEnd | undefined;
  #settleClosed: (end: SessionEnd) => void = ignore;
  #settleGoaway: (move: { uri: string; timeoutMs: number }) => void = ignore;
  #settleReady: () => void = ignore;
  #failReady: (error: MoqtError) => void = ignore;

  constructor(
    readonly url: string,
    transport: Transport,
    options: { readonly token?: string } = {},
  ) {
    this.#transport = transport;
    this.closed = new Promise((resolve) => {
      this.#settleClosed = resolve;
    });
    this.goaway = new Promise((resolve) => {
      this.#settleGoaway = resolve;
    });
    this.ready = new Promise((resolve, reject) => {
      this.#settleReady = resolve;
      this.#failReady = reject;
    });
    this.ready.catch(ignore);
    const fail = (error: MoqtError) => this.#fail(error);
    this.#publishing = new Publishing(transport, fail);
    this.#incoming = new Incoming(fail, (stream) => void this.#readControl(stream));
    this.#rtt = new RoundTrips(() => this.#ask());
    transport.closed.then(
      (info) => this.#over(info, true),
      (error) => this.#over({ closeCode: SessionCode.internalError, reason: wordsOf(error) }, true),
    );
    this.#sendSetup(options.token).catch((error) => this.#fail(cut(error)));
    this.#acceptData().catch(ignore);
    this.#acceptRequests().catch(ignore);
  }

  get rtt(): number | undefined {
    return this.#rtt.latest;
  }

  ping(): Promise<number> {
    return this.#rtt.measure();
  }

  close(code: number = SessionCode.noError, reason = ''): void {
    if (this.#end) return;
    this.#transport.close({ closeCode: code, reason });
    this.#over({ closeCode: code, reason }, false);
  }

  async subscribe(track: FullTrackName, options: SubscribeOptions = {}): Promise<Subscription> {
    const { accepted } = await this.#subscribe(trackBytes(track), options, undefined);
    return accepted;
  }

  async join(
    track: FullTrackName,
    options: SubscribeOptions & { readonly groups?: number } = {},
  ): Promise<Subscription> {
    const { accepted } = await this.#subscribe(trackBytes(track), options, BigInt(options.groups ?? 0));
    return accepted;
  }

  async fetch(track: FullTrackName, start: Location, end: Location, options: FetchOptions = {}): Promise<ObjectReader> {
    const { group, object } = end;
    const range: FetchRange = {
      kind: 'standalone',
      track: trackBytes(track),
      start,
      end: { group, object: object >= MAX_VARINT ? 0n : object + 1n },
    };
    const fetching = await this.#fetch(range, options);
    await fetching.accepted;
    return fetching;
  }

  namespaces(prefix: readonly string[]): Namespaces {
    const namespace = namespaceBytes(prefix);
    const exchange = this.#request((requestId) => ({
      type: 'SUBSCRIBE_NAMESPACE',
      requestId,
      namespace,
      parameters: {},
    }));
    return new NamespaceWatch(
      prefix,
      exchange.then(({ exchange }) => exchange),
    );
  }

  async publishNamespace(
    namespace: readonly string[],
    onSubscribe: (name: string) => PublishedTrack | undefined,
  ): Promise<Publication> {
    const bytes = namespaceBytes(namespace);
    let request: Exchange | undefined;
    const announced: Announced = new Announced([...namespace], onSubscribe, () => {
      this.#publishing.remove(announced);
      if (!this.#end) request?.cancel(StreamCode.cancelled);
    });
    // Before the answer: subscriptions may overtake it.
    if (!this.#publishing.add(announced)) throw new MoqtError('usage', 0, 'this namespace is published already');
    try {
      const { exchange } = await this.#request((requestId) => ({
        type: 'PUBLISH_NAMESPACE',
        requestId,
        namespace: bytes,
        parameters: {},
      }));
      request = exchange;
      await exchange.answer('REQUEST_OK');
      this.#untilWithdrawn(exchange, announced).catch(ignore);
    } catch (error) {
      announced.end();
      throw cut(error);
    }
    return announced;
  }

  /** The peer ends the request when it gives the namespace up. */
  async #untilWithdrawn(exchange: Exchange, announced: Announced): Promise<void> {
    try {
      while (await exchange.next());
    } finally {
      announced.end();
    }
  }

  async #subscribe(
    track: TrackBytes,
    options: SubscribeOptions,
    groups: bigint | undefined,
  ): Promise<{ accepted: LiveSubscription }> {
    const parameters: Parameters = {
      ...priority(options.priority),
      ...(options.rendezvousMs !== undefined && { rendezvousTimeout: BigInt(Math.ceil(options.rendezvousMs)) }),
      ...(options.deliveryTimeoutMs !== undefined && {
        objectDeliveryTimeout: BigInt(Math.ceil(options.deliveryTimeoutMs)),
      }),
    };
    options.signal?.throwIfAborted();
    const { exchange, requestId } = await this.#request((requestId) => ({
      type: 'SUBSCRIBE',
      requestId,
      track,
      parameters,
    }));
    // Sent along with SUBSCRIBE, which saves a round trip: the peer holds it until the subscription stands.
    const range = groups === undefined ? undefined : joining(requestId, groups);
    const past = range && this.#fetch(range, priorityOf(options));
    past?.catch(ignore);
    const abort = () => exchange.cancel(StreamCode.cancelled);
    options.signal?.addEventListener('abort', abort, { once: true });
    try {
      const answer = await exchange.answer('SUBSCRIBE_OK');
      // Where nothing was published there is no past.
      if (!answer.parameters.largestObject) past?.then((fetching) => fetching.cancel(), ignore);
      const retry = () => (range ? this.#fetch(range, priorityOf(options)) : undefined);
      const subscription: LiveSubscription = new LiveSubscription(
        exchange,
        answer,
        {
          maxBytes: options.maxBytes ?? MAX_BYTES,
          order: groups === undefined ? 'arrival' : 'groups',
          patienceMs: PATIENCE_MS,
        },
        past && answer.parameters.largestObject ? new Past(past, retry) : undefined,
        {
          onMalformed: (error) => this.#fail(error),
          onOver: () => {
            this.#incoming.removeSubscription(subscription.alias);
            options.signal?.removeEventListener('abort', onAbort);
          },
        },
      );
      const onAbort = () => subscription.cancel();
      options.signal?.removeEventListener('abort', abort);
      options.signal?.addEventListener('abort', onAbort, { once: true });
      if (!this.#incoming.addSubscription(subscription)) {
        throw malformed(`track alias ${subscription.alias} twice`, SessionCode.duplicateTrackAlias);
      }
      return { accepted: subscription };
    } catch (error) {
      options.signal?.removeEventListener('abort', abort);
      past?.then((fetching) => fetching.cancel(), ignore);
      const reason = cut(error);
      if (reason.kind === 'malformed') this.#fail(reason);
      throw reason;
    }
  }

  async #fetch(range: FetchRange, options: FetchOptions): Promise<Fetching> {
    options.signal?.throwIfAborted();
    const order = options.order ?? 'ascending';
    const parameters: Parameters = {
      ...priority(options.priority),
      ...(order === 'descending' && { groupOrder: order }),
    };
    let fetching: Fetching | undefined;
    const abort = () => fetching?.cancel();
    await this.#request(
      (requestId) => ({ type: 'FETCH', requestId, range, parameters }),
      (exchange, requestId) => {
        fetching = new Fetching(exchange, order, {
          onMalformed: (error) => this.#fail(error),
          onOver: () => {
            this.#incoming.removeFetch(requestId);
            options.signal?.removeEventListener('abort', abort);
          },
        });
        this.#incoming.addFetch(requestId, fetching);
      },
    );
    options.signal?.addEventListener('abort', abort, { once: true });
    if (!fetching) throw new MoqtError('session', SessionCode.internalError, 'the request was not made');
    return fetching;
  }

  /** Opens a request. `before` sees it before a byte is sent, so that nothing the peer answers can come too early. */
  async #request(
    message: (requestId: bigint) => Message,
    before: (exchange: Exchange, requestId: bigint) => void = ignore,
  ): Promise<{ exchange: Exchange; requestId: bigint }> {
    this.#check();
    const requestId = this.#nextRequestId;
    const built = message(requestId);
    this.#nextRequestId += 2n;
    let stream: BidirectionalStream;
    try {
      stream = await this.#transport.createBidirectionalStream({ sendOrder: ORDER_REQUEST });
    } catch (error) {
      throw this.#ended() ?? cut(error);
    }
    const exchange = new Exchange(stream, (error) => this.#fail(error));
    before(exchange, requestId);
    exchange.send(built);
    return { exchange, requestId };
  }

  #check(): void {
    const ended = this.#ended();
    if (ended) throw ended;
    if (this.#goingAway) throw new MoqtError('refused', RequestCode.goingAway, 'the relay asked to move elsewhere');
  }

  #ended(): MoqtError | undefined {
    if (!this.#end) return undefined;
    const { code, reason } = this.#end;
    return new MoqtError('session', code, reason === '' ? 'the session is over' : `the session is over: ${reason}`);
  }

  async #sendSetup(token: string | undefined): Promise<void> {
    const stream = await this.#transport.createUnidirectionalStream({ sendOrder: ORDER_CONTROL });
    const writer = stream.getWriter();
    const tokens = token === undefined ? [] : [{ form: 'USE_VALUE' as const, kind: 0n, value: utf8(token) }];
    const implementation = utf8(IMPLEMENTATION);
    // The stream stays open as long as the session; it is never closed.
    await writer.write(encodeMessage({ type: 'SETUP', tokens, implementation, extensions: new Uint8Array(0) }));
    await writer.closed;
  }

  async #readControl(stream: InStream): Promise<void> {
    try {
      if (this.#hasControl) throw malformed('a second control stream');
      this.#hasControl = true;
      const setup = await stream.source.message('control');
      if (setup?.type !== 'SETUP') throw malformed('the control stream does not begin with SETUP');
      if (setup.path) throw malformed('PATH from a server', SessionCode.invalidPath);
      if (setup.authority) throw malformed('AUTHORITY from a server', SessionCode.invalidAuthority);
      this.implementation = setup.implementation && lossyText(setup.implementation).slice(0, 200);
      this.#settleReady();
      this.#rtt.start();
      for (;;) {
        const message = await stream.source.message('control');
        if (message?.type !== 'GOAWAY' || this.#goingAway) throw malformed('only one GOAWAY may follow SETUP');
        this.#goingAway = true;
        this.#settleGoaway({ uri: lossyText(message.uri), timeoutMs: Number(message.timeoutMs) });
      }
    } catch (error) {
      // A control stream that ends or is reset is a violation, unless the session is over anyway.
      const reason = cut(error);
      this.#fail(reason.kind === 'malformed' ? reason : malformed('the control stream was closed'));
    }
  }

  async #acceptData(): Promise<void> {
    const reader = this.#transport.incomingUnidirectionalStreams.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      this.#incoming.take(new InStream(value)).catch(ignore);
    }
  }

  async #acceptRequests(): Promise<void> {
    const reader = this.#transport.incomingBidirectionalStreams.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const exchange = new Exchange(value, (error) => this.#fail(error));
      if (this.#serving >= MAX_REQUESTS) {
        exchange.cancel(StreamCode.excessiveLoad);
        continue;
      }
      this.#serving += 1;
      this.#publishing
        .serve(exchange)
        .catch(ignore)
        .finally(() => {
          this.#serving -= 1;
        });
    }
  }

  /** A request that the peer itself answers at once: the namespace `.` never exists (draft section "Reserved Namespaces"). */
  async #ask(): Promise<void> {
    const track = { namespace: [utf8('.')], name: utf8('') };
    const { exchange } = await this.#request((requestId) => ({
      type: 'TRACK_STATUS',
      requestId,
      track,
      parameters: {},
    }));
    exchange.finish();
    await exchange.next();
  }

  #fail(error: MoqtError): void {
    if (this.#end) return;
    const code = error.kind === 'malformed' ? error.code : SessionCode.internalError;
    this.close(code, error.message);
  }

  #over({ closeCode, reason }: CloseInfo, byPeer: boolean): void {
    if (this.#end) return;
    this.#end = { code: closeCode ?? SessionCode.noError, reason: reason ?? '', byPeer };
    this.#rtt.stop();
    this.#incoming.stop();
    this.#publishing.stop();
    const ended = this.#ended();
    if (ended) this.#failReady(ended);
    this.#settleClosed(this.#end);
  }
}

function wordsOf(error: unknown): string {
  return error instanceof Error && error.message !== '' ? error.message : 'the connection was lost';
}

function joining(subscription: bigint, groups: bigint): FetchRange {
  return { kind: 'relative-joining', subscription, groups };
}

function priority(value: number | undefined): Parameters {
  return value === undefined ? {} : { subscriberPriority: Math.min(255, Math.max(0, Math.round(value))) };
}

function priorityOf(options: SubscribeOptions): FetchOptions {
  return options.priority === undefined ? {} : { priority: options.priority };
}
