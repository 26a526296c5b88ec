/// When to look for a broadcast at another relay although this one answers.
///
/// A relay may be cut off from the others and still serve its pages, which then hear that the broadcast has paused. Whether it has is
/// only to be seen elsewhere. So a page that has played moves on when nothing came for some seconds, each time later, since most
/// broadcasts that pause have really done so. A pure state machine; times in milliseconds.

/// How long nothing comes before the first move: a publisher that starts over is back by then.
const FIRST = 8000;
/// Later ones wait twice as long as the one before, up to this.
const LONGEST = 240_000;

export class Drought {
  #since: number | undefined;
  #patience = FIRST;

  /// Media came.
  heard(now: number): void {
    this.#since = now;
    this.#patience = FIRST;
  }

  /// Whether it is time to move. What never played is waited for where it was asked for.
  over(now: number): boolean {
    if (this.#since === undefined || now - this.#since < this.#patience) {
      return false;
    }
    this.#since = now;
    this.#patience = Math.min(LONGEST, this.#patience * 2);
    return true;
  }
}
