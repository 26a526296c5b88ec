/// Which rendition to play: the viewer's choice, or an automatic one.
///
/// A live stream never fills the line, so what it could carry is not measured; what tells is whether playback stalls. A
/// stall goes one step down at once. One step up is tried after a calm time, which doubles each time the step
/// proves to be too much. Pictures larger than needed for the size they are shown at are not taken. Pure: time comes in, in microseconds.

import type { CatalogTrack } from '../catalog/model';

const FIRST_CALM = 15_000_000;
const LONGEST_CALM = 240_000_000;
/// A stall so soon after a step up means that the step was too much.
const TRIAL = 10_000_000;

/// From the poorest to the richest.
export function ladder(tracks: readonly CatalogTrack[]): readonly CatalogTrack[] {
  const weight = (track: CatalogTrack) => (track.width ?? 0) * (track.height ?? 0);
  return [...tracks].sort((a, b) => (a.bitrate ?? 0) - (b.bitrate ?? 0) || weight(a) - weight(b));
}

export class RenditionChoice {
  #ladder: readonly CatalogTrack[];
  #index: number;
  #manual: string | undefined;
  #calm = FIRST_CALM;
  #since: number;
  #raised = Number.NEGATIVE_INFINITY;

  constructor(tracks: readonly CatalogTrack[], now: number) {
    this.#ladder = ladder(tracks);
    this.#index = this.#ladder.length - 1;
    this.#since = now;
  }

  get current(): CatalogTrack | undefined {
    const chosen = this.#manual === undefined ? undefined : this.#ladder.find(({ name }) => name === this.#manual);
    return chosen ?? this.#ladder[this.#index];
  }

  /// Those that may be taken, from the poorest to the richest.
  get tracks(): readonly CatalogTrack[] {
    return this.#ladder;
  }

  get automatic(): boolean {
    return this.#manual === undefined;
  }

  /// `undefined`: choose automatically, from where we are.
  choose(name: string | undefined, now: number): void {
    const at = this.#ladder.findIndex((track) => track.name === (name ?? this.#manual));
    this.#index = at < 0 ? this.#index : at;
    this.#manual = at < 0 ? undefined : name;
    this.#since = now;
  }

  /// The rendition cannot be had, or not be decoded here: never take it again. The next poorer one is in its place.
  exclude(name: string): void {
    const at = this.#ladder.findIndex((track) => track.name === name);
    if (at < 0) {
      return;
    }
    this.#ladder = this.#ladder.filter((track) => track.name !== name);
    this.#index = Math.max(0, at <= this.#index ? this.#index - 1 : this.#index);
    this.#manual = this.#manual === name ? undefined : this.#manual;
  }

  stalled(now: number): void {
    if (now - this.#raised < TRIAL) {
      this.#calm = Math.min(LONGEST_CALM, this.#calm * 2);
    }
    this.#since = now;
    this.#index = Math.max(0, this.#index - 1);
  }

  /// `shown`: height of the picture on the page in device pixels.
  update(now: number, shown: number): void {
    const up = this.#ladder[this.#index + 1];
    const current = this.#ladder[this.#index];
    const below = this.#ladder[this.#index - 1];
    if (tooLarge(below, shown)) {
      this.#index -= 1;
      this.#since = now;
    } else if (up !== undefined && now - this.#since > this.#calm && !tooLarge(current, shown)) {
      this.#index += 1;
      this.#since = now;
      this.#raised = now;
    }
  }
}

/// This one has all the lines that are shown; more would be thrown away.
function tooLarge(track: CatalogTrack | undefined, shown: number): boolean {
  return track?.height !== undefined && shown > 0 && track.height >= shown;
}
