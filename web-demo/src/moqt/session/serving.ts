/// One subscription of the peer to a track of ours: objects become subgroup streams.
///
/// Each group of each subgroup is one stream. What the network does not take waits here, bounded in bytes and in time; when
/// that is exceeded, the oldest groups are reset and the rest of them is not sent, so that a slow subscriber gets the newest.

import { DoneCode, StreamCode } from '../errors';
import type { KeptGroup, PublishedTrack, TrackListener } from '../published';
import type { Location, MoqObject } from '../types';
import { Writer } from '../wire/bytes';
import type { Filter, Parameters } from '../wire/parameter';
import { writeProperties } from '../wire/property';
import { writeObjectHead, writeSubgroupHeader } from '../wire/subgroup';
import type { Exchange } from './exchange';
import { OutStream } from './out';
import { sendOrder, type Transport } from './transport';

/** What one subscriber may leave untaken. */
const MAX_PENDING = 8 * 1024 * 1024;
const END_OF_GROUP = 3;
const END_OF_TRACK = 4;

interface Sending {
  readonly stream: OutStream;
  readonly group: bigint;
  readonly subgroup: bigint;
  last: bigint | undefined;
}

export class Serving implements TrackListener {
  /** What had been published when the subscription began; joining fetches end there. */
  readonly joinedAt: Location | undefined;
  readonly track: PublishedTrack;
  readonly #transport: Transport;
  readonly #exchange: Exchange;
  readonly #alias: bigint;
  readonly #sending = new Map<string, Sending>();
  /** Streams that are ended and not settled. */
  readonly #ending = new Set<Sending>();
  readonly #stopListening: () => void;
  /** Groups up to here are not sent any more. */
  #floor = -1n;
  #streams = 0n;
  #wasReset = false;
  #over = false;
  #forward: boolean;
  #priority: number;
  #filter: Filter | undefined;

  constructor(transport: Transport, exchange: Exchange, track: PublishedTrack, alias: bigint, parameters: Parameters) {
    this.#transport = transport;
    this.#exchange = exchange;
    this.track = track;
    this.#alias = alias;
    this.joinedAt = track.largest;
    this.#forward = parameters.forward ?? true;
    this.#priority = parameters.subscriberPriority ?? 128;
    this.#filter = resolve(parameters.filter, track.largest);
    this.#stopListening = track.listen(this);
  }

