/// The media clock: which moment of the broadcast is to be seen and heard now.
///
/// The clock stays `target` behind the live edge. The edge is what arrives with the least delay: for each track the
/// largest difference between a sample's time and its arrival over the last seconds, and the smallest of these over the
/// tracks, since sound and picture show together. Small errors are mended by a rate between 0.95 and 1.05, which
/// nobody hears; large ones by a jump. When a track runs dry the clock stands still until there is something again.
///
/// A pure state machine: `now` and media times are microseconds and come in as arguments.

/// An edge is forgotten after twice this time, so that a change of the path's delay is followed.
const WINDOW = 2_500_000;
/// Nothing is mended below this error.
const TOLERANCE = 15_000;
const MAX_RATE_CHANGE = 0.05;
/// The error at which the rate reaches its bound.
const FULL_ERROR = 100_000;
/// Further behind than this the clock jumps, since 5 % would take more than 8 s; further ahead it stands still.
const JUMP = 400_000;
/// So far ahead of the broadcast it has started over: jump back.
const RESTART = 10_000_000;
/// At the start the past arrives in one burst, and the edge with it: follow it at once.
const SETTLING = 700_000;
/// After a stall the clock keeps more distance for a while: what jitter has shown itself to be.
const STALL_STEP = 1.4;
const MIN_EXTRA = 20_000;
const MAX_EXTRA = 1_500_000;
const CALM = 20_000_000;

interface Edge {
  current: number;
  previous: number;
  since: number;
}

export type ClockState = 'waiting' | 'running' | 'stalled';

export class MediaClock {
  #target: number;
  #extra = 0;
  #edges = new Map<string, Edge>();
  #anchor: { media: number; now: number } | undefined;
  #rate = 1;
  /// Since when media arrives by the present way.
  #started: number | undefined;
  #state: ClockState = 'waiting';
  #lastStall = Number.NEGATIVE_INFINITY;
  /// How often the clock stood still for want of media, and how often it jumped.
  stalls = 0;
  jumps = 0;

  constructor(target: number) {
    this.#target = target;
  }

  get state(): ClockState {
    return this.#state;
  }

  get rate(): number {
    return this.#state === 'running' ? this.#rate : 0;
  }

  /// The distance kept at present: the target, and what stalls have added.
  get distance(): number {
    return this.#target + this.#extra;
  }

  setTarget(target: number): void {
    this.#target = target;
    this.#extra = 0;
  }

  /// `time` is the decode time of the first sample of an object of `track` that arrived at `now`.
  observe(track: string, time: number, now: number): void {
    const difference = time - now;
    const edge = this.#edges.get(track);
    if (edge === undefined) {
      this.#edges.set(track, { current: difference, previous: difference, since: now });
    } else if (now - edge.since > WINDOW) {
      edge.previous = now - edge.since > 2 * WINDOW ? difference : edge.current;
      edge.current = difference;
      edge.since = now;
    } else {
      edge.current = Math.max(edge.current, difference);
    }
  }

  /// The track is no longer played.
  forget(track: string): void {
    this.#edges.delete(track);
  }

  /// The newest moment that all tracks have reached.
  edge(now: number): number | undefined {
    let least: number | undefined;
    for (const { current, previous } of this.#edges.values()) {
      const time = Math.max(current, previous) + now;
      least = least === undefined ? time : Math.min(least, time);
    }
    return least;
  }

  /// How far playback is behind the live edge.
  latency(now: number): number | undefined {
    const edge = this.edge(now);
    const position = this.position(now);
    return edge === undefined || position === undefined ? undefined : edge - position;
  }

  position(now: number): number | undefined {
    return this.#anchor === undefined ? undefined : this.#anchor.media + (now - this.#anchor.now) * this.rate;
  }

  /// `available`: up to which time every track can be played without a pause, undefined before anything came.
  /// Call it at least every 100 ms.
  update(now: number, available: number | undefined): void {
    const edge = this.edge(now);
    if (edge === undefined || available === undefined) {
      return;
    }
    const wanted = edge - this.distance;
    const position = this.position(now);
    if (position === undefined) {
      this.#state = 'running';
      this.#started = now;
      this.#set(now, wanted);
      return;
    }
    this.#started ??= now;
    const error = wanted - position;
    const settling = now - this.#started < SETTLING;
    const far = error > (settling ? TOLERANCE : JUMP) || error < (settling ? -TOLERANCE : -RESTART);
    if (far && wanted <= available) {
      this.jumps += settling ? 0 : 1;
      this.#state = 'running';
      this.#rate = 1;
      this.#set(now, wanted);
    } else if (this.#state === 'stalled') {
      if (available > position + Math.min(this.distance / 2, 100_000) && error > -TOLERANCE) {
        this.#state = 'running';
        this.#set(now, position);
      }
    } else if (position > available) {
      this.#stall(now, available);
    } else if (error < -JUMP) {
      // More distance is wanted: stand still until there is.
      this.#state = 'stalled';
      this.#set(now, position);
    } else {
      this.#relax(now);
      this.#mend(now, position, error);
    }
  }

  /// The same broadcast by another way, or started over: arrivals so far say nothing of those to come.
  reroute(): void {
    this.#edges.clear();
    this.#started = undefined;
  }

  #stall(now: number, available: number): void {
    this.stalls += 1;
    this.#set(now, available);
    this.#state = 'stalled';
    this.#lastStall = now;
    this.#extra = Math.min(MAX_EXTRA, Math.max(MIN_EXTRA, this.distance * STALL_STEP - this.#target));
  }

  #relax(now: number): void {
    if (this.#extra > 0 && now - this.#lastStall > CALM) {
      this.#extra = Math.max(0, this.#extra / STALL_STEP - MIN_EXTRA / 2);
      this.#lastStall = now;
    }
  }

  #mend(now: number, position: number, error: number): void {
    const change = Math.max(-1, Math.min(1, error / FULL_ERROR)) * MAX_RATE_CHANGE;
    // Once mending, go on until the error is gone; do not begin for less than the tolerance.
    const idle = Math.abs(error) < (this.#rate === 1 ? TOLERANCE : TOLERANCE / 5);
    this.#set(now, position);
    this.#rate = idle ? 1 : 1 + change;
  }

  #set(now: number, media: number): void {
    this.#anchor = { media, now };
  }
}
