/// Which group a moment belongs to: decided when a frame goes into the encoders, so that all renditions and the sound agree.
///
/// A group begins with a keyframe, about each second. IDs are wall-clock milliseconds: a publisher that starts over continues above
/// its old groups. No clock of its own: times come in.

/** Group starts remembered: far more than encoders hold back. */
const REMEMBERED = 64;

export class GroupPlan {
  readonly #intervalUs: number;
  #starts: { readonly at: number; readonly group: bigint }[] = [];

  /** `intervalUs`: the least length of a group in microseconds of media. */
  constructor(intervalUs = 1_000_000) {
    this.#intervalUs = intervalUs;
  }

  /** Tells of a frame at `timestamp` (microseconds) that goes into the encoders; true: it begins a group. */
  next(timestamp: number, unixMs: number): boolean {
    const last = this.#starts.at(-1);
    // Backwards counts too: a source that starts over.
    if (last && timestamp >= last.at && timestamp - last.at < this.#intervalUs) return false;
    const id = BigInt(Math.floor(unixMs));
    const group = last && id <= last.group ? last.group + 1n : id;
    this.#starts.push({ at: timestamp, group });
    if (this.#starts.length > REMEMBERED) this.#starts.shift();
    return true;
  }

  /** The group of `timestamp`; `undefined` before the first. */
  at(timestamp: number): bigint | undefined {
    return this.#starts.findLast((start) => start.at <= timestamp)?.group;
  }
}
