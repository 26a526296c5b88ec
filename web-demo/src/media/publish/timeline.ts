/// Puts the times of a source on the wall clock, in microseconds.
///
/// Browsers count the frames of cameras and microphones from different zeros. A frame cannot have been captured after it
/// arrived: the least difference between arrival and time stamp seen so far is the best guess of a source's zero.

/** A source that is further off than this has started over. */
const JUMP_US = 500_000;

export class Timeline {
  #offset: number | undefined;
  #last = Number.NEGATIVE_INFINITY;

  /** Learns from a frame stamped `timestamp` that lasts `duration` and arrived, whole, at `arrival`. */
  observe(timestamp: number, arrival: number, duration = 0): void {
    const offset = arrival - timestamp - duration;
    const known = this.#offset;
    if (known === undefined || offset < known || offset - known > JUMP_US) this.#offset = offset;
  }

  /** The wall-clock time of what is stamped `timestamp`; grows with each call. */
  place(timestamp: number): number {
    this.#last = Math.max(Math.round(timestamp + (this.#offset ?? 0)), this.#last + 1);
    return this.#last;
  }
}

/** Decode times of audio, in ticks: frames follow each other without gaps unless the source really jumped. */
export class AudioTicks {
  readonly #timescale: number;
  readonly #toleranceTicks: number;
  #next: number | undefined;

  constructor(timescale: number, toleranceUs = 60_000) {
    this.#timescale = timescale;
    this.#toleranceTicks = Math.round((toleranceUs * timescale) / 1e6);
  }

  /** The decode time of a frame at `timestamp` microseconds that lasts `duration` ticks. */
  place(timestamp: number, duration: number): { readonly at: number; readonly gap: boolean } {
    const due = Math.round((timestamp * this.#timescale) / 1e6);
    const next = this.#next ?? due;
    // Never back: what was written stays.
    const gap = due - next > this.#toleranceTicks;
    const at = gap ? due : next;
    this.#next = at + duration;
    return { at, gap };
  }
}
