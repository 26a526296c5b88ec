/// Whether the relay is still there, as far as a page can tell.
///
/// A relay that ends says so. One whose machine stands still or whose network is gone says nothing, and a browser believes
/// in such a connection for ten seconds and more. So after a second in which nothing came, the relay is asked something
/// that it answers at once, and it is given up when neither an answer nor anything else comes. Slow media is no reason:
/// the question overtakes it. A pure state machine; times in milliseconds.

/// How a page judges.
export interface Manner {
  /// How long after an answer the next question comes, as long as there are answers but no media.
  readonly idle: number;
  /// No answer for so long: gone.
  readonly patience: number;
}

/// Several round trips of a bad network, losses among them; and many may wait for one broadcast.
export const WAITING: Manner = { idle: 4000, patience: 2500 };
/// A page that sends hears nothing but answers, and its question waits behind its own media where the way is slow.
export const SENDING: Manner = { idle: 1000, patience: 6000 };

/// No media came for so long: ask.
const QUIET = 1000;
/// Looked at so seldom, the page itself was asleep, and what came meanwhile is not read yet.
const ASLEEP = 2000;

export type Verdict = 'there' | 'ask' | 'gone';

export class Liveness {
  #heard: number;
  #quiet = QUIET;
  #looked: number;
  #asked: number | undefined;

  constructor(
    now: number,
    private readonly manner: Manner = WAITING,
  ) {
    this.#heard = now;
    this.#looked = now;
  }

  /// Media came from the relay.
  heard(now: number): void {
    this.#heard = now;
    this.#quiet = QUIET;
    this.#asked = undefined;
  }

  /// The relay answered.
  answered(now: number): void {
    this.heard(now);
    this.#quiet = this.manner.idle;
  }

  /// To be called a few times a second. `ask` comes once per question.
  look(now: number): Verdict {
    if (now - this.#looked > ASLEEP) {
      this.heard(now);
    }
    this.#looked = now;
    if (this.#asked !== undefined) {
      return now - this.#asked > this.manner.patience ? 'gone' : 'there';
    }
    if (now - this.#heard < this.#quiet) {
      return 'there';
    }
    this.#asked = now;
    return 'ask';
  }
}
