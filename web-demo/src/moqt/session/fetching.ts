/// FETCH, asked by us: a request, and one stream with the objects.

import { MoqtError, StreamCode } from '../errors';
import type { MoqObject, ObjectReader } from '../types';
import { fetchItems, readFetchHeader } from '../wire/fetch';
import type { GroupOrder } from '../wire/parameter';
import type { Exchange } from './exchange';
import { objectProperties } from './subscription';
import { cut, type InStream, ignore } from './transport';

export class Fetching implements ObjectReader {
  readonly #exchange: Exchange;
  readonly #order: GroupOrder;
  readonly #stream: Promise<InStream>;
  #arrive: (stream: InStream) => void = ignore;
  #fail: (error: MoqtError) => void = ignore;
  #here: InStream | undefined;
  #items: ReturnType<typeof fetchItems> | undefined;
  #cancelled = false;
  readonly #onMalformed: (error: MoqtError) => void;
  readonly #onOver: () => void;
  /** Settles when the peer agreed or began to send; rejects if it refused. */
  readonly accepted: Promise<void>;

  constructor(
    exchange: Exchange,
    order: GroupOrder,
    hooks: { readonly onMalformed: (error: MoqtError) => void; readonly onOver: () => void },
  ) {
    this.#exchange = exchange;
    this.#order = order;
    this.#onMalformed = hooks.onMalformed;
    this.#onOver = hooks.onOver;
    this.#stream = new Promise((resolve, reject) => {
      this.#arrive = resolve;
      this.#fail = reject;
    });
    this.#stream.catch(ignore);
    this.accepted = Promise.race([this.#watch(), this.#stream.then(ignore)]);
    this.accepted.catch(ignore);
  }

  /** The stream with the objects has come. */
  take(stream: InStream): void {
    if (this.#cancelled) {
      stream.stop(StreamCode.cancelled);
      return;
    }
    this.#here = stream;
    this.#arrive(stream);
  }

  async next(): Promise<MoqObject | undefined> {
    const stream = await this.#stream;
    try {
      if (!this.#items) {
        await stream.source.head(readFetchHeader);
        this.#items = fetchItems(stream.source, this.#order);
      }
      for (;;) {
        const item = await this.#items();
        if (!item) {
          this.#onOver();
          return undefined;
        }
        // Markers say what does not exist or is not known: in both cases there is nothing to give.
        if (item.kind !== 'object') continue;
        const properties = objectProperties(item.properties);
        if (!properties) {
          throw new MoqtError('cut', StreamCode.malformedTrack, 'the properties of an object cannot be read');
        }
        return {
          group: item.location.group,
          subgroup: item.subgroup ?? 0n,
          object: item.location.object,
          status: 'normal',
          properties,
          payload: item.payload,
          priority: item.priority,
        };
      }
    } catch (error) {
      this.#onOver();
      const reason = this.#cancelled ? cancelled() : cut(error);
      if (reason.kind === 'malformed') this.#onMalformed(reason);
      throw reason;
    }
  }

  cancel(): void {
    if (this.#cancelled) return;
    this.#cancelled = true;
    this.#exchange.cancel(StreamCode.cancelled);
    this.#here?.stop(StreamCode.cancelled);
    this.#fail(cancelled());
    this.#onOver();
  }

  async #watch(): Promise<void> {
    try {
      await this.#exchange.answer('FETCH_OK');
    } catch (error) {
      this.#fail(cut(error));
      this.#onOver();
      throw error;
    }
    this.#drain().catch(ignore);
  }

  /** The request may still be cut, which matters while its stream has not come. */
  async #drain(): Promise<void> {
    try {
      for (;;) if (!(await this.#exchange.next())) return;
    } catch (error) {
      this.#fail(cut(error));
      if (!this.#here) this.#onOver();
    }
  }
}

function cancelled(): MoqtError {
  return new MoqtError('cut', StreamCode.cancelled, 'the fetch was cancelled');
}