  get pending(): number {
    return [...this.#ending, ...this.#sending.values()].reduce((sum, { stream }) => sum + stream.pending, 0);
  }

  get forward(): boolean {
    return this.#forward;
  }

  /** REQUEST_UPDATE: what is absent stays as it is. */
  update(parameters: Parameters): void {
    this.#forward = parameters.forward ?? this.#forward;
    this.#priority = parameters.subscriberPriority ?? this.#priority;
    if (parameters.filter) this.#filter = resolve(parameters.filter, this.track.largest);
  }

  object(kept: KeptGroup, object: MoqObject): void {
    if (this.#over || !this.#forward || kept.group <= this.#floor || !wanted(this.#filter, object)) return;
    const sending = this.#stream(kept, object);
    const writer = new Writer();
    const { payload } = object;
    const head = { id: object.object, properties: writeProperties(object.properties), payloadLength: payload.length };
    writeObjectHead(writer, sending.last, { ...head, status: 0 }, true);
    sending.last = object.object;
    const now = performance.now();
    sending.stream.write(writer.bytes(payload).take(), now);
    this.#enforce(now);
  }

  groupEnd(kept: KeptGroup): void {
    const streams = [...this.#sending.values()].filter(({ group }) => group === kept.group);
    const last = kept.objects.at(-1);
    for (const sending of streams) {
      // With one subgroup the FIN says it; with several, only a status can.
      if (this.track.subgroups === 'many' && last && sending.subgroup === last.subgroup) {
        this.#status(sending, END_OF_GROUP, last.object + 1n);
      }
      this.#end(sending);
    }
  }

  trackEnd(): void {
    const last = [...this.#sending.values()].at(-1);
    if (last && !last.stream.over) this.#status(last, END_OF_TRACK, (last.last ?? -1n) + 1n);
    this.finish(DoneCode.trackEnded, '').catch(() => undefined);
  }

  /** Ends the streams, then the subscription, with a word to the subscriber. */
  async finish(code: number, reason: string): Promise<void> {
    if (this.#over) return;
    this.#leave();
    for (const sending of [...this.#sending.values()]) this.#end(sending);
    await Promise.all([...this.#ending].map(({ stream }) => stream.settled));
    const streamCount = this.#wasReset ? {} : { streamCount: this.#streams };
    this.#exchange.send({ type: 'PUBLISH_DONE', code: BigInt(code), ...streamCount, reason });
    this.#exchange.finish();
  }

  /** The subscriber does not want it any more, or is gone. */
  abandon(): void {
    if (this.#over) return;
    this.#leave();
    for (const { stream } of [...this.#sending.values(), ...this.#ending]) stream.reset(StreamCode.cancelled);
    this.#exchange.cancel(StreamCode.cancelled);
  }

  /** The session is over, and its streams with it. */
  lose(): void {
    if (this.#over) return;
    this.#leave();
    for (const { stream } of [...this.#sending.values(), ...this.#ending]) stream.forget();
  }

  #leave(): void {
    this.#over = true;
    this.#stopListening();
  }

  #stream(kept: KeptGroup, object: MoqObject): Sending {
    const key = `${kept.group}/${object.subgroup}`;
    const there = this.#sending.get(key);
    if (there) return there;
    const order = sendOrder(this.#priority, object.priority, kept.group);
    const stream = new OutStream(this.#transport.createUnidirectionalStream({ sendOrder: order }));
    const sending: Sending = { stream, group: kept.group, subgroup: object.subgroup, last: undefined };
    this.#sending.set(key, sending);
    this.#streams += 1n;
    const writer = new Writer();
    writeSubgroupHeader(writer, {
      trackAlias: this.#alias,
      group: kept.group,
      subgroup: object.subgroup === 0n ? 'zero' : object.subgroup,
      priority: object.priority,
      hasProperties: true,
      endOfGroup: this.track.subgroups === 'single',
      firstObject: kept.objects.find(({ subgroup }) => subgroup === object.subgroup) === object,
    });
    stream.write(writer.take(), performance.now());
    return sending;
  }

  #status(sending: Sending, status: number, id: bigint): void {
    const writer = new Writer();
    const head = { id, properties: new Uint8Array(0), payloadLength: 0, status };
    writeObjectHead(writer, sending.last, head, true);
    sending.stream.write(writer.take(), performance.now());
    sending.last = id;
  }

  #end(sending: Sending): void {
    this.#sending.delete(`${sending.group}/${sending.subgroup}`);
    this.#ending.add(sending);
    sending.stream.close();
    sending.stream.settled.then((whole) => {
      if (!whole) this.#wasReset = true;
      this.#ending.delete(sending);
    });
  }

  /** Resets the oldest groups while more waits, or for longer, than may. */
  #enforce(now: number): void {
    const waiting = () => [...this.#ending, ...this.#sending.values()].filter(({ stream }) => stream.pending > 0);
    for (;;) {
      const streams = waiting();
      const total = streams.reduce((sum, { stream }) => sum + stream.pending, 0);
      const late = streams.some(({ stream }) => now - (stream.waitingSince ?? now) > this.track.maxLagMs);
      if (total <= MAX_PENDING && !late) return;
      const oldest = streams.reduce((a, b) => (b.group < a.group ? b : a)).group;
      if (oldest > this.#floor) this.#floor = oldest;
      for (const sending of streams.filter(({ group }) => group === oldest)) {
        this.#wasReset = true;
        sending.stream.reset(StreamCode.tooFarBehind);
      }
    }
  }
}

/** The filter as an absolute one; `undefined`: everything from now on. */
function resolve(filter: Filter | undefined, largest: Location | undefined): Filter | undefined {
  if (filter?.type !== 'next-group' || !largest) return filter?.type.startsWith('absolute') ? filter : undefined;
  return { type: 'absolute-start', start: { group: largest.group + 1n, object: 0n } };
}

function wanted(filter: Filter | undefined, { group, object }: MoqObject): boolean {
  if (!filter || !('start' in filter)) return true;
  const { start } = filter;
  const begun = group > start.group || (group === start.group && object >= start.object);
  return begun && (filter.type !== 'absolute-range' || group <= filter.endGroup);
}
