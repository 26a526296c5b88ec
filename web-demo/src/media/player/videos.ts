/// Plays one of several pictures, and changes from one to another without a break: the next one is subscribed beside
/// the current one, which ends when the next one shows.

import type { CatalogTrack } from '../catalog/model';
import { ladder, RenditionChoice } from '../core/rendition';
import { pageNow } from './stage';
import type { PlayerEvents, RenditionEntry } from './status';

/// The old rendition is read for so long after the new one was asked for, in milliseconds.
const OVERLAP = 5000;

export type StartTrack = (track: CatalogTrack, stop: AbortSignal) => Promise<void>;

export class VideoChooser {
  /// Settles when the current picture ends: resolves, or throws as the track did.
  readonly ended: Promise<void>;
  #end: { resolve(): void; reject(error: unknown): void };
  readonly #choice: RenditionChoice;
  readonly #entries: readonly RenditionEntry[];
  #told = '';
  #playing: { name: string; abort: AbortController } | undefined;

  constructor(
    tracks: readonly CatalogTrack[],
    private readonly start: StartTrack,
    private readonly tell: PlayerEvents['renditions'],
    private readonly signal: AbortSignal,
  ) {
    this.#choice = new RenditionChoice(tracks, pageNow());
    this.#entries = [...ladder(tracks)].reverse().map((track) => ({ name: track.name, label: labelOf(track) }));
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

  #apply(): void {
    const track = this.#choice.current;
    if (track === undefined || this.signal.aborted) {
      return;
    }
    const before = this.#playing;
    if (before?.name !== track.name) {
      this.#play(track);
      if (before !== undefined) {
        setTimeout(() => before.abort.abort(), OVERLAP);
      }
    }
    const told = `${track.name} ${this.#choice.automatic}`;
    if (told !== this.#told) {
      this.#told = told;
      this.tell(this.#entries, track.name, this.#choice.automatic);
    }
  }

  #play(track: CatalogTrack): void {
    const abort = new AbortController();
    this.signal.addEventListener('abort', () => abort.abort());
    const playing = { name: track.name, abort };
    this.#playing = playing;
    this.start(track, abort.signal).then(
      () => this.#over(playing, () => this.#end.resolve()),
      (error: unknown) => this.#over(playing, () => this.#end.reject(error)),
    );
  }

  #over(playing: { abort: AbortController }, settle: () => void): void {
    if (this.#playing === playing && !playing.abort.signal.aborted) {
      settle();
    }
  }
}

function labelOf(track: CatalogTrack): string {
  const size = track.height === undefined ? track.name : `${track.height}p`;
  const bits = track.bitrate === undefined ? '' : `, ${(track.bitrate / 1e6).toFixed(1)} Mbit/s`;
  return `${size}${bits}`;
}
