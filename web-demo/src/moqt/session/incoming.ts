/// Data streams of the peer, each led to who asked for it.
///
/// A subgroup stream may overtake the SUBSCRIBE_OK that names its alias: it is held for a moment, and so are a bounded number
/// of others. Aliases and fetches that were given up are remembered, so that their stragglers are refused at once.

import { type MoqtError, StreamCode } from '../errors';
import { malformed } from '../wire/bytes';
import { readFetchHeader } from '../wire/fetch';
import {
  CONTROL_STREAM,
  FETCH_STREAM,
  isSubgroupType,
  PADDING_STREAM,
  readSubgroupHeader,
  type SubgroupHeader,
} from '../wire/subgroup';
import type { Fetching } from './fetching';
import type { LiveSubscription } from './subscription';
import { cut, type InStream } from './transport';

const MAX_HELD = 64;
const HELD_MS = 5000;
const MAX_FORGOTTEN = 256;

interface Held {
  readonly header: SubgroupHeader;
  readonly stream: InStream;
  readonly timer: ReturnType<typeof setTimeout>;
}

export class Incoming {
  readonly #subscriptions = new Map<bigint, LiveSubscription>();
  readonly #fetches = new Map<bigint, Fetching>();
  readonly #held = new Set<Held>();
  readonly #forgotten = new Set<bigint>();
  readonly #fail: (error: MoqtError) => void;
  readonly #control: (stream: InStream) => void;

  constructor(fail: (error: MoqtError) => void, control: (stream: InStream) => void) {
    this.#fail = fail;
    this.#control = control;
  }

  /** Whether the alias is free, as the publisher has to see to. */
  addSubscription(subscription: LiveSubscription): boolean {
    const { alias } = subscription;
    if (this.#subscriptions.has(alias)) return false;
    this.#forgotten.delete(alias);
    this.#subscriptions.set(alias, subscription);
    for (const held of [...this.#held]) {
      if (held.header.trackAlias !== alias) continue;
      this.#release(held);
      subscription.accept(held.header, held.stream);
    }
    return true;
  }

  removeSubscription(alias: bigint): void {
    this.#subscriptions.delete(alias);
    this.#forgotten.add(alias);
    if (this.#forgotten.size > MAX_FORGOTTEN) {
      const [oldest] = this.#forgotten;
      if (oldest !== undefined) this.#forgotten.delete(oldest);
    }
  }

  addFetch(requestId: bigint, fetching: Fetching): void {
    this.#fetches.set(requestId, fetching);
  }

  removeFetch(requestId: bigint): void {
    this.#fetches.delete(requestId);
  }

  stop(): void {
    for (const held of [...this.#held]) this.#release(held);
  }

  /** Takes one stream of the peer. */
  async take(stream: InStream): Promise<void> {
    try {
      const type = await stream.source.peek((reader) => reader.varint());
      if (type === undefined) return;
      if (type === CONTROL_STREAM) this.#control(stream);
      else if (type === FETCH_STREAM) await this.#takeFetch(stream);
      else if (type === PADDING_STREAM) stream.stop(StreamCode.cancelled);
      else if (isSubgroupType(type)) await this.#takeSubgroup(stream);
      else throw malformed(`a stream of the unknown type 0x${type.toString(16)}`);
    } catch (error) {
      const reason = cut(error);
      if (reason.kind === 'malformed') this.#fail(reason);
    }
  }

  async #takeFetch(stream: InStream): Promise<void> {
    const requestId = await stream.source.peek(readFetchHeader);
    const fetching = requestId === undefined ? undefined : this.#fetches.get(requestId);
    if (fetching) fetching.take(stream);
    else stream.stop(StreamCode.cancelled);
  }

  async #takeSubgroup(stream: InStream): Promise<void> {
    const header = await stream.source.head(readSubgroupHeader);
    if (!header) return;
    const subscription = this.#subscriptions.get(header.trackAlias);
    if (subscription) subscription.accept(header, stream);
    else if (this.#forgotten.has(header.trackAlias) || this.#held.size >= MAX_HELD) stream.stop(StreamCode.cancelled);
    else this.#hold(header, stream);
  }

  #hold(header: SubgroupHeader, stream: InStream): void {
    const timer = setTimeout(() => {
      this.#held.delete(held);
      stream.stop(StreamCode.cancelled);
    }, HELD_MS);
    const held: Held = { header, stream, timer };
    this.#held.add(held);
  }

  #release(held: Held): void {
    clearTimeout(held.timer);
    this.#held.delete(held);
  }
}
