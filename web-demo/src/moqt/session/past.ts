/// What a joined track published before the subscription: its joining fetch.

import { RequestCode } from '../errors';
import type { MoqObject, ObjectReader } from '../types';
import type { Fetching } from './fetching';
import { cut, ignore } from './transport';

/** Read before the live objects. A refusal that only says "too early" is answered by asking once more. */
export class Past implements ObjectReader {
  #fetching: Promise<Fetching>;
  #retry: (() => Promise<Fetching> | undefined) | undefined;
  #cancelled = false;

  constructor(fetching: Promise<Fetching>, retry: () => Promise<Fetching> | undefined) {
    this.#fetching = fetching;
    this.#retry = retry;
  }

  async next(): Promise<MoqObject | undefined> {
    try {
      return await (await this.#fetching).next();
    } catch (error) {
      // A peer that does not hold joining fetches has seen this one before its SUBSCRIBE.
      const early = cut(error).kind === 'refused' && cut(error).code === RequestCode.invalidJoiningRequestId;
      const again = early && !this.#cancelled ? this.#retry?.() : undefined;
      this.#retry = undefined;
      if (!again) throw error;
      this.#fetching = again;
      return (await again).next();
    }
  }

  cancel(): void {
    this.#cancelled = true;
    this.#fetching.then((fetching) => fetching.cancel(), ignore);
  }
}
