/// A subscription of ours: its streams come in, its reader takes objects out.

import { DoneCode, MoqtError, StreamCode } from '../errors';
import type {
  Location,
  MoqObject,
  ObjectReader,
  ObjectStatus,
  Properties,
  Subscription,
  SubscriptionEnd,
} from '../types';
import type { PublishDone, SubscribeOk } from '../wire/message';
import { PropertyType, readProperties } from '../wire/property';
import { type ObjectHead, type SubgroupHeader, subgroupObjects } from '../wire/subgroup';
import type { Exchange } from './exchange';
import { ObjectQueue, type QueueOptions } from './queue';
import { cut, type InStream, ignore } from './transport';

/** How long streams that PUBLISH_DONE counts may still come. */
const GRACE_MS = 2000;

/** Endings after which everything that was to come has come. */
const GOOD_ENDS: readonly number[] = [DoneCode.trackEnded, DoneCode.subscriptionEnded];

export class LiveSubscription implements Subscription {
  readonly largest: Location | undefined;
  readonly trackProperties: Properties;
  readonly done: Promise<SubscriptionEnd>;
  readonly alias: bigint;
  bytes = 0;

  readonly #exchange: Exchange;
  readonly #queue: ObjectQueue;
  readonly #defaultPriority: number;
  readonly #streams = new Set<InStream>();
  readonly #hooks: { readonly onMalformed: (error: MoqtError) => void; readonly onOver: () => void };
  /** What comes before the live objects, until it is read. */
  #past: ObjectReader | undefined;
  #streamsSeen = 0;
  #publishDone: PublishDone | undefined;
  #graceOver = false;
  #end: { readonly error?: MoqtError } | undefined;
  #settle: (end: SubscriptionEnd) => void = ignore;
  #wake: () => void = ignore;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(
    exchange: Exchange,
    answer: SubscribeOk,
    queue: QueueOptions,
    past: ObjectReader | undefined,
    hooks: { readonly onMalformed: (error: MoqtError) => void; readonly onOver: () => void },
  ) {
    this.#exchange = exchange;
    this.#hooks = hooks;
    this.#past = past;
    this.alias = answer.trackAlias;
    this.largest = answer.parameters.largestObject;
    this.trackProperties = readProperties(answer.properties);
    const priority = this.trackProperties.get(PropertyType.defaultPublisherPriority);
    this.#defaultPriority = typeof priority === 'bigint' ? Number(priority) : 128;
    this.#queue = new ObjectQueue(queue);
    if (past && this.largest) this.#queue.startAfter(this.largest);
    this.done = new Promise((resolve) => {
      this.#settle = resolve;
    });
    this.#listen().catch(ignore);
  }

  get groupsSkipped(): number {
    return this.#queue.skipped;
  }

  /** Objects in turn, however many callers ask. */
  next(): Promise<MoqObject | undefined> {
    const turn = this.#turn.then(() => this.#take());
    this.#turn = turn.catch(ignore);
    return turn;
  }

  cancel(): void {
    this.#exchange.cancel(StreamCode.cancelled);
    this.#past?.cancel();
    this.#finish({ code: DoneCode.subscriptionEnded, reason: 'cancelled' }, {});
  }

  /** A subgroup stream of this subscription; its header has been read. */
  accept(header: SubgroupHeader, stream: InStream): void {
    this.#streamsSeen += 1;
    if (this.#end || this.#queue.isOver(header.group)) {
      stream.stop(StreamCode.cancelled);
      this.#finishIfDone();
      return;
    }
    this.#streams.add(stream);
    this.#read(header, stream).catch(ignore);
  }

  async #read(header: SubgroupHeader, stream: InStream): Promise<void> {
    this.#queue.streamOpened(header.group, performance.now());
    try {
      const next = subgroupObjects(stream.source, header);
      let subgroup = typeof header.subgroup === 'bigint' ? header.subgroup : 0n;
      for (let first = true; ; first = false) {
        const object = await next();
        if (!object || this.#end) break;
        if (first && header.subgroup === 'first-object') subgroup = object.head.id;
        this.#push(header, subgroup, object.head, object.payload);
        if (this.#queue.isOver(header.group)) {
          stream.stop(StreamCode.tooFarBehind);
          break;
        }
      }
    } catch (error) {
      // A stream that was reset is a hole in its group; only what is malformed concerns more than that.
      const reason = cut(error);
      if (reason.kind === 'malformed') this.#hooks.onMalformed(reason);
    } finally {
      this.#streams.delete(stream);
      this.#queue.streamEnded(header.group);
      this.#wake();
      this.#finishIfDone();
    }
  }

  #push(header: SubgroupHeader, subgroup: bigint, head: ObjectHead, payload: Uint8Array): void {
    this.bytes += payload.length;
    const properties = objectProperties(head.properties);
    if (!properties) {
      this.#malformedTrack();
      return;
    }
    const object: MoqObject = {
      group: header.group,
      subgroup,
      object: head.id,
      status: STATUS[head.status] ?? 'normal',
      properties,
      payload,
      priority: header.priority ?? this.#defaultPriority,
    };
    this.#queue.push(object, performance.now());
    this.#wake();
  }

  /** A publisher's mistake that no relay on the way could have repaired: the track is over, the session is not. */
  #malformedTrack(): void {
    const reason = 'the properties of an object cannot be read';
    this.#exchange.cancel(StreamCode.malformedTrack);
    const error = new MoqtError('cut', DoneCode.malformedTrack, reason);
    this.#finish({ code: DoneCode.malformedTrack, reason }, { error });
  }

  async #take(): Promise<MoqObject | undefined> {
    while (this.#past) {
      try {
        const object = await this.#past.next();
        if (object) return object;
      } catch {
        // The past is not to be had, or only part of it; the present goes on.
      }
      this.#past = undefined;
    }
    for (;;) {
      const object = this.#queue.pop(performance.now());
      if (object) return object;
      if (this.#end && this.#queue.empty) {
        if (this.#end.error) throw this.#end.error;
        return undefined;
      }
      await this.#wait();
    }
  }

  /** Until something arrives, ends, or has been waited for long enough. */
  async #wait(): Promise<void> {
    const deadline = this.#queue.deadline();
    let timer: ReturnType<typeof setTimeout> | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (deadline !== undefined) timer = setTimeout(resolve, Math.max(0, Math.ceil(deadline - performance.now())));
    });
    clearTimeout(timer);
  }

  /** Reads the request stream until the publisher ends the subscription. */
  async #listen(): Promise<void> {
    try {
      for (;;) {
        const message = await this.#exchange.next();
        if (!message) throw new MoqtError('cut', 0, 'the publisher ended the request without a word');
        if (message.type !== 'PUBLISH_DONE') continue;
        this.#publishDone = message;
        this.#exchange.finish();
        setTimeout(() => {
          this.#graceOver = true;
          this.#finishIfDone();
        }, GRACE_MS);
        this.#finishIfDone();
        return;
      }
    } catch (error) {
      const reason = cut(error);
      this.#finish({ code: DoneCode.internalError, reason: reason.message }, { error: reason });
    }
  }

  /** Ends once PUBLISH_DONE was heard and the streams that it counts have come and gone. */
  #finishIfDone(): void {
    const done = this.#publishDone;
    if (!done || this.#streams.size > 0) return;
    if (!this.#graceOver && BigInt(this.#streamsSeen) < (done.streamCount ?? BigInt(Number.MAX_SAFE_INTEGER))) return;
    const code = Number(done.code);
    const words = done.reason === '' ? `the publisher ended the subscription (code ${code})` : done.reason;
    this.#finish(
      { code, reason: done.reason },
      GOOD_ENDS.includes(code) ? {} : { error: new MoqtError('cut', code, words) },
    );
  }

  #finish(end: SubscriptionEnd, how: { readonly error?: MoqtError }): void {
    if (this.#end) return;
    this.#end = how;
    this.#queue.close();
    for (const stream of this.#streams) stream.stop(StreamCode.cancelled);
    this.#hooks.onOver();
    this.#settle(end);
    this.#wake();
  }
}

/** The properties of an object; `undefined` if they cannot be read. */
export function objectProperties(bytes: Uint8Array): Properties | undefined {
  try {
    return readProperties(bytes);
  } catch {
    return undefined;
  }
}

const STATUS: Readonly<Record<number, ObjectStatus>> = { 3: 'end-of-group', 4: 'end-of-track' };
