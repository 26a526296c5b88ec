/// When to look for a broadcast at another relay although this one answers, and when to come back.
///
/// A relay may be cut off from the others and still serve its pages, which then hear that the broadcast has paused. Whether it has is
/// only to be seen elsewhere. So a page that has played looks at another relay when nothing came for some seconds, and comes back
/// soon if nothing comes there either: most broadcasts that pause have really done so, and their viewers shall not gather at
/// one relay. For that each page has a patience of its own too. A pure state machine; times in milliseconds.

/// How long nothing comes before the first look elsewhere, about: a publisher that starts over is back by then, mostly.
const FIRST = 8000;
/// Later ones wait twice as long as the one before, up to this.
const LONGEST = 240_000;
/// How long a session may take until media comes, here and elsewhere.
const ARRIVAL = 5000;
/// Looked at so seldom, the page itself was asleep, and what came meanwhile is not read yet.
const ASLEEP = 2000;

export class Drought {
  #since: number | undefined;
  #begun = 0;
  #looked: number | undefined;
  #elsewhere = false;
  #patience = FIRST;

  /// `factor`: this page's share of the patience, 0.5 to 1.5, so that pages do not move all together.
  constructor(private readonly factor: number) {}

  /// Media came: the page stays where it is.
  heard(now: number): void {
    this.#since = now;
    this.#patience = FIRST;
    this.#elsewhere = false;
  }

  /// A session is sought or begins, elsewhere or where the page belongs.
  begin(now: number, elsewhere: boolean): void {
    if (this.#elsewhere && !elsewhere) {
      this.#since = now;
      this.#patience = Math.min(LONGEST, this.#patience * 2);
    }
    this.#elsewhere = elsewhere;
    this.#begun = now;
  }

  /// Whether it is time to move, to another relay or back. To be called a few times a second. What never played is waited for
  /// where it was asked for.
  look(now: number): boolean {
    if (this.#looked !== undefined && now - this.#looked > ASLEEP && this.#since !== undefined) {
      this.#since = now;
      this.#begun = now;
    }
    this.#looked = now;
    if (this.#since === undefined || now - this.#begun < ARRIVAL) {
      return false;
    }
    return this.#elsewhere || now - this.#since >= this.#patience * this.factor;
  }
}
