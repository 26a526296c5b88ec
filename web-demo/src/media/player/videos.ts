/// Plays one of several pictures, and changes from one to another without a break: the next one is subscribed beside
/// the current one, which ends when the next one shows. One that cannot be had or decoded is left out, and another one plays.

import { type CatalogTrack, cut } from '../catalog/model';
import { RenditionChoice } from '../core/rendition';
import { isOfTrack, UnplayableError } from './source';
import type { PlayerEvents, RenditionEntry } from './status';

/// The old rendition is read for so long after the new one was asked for, should that not show, in milliseconds.
const OVERLAP = 5000;

export interface VideoEvents {
  /// Plays a track until it ends or `stop` aborts; throws as the track did.
  start(track: CatalogTrack, stop: AbortSignal): Promise<void>;
  /// The name of the track whose picture shows.
  shown(): string | undefined;
  renditions: PlayerEvents['renditions'];
  note(note: string): void;
}

interface Running {
  readonly name: string;
  readonly abort: AbortController;
  leaving: ReturnType<typeof setTimeout> | undefined;
}

export class VideoChooser {
  /// Settles when the current picture ends: resolves, or throws as the track did.
  readonly ended: Promise<void>;
  #end: { resolve(): void; reject(error: unknown): void };
  readonly #choice: RenditionChoice;
  readonly #running = new Map<string, Running>();
  #current: string | undefined;
  #told = '';

  constructor(
    tracks: readonly CatalogTrack[],
    private readonly events: VideoEvents,
    private readonly signal: AbortSignal,
    now: number,
    wish: string | undefined,
  ) {
    this.#choice = new RenditionChoice(tracks, now);
    this.#choice.choose(wish, now);
    let end = { resolve: () => {}, reject: (_error: unknown) => {} };
    this.ended = new Promise((resolve, reject) => {
      end = { resolve, reject };
    });
    this.#end = end;
    this.#apply();
  }

  choose(name: string | undefined, now: number): void {
    this.#choice.choose(name, now);
    this.#apply();
  }

  stalled(now: number): void {
    this.#choice.stalled(now);
    this.#apply();
  }

  update(now: number, shown: number): void {
    this.#choice.update(now, shown);
    this.#apply();
  }

  /// The decoder gave the track up.
  undecodable(name: string, why: string): void {
    if (this.#choice.tracks.length > 1) {
      this.#leave(name);
    }
    // The only one is read on, so that its end is noticed.
    this.#exclude(name, new UnplayableError(why));
  }

  /// Another picture shows in place of this one.
  replaced(name: string): void {
    if (name !== this.#current) {
      this.#leave(name);
    }
  }

  #apply(): void {
    const track = this.#choice.current;
    if (track === undefined || this.signal.aborted) {
      return;
    }
    if (this.#current !== track.name) {
      this.#current = track.name;
      this.#change(track);
    }
    const told = `${track.name} ${this.#choice.automatic} ${this.#choice.tracks.length}`;
    if (told !== this.#told) {
      this.#told = told;
      this.events.renditions(entriesOf(this.#choice.tracks), track.name, this.#choice.automatic);
    }
  }

  #change(track: CatalogTrack): void {
    const shown = this.events.shown();
    const back = this.#running.get(track.name);
    for (const { name } of [...this.#running.values()].filter((running) => running !== back)) {
      // What shows stays until the next one does; if that shows already, nothing else is needed.
      if (name === shown) {
        this.#leaveLater(name);
      } else {
        this.#leave(name);
      }
    }
    if (back === undefined) {
      this.#play(track);
    } else {
      clearTimeout(back.leaving);
    }
  }

  #play(track: CatalogTrack): void {
    const abort = new AbortController();
    this.signal.addEventListener('abort', () => abort.abort(), { signal: abort.signal });
    const running: Running = { name: track.name, abort, leaving: undefined };
    this.#running.set(track.name, running);
    this.events.start(track, abort.signal).then(
      () => this.#over(running, () => this.#end.resolve()),
      (error: unknown) => this.#over(running, () => this.#failed(track.name, error)),
    );
  }

  #over(running: Running, settle: () => void): void {
    if (running.abort.signal.aborted) {
      return;
    }
    this.#leave(running.name);
    if (this.#current === running.name) {
      settle();
    }
  }

  /// A track that is not there or no good does not end the others; all else concerns them too.
  #failed(name: string, error: unknown): void {
    if (isOfTrack(error)) {
      this.#exclude(name, error);
    } else {
      this.#end.reject(error);
    }
  }

  #exclude(name: string, error: unknown): void {
    this.#choice.exclude(name);
    if (this.#choice.current === undefined && !(error instanceof UnplayableError)) {
      this.#end.reject(error);
      return;
    }
    const why = error instanceof Error ? error.message : 'it cannot be had';
    this.events.note(`${cut(name)}: ${why}`);
    this.#apply();
  }

  #leaveLater(name: string): void {
    const running = this.#running.get(name);
    if (running !== undefined) {
      clearTimeout(running.leaving);
      running.leaving = setTimeout(() => this.#leave(name), OVERLAP);
    }
  }

  #leave(name: string): void {
    const running = this.#running.get(name);
    this.#running.delete(name);
    clearTimeout(running?.leaving);
    running?.abort.abort();
  }
}

/// From the richest to the poorest.
function entriesOf(tracks: readonly CatalogTrack[]): RenditionEntry[] {
  return [...tracks].reverse().map((track) => ({ name: track.name, label: labelOf(track) }));
}

function labelOf(track: CatalogTrack): string {
  const size = track.height === undefined ? track.name : `${track.height}p`;
  const bits = track.bitrate === undefined ? '' : `, ${(track.bitrate / 1e6).toFixed(1)} Mbit/s`;
  return `${size}${bits}`;
}
