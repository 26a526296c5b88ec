/// How soon to ask again for a broadcast of which nothing came: at once the first time, then each time later.
///
/// A broadcast may be announced and have no catalog, or tracks that end as soon as they are asked for. A page that asks for
/// them again at once asks relay and publisher as often as the network lets it. Pure; times in milliseconds.

/// How far two rounds without media are apart, the third on; doubles each time.
const FIRST = 500;
const LONGEST = 4000;

export class Pace {
  #apart = 0;

  /// Media came, or it is known that the broadcast is not there, so that its announcement will be news.
  reset(): void {
    this.#apart = 0;
  }

  /// How long to wait after a round without media that took `spent`.
  next(spent: number): number {
    const wait = Math.max(0, this.#apart - spent);
    this.#apart = Math.min(LONGEST, Math.max(FIRST, this.#apart * 2));
    return wait;
  }
}
