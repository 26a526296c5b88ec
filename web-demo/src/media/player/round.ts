/// One round of playing: from a catalog to the end of what it describes.
///
/// A round ends when a track or the catalog ends, when the catalog changes, when nothing arrives for some seconds, or when
/// the session is over. The player then begins another, which finds out by itself what is there now.

import type { MoqObject, Session, Subscription } from '../../moqt';
import { type Catalog, CatalogError, type CatalogTrack, cut } from '../catalog/model';
import { openCatalog } from '../catalog/open';
import { configure } from './config';
import { Source, type SourceEvents } from './source';
import type { Stage } from './stage';
import type { PlayerEvents } from './status';
import { VideoChooser } from './videos';

/// Nothing arrives for so long: ask again.
const SILENCE = 4000;

export interface Round {
  readonly session: Session;
  readonly namespace: readonly string[];
  readonly over: Promise<void>;
  readonly stop: AbortSignal;
  readonly stage: Stage;
  /// Something came.
  heard(): void;
  notes(notes: readonly string[]): void;
  playing(chooser: VideoChooser | undefined): void;
  renditions: PlayerEvents['renditions'];
  waiting(message: string): void;
}

export async function playRound(round: Round): Promise<void> {
  const abort = new AbortController();
  const { signal } = abort;
  const stopped = new Promise<void>((resolve) => round.stop.addEventListener('abort', () => resolve()));
  try {
    const reader = await openCatalog(round.session, round.namespace, signal);
    const first = await Promise.race([firstCatalog(reader.subscription, reader.read, round), round.over, stopped]);
    if (first === undefined) {
      return;
    }
    const silence = new Silence();
    const events: SourceEvents = {
      arrived: (source, decodeTime, bytes) => {
        silence.heard();
        round.heard();
        round.stage.arrived(source, decodeTime, bytes);
      },
      sound: (source, sample) => round.stage.sound(source, sample),
      origin: (time) => round.stage.origin(time),
    };
    const tracks = startTracks(round, first.catalog, events, signal);
    const changed = catalogChanges(reader.subscription, first.text);
    await Promise.race([tracks, changed, silence.fallen(signal), round.over, stopped]);
  } finally {
    abort.abort();
  }
}

async function firstCatalog(
  subscription: Subscription,
  read: (bytes: Uint8Array) => Catalog,
  round: Round,
): Promise<{ catalog: Catalog; text: string } | undefined> {
  for (;;) {
    const object = await subscription.next();
    if (object === undefined) {
      return undefined;
    }
    if (object.status !== 'normal') {
      continue;
    }
    try {
      const catalog = read(object.payload);
      if (catalog.tracks.length > 0) {
        return { catalog, text: textOf(object) };
      }
      round.notes(notesOf(catalog));
      round.waiting('The broadcast has nothing that can be played here, yet.');
    } catch (error) {
      if (!(error instanceof CatalogError)) {
        throw error;
      }
      round.waiting(`The broadcast cannot be played: ${error.message}.`);
    }
  }
}

/// Resolves when the catalog says something else than `text`, or ends.
async function catalogChanges(subscription: Subscription, text: string): Promise<void> {
  for (;;) {
    const object = await subscription.next();
    if (object === undefined || (object.status === 'normal' && object.object === 0n && textOf(object) !== text)) {
      return;
    }
  }
}

function textOf(object: MoqObject): string {
  return new TextDecoder().decode(object.payload);
}

/// Starts sound and picture; resolves or throws when one of them ends.
async function startTracks(round: Round, catalog: Catalog, events: SourceEvents, signal: AbortSignal): Promise<void> {
  const notes = [...notesOf(catalog)];
  const playable = await playableTracks(catalog, events, notes);
  round.notes(notes);
  if (playable.length === 0) {
    round.waiting('This browser decodes none of the broadcast’s tracks.');
    return new Promise((resolve) => signal.addEventListener('abort', () => resolve()));
  }
  const { session, namespace, stage } = round;
  const running: Promise<void>[] = [];
  const sound = playable.find(({ kind }) => kind === 'audio');
  const videos = playable.filter(({ kind }) => kind === 'video');
  const start = async (track: CatalogTrack, stop: AbortSignal): Promise<void> => {
    const source = new Source(track, events);
    const configured = await configure(source);
    if (configured !== undefined && !stop.aborted) {
      stage.add(source, configured);
      await source.run(session, namespace, stop);
    }
  };
  if (sound !== undefined) {
    running.push(start(sound, signal));
  }
  const chooser = videos.length === 0 ? undefined : new VideoChooser(videos, start, round.renditions, signal);
  if (chooser !== undefined) {
    running.push(chooser.ended);
  }
  round.playing(chooser);
  await Promise.race(running);
}

async function playableTracks(catalog: Catalog, events: SourceEvents, notes: string[]): Promise<CatalogTrack[]> {
  const playable: CatalogTrack[] = [];
  for (const track of catalog.tracks) {
    let why = `this browser does not decode ${cut(track.codec)}`;
    try {
      if ((await configure(new Source(track, events))) !== undefined) {
        playable.push(track);
        continue;
      }
    } catch (error) {
      why = error instanceof Error ? error.message : why;
    }
    notes.push(`${cut(track.name)}: ${why}`);
  }
  return playable;
}

function notesOf(catalog: Catalog): string[] {
  const notes = catalog.skipped.map(({ name, why }) => `${name}: ${why}`);
  return catalog.beyond > 0 ? [...notes, `${catalog.beyond} more tracks are not looked at`] : notes;
}

/// Notices that nothing arrives any more.
class Silence {
  #last = performance.now();

  heard(): void {
    this.#last = performance.now();
  }

  fallen(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const timer = setInterval(() => {
        if (performance.now() - this.#last > SILENCE) {
          resolve();
        }
      }, 500);
      signal.addEventListener('abort', () => clearInterval(timer));
    });
  }
}
