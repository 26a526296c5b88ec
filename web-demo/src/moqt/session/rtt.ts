/// Round trips, measured by asking the peer something that it answers at once.

import { ignore } from './transport';

const INTERVAL_MS = 5000;

export class RoundTrips {
  readonly #ask: () => Promise<void>;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stopped = false;
  /** Milliseconds; `undefined` before the first answer. */
  latest: number | undefined;

  constructor(ask: () => Promise<void>) {
    this.#ask = ask;
  }

  start(): void {
    this.#goOn().catch(ignore);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** Asks now. */
  async measure(): Promise<number> {
    const before = performance.now();
    await this.#ask();
    this.latest = performance.now() - before;
    return this.latest;
  }

  async #goOn(): Promise<void> {
    await this.measure();
    if (!this.#stopped) this.#timer = setTimeout(() => this.start(), INTERVAL_MS);
  }
}
