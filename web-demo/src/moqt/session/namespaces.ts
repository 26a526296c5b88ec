/// SUBSCRIBE_NAMESPACE, asked by us: namespaces as they come and go, for one reader.

import { MoqtError, StreamCode } from '../errors';
import type { NamespaceChange, Namespaces } from '../types';
import { namespaceText } from '../wire/name';
import type { Exchange } from './exchange';
import { cut, ignore } from './transport';

/** Namespaces that are active or wait to be told; more end the request. */
const MAX_NAMESPACES = 10_000;

export class NamespaceWatch implements Namespaces {
  readonly #prefix: readonly string[];
  readonly #exchange: Promise<Exchange>;
  /** By their fields; the latest news of each, in the order in which it came. */
  readonly #news = new Map<string, NamespaceChange>();
  readonly #active = new Set<string>();
  #end: { readonly error?: MoqtError } | undefined;
  #wake: () => void = ignore;

  constructor(prefix: readonly string[], exchange: Promise<Exchange>) {
    this.#prefix = prefix;
    this.#exchange = exchange;
    this.#listen().catch(ignore);
  }

  cancel(): void {
    if (this.#end) return;
    this.#finish({});
    this.#exchange.then((exchange) => exchange.cancel(StreamCode.cancelled), ignore);
  }

  async *[Symbol.asyncIterator](): AsyncIterator<NamespaceChange> {
    try {
      for (;;) {
        const [first] = this.#news;
        if (first) {
          this.#news.delete(first[0]);
          yield first[1];
          continue;
        }
        if (this.#end) {
          if (this.#end.error) throw this.#end.error;
          return;
        }
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      this.cancel();
    }
  }

  async #listen(): Promise<void> {
    try {
      const exchange = await this.#exchange;
      await exchange.answer('REQUEST_OK');
      while (!this.#end) {
        const message = await exchange.next();
        if (!message) throw new MoqtError('cut', 0, 'the peer ended the list of namespaces');
        if (message.type !== 'NAMESPACE' && message.type !== 'NAMESPACE_DONE') continue;
        // What is no text cannot be named here.
        const suffix = namespaceText(message.suffix);
        if (suffix) this.#note([...this.#prefix, ...suffix], message.type === 'NAMESPACE');
        if (this.#active.size + this.#news.size > MAX_NAMESPACES) {
          exchange.cancel(StreamCode.excessiveLoad);
          throw new MoqtError('cut', StreamCode.excessiveLoad, 'there are too many namespaces');
        }
      }
    } catch (error) {
      this.#finish({ error: cut(error) });
    }
  }

  #note(namespace: readonly string[], active: boolean): void {
    const key = JSON.stringify(namespace);
    if (this.#active.has(key) === active) return;
    if (active) this.#active.add(key);
    else this.#active.delete(key);
    this.#news.delete(key);
    this.#news.set(key, { namespace, active });
    this.#wake();
  }

  #finish(end: { readonly error?: MoqtError }): void {
    this.#end ??= end;
    this.#wake();
  }
}
