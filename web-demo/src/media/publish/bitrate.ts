/// How much the encoders may spend: falls at once when bytes wait to leave, rises slowly when they do not.
///
/// Additive increase, multiplicative decrease, on two signs: what waits in the session (the network is slower than we are) and what waits in
/// the encoder (the machine is). A pure state machine: times and measures come in, decisions go out.

export interface Pressure {
  /** Milliseconds on any steady clock. */
  readonly now: number;
  /** Frames given to the encoder that have not come out. */
  readonly encoderQueue: number;
  /** Bytes written that have not left. */
  readonly backlogBytes: number;
}

export interface Decision {
  /** Share of the nominal bitrate, between the floor and 1. */
  readonly share: number;
  /** Encode one frame in so many. */
  readonly keepOneIn: 1 | 2;
}

/** More than this much media waiting to leave is congestion. */
const CONGESTED_MS = 250;
/** Less than this is a free way. */
const FREE_MS = 80;
const BACK_OFF = 0.7;
const STEP_UP = 0.05;
/** A decrease needs this long to show. */
const SETTLE_MS = 600;
/** Free for so long before a step up. */
const CALM_MS = 1500;
const FLOOR = 0.1;
/** An encoder with so many frames waiting is too slow, if it stays so. */
const SLOW_QUEUE = 3;
const SLOW_MS = 500;
/** How long at half the frames before all are tried again. */
const REST_MS = 8000;

export class BitrateControl {
  readonly #nominal: number;
  #share = 1;
  #changed = Number.NEGATIVE_INFINITY;
  #calmSince: number | undefined;
  #slowSince: number | undefined;
  #halvedAt: number | undefined;

  /** `nominal`: bits per second at share 1. */
  constructor(nominal: number) {
    this.#nominal = nominal;
  }

  update(pressure: Pressure): Decision {
    this.#network(pressure);
    this.#machine(pressure);
    return { share: this.#share, keepOneIn: this.#halvedAt === undefined ? 1 : 2 };
  }

  #network({ now, backlogBytes }: Pressure): void {
    const backlogMs = (backlogBytes * 8000) / (this.#nominal * this.#share);
    if (backlogMs > CONGESTED_MS) {
      this.#calmSince = undefined;
      if (now - this.#changed < SETTLE_MS) return;
      this.#share = Math.max(FLOOR, this.#share * BACK_OFF);
      this.#changed = now;
    } else if (backlogMs > FREE_MS) {
      this.#calmSince = undefined;
    } else {
      this.#calmSince ??= now;
      if (now - this.#calmSince < CALM_MS || this.#share >= 1) return;
      this.#share = Math.min(1, this.#share + STEP_UP);
      this.#calmSince = now - CALM_MS + SETTLE_MS;
    }
  }

  #machine({ now, encoderQueue }: Pressure): void {
    if (encoderQueue >= SLOW_QUEUE) {
      this.#slowSince ??= now;
      if (now - this.#slowSince >= SLOW_MS) this.#halvedAt = now;
    } else {
      this.#slowSince = undefined;
      if (this.#halvedAt !== undefined && now - this.#halvedAt >= REST_MS) this.#halvedAt = undefined;
    }
  }
}
