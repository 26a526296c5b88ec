/// One round of playing: from a catalog to the end of what it describes.
///
/// Tracks begin anew when the catalog offers something else. A round ends when a track or the catalog ends, when nothing
/// arrives for some seconds, or when the session is over. The player then begins another, which finds out by itself what is there now.

import type { Session } from '../../moqt';
import { CatalogFeed } from '../catalog/feed';
import { type Catalog, type CatalogTrack, cut } from '../catalog/model';
import { openCatalog } from '../catalog/open';
import { type Configured, configure } from './config';
import { isOfTrack, Source, type SourceEvents, UnplayableError } from './source';
import { pageNow, type Stage } from './stage';
import type { PlayerEvents } from './status';
import { VideoChooser } from './videos';

/// Changes of a catalog come in bursts; and who is asked for a track anew has to see first that the old subscription is over.
const SETTLE = 100;
/// Nothing arrives for so long: ask again.
const SILENCE = 4000;

export interface Round {
  readonly session: Session;
  readonly namespace: readonly string[];
  readonly over: Promise<void>;
  readonly stop: AbortSignal;
  readonly stage: Stage;
  /// Media came.
  heard(): void;
  /// All that there is to say of tracks that are not played.
  notes(notes: readonly string[]): void;
  /// One more.
  note(note: string): void;
  /// The rendition that the viewer chose, undefined for the automatic choice.
  wish(): string | undefined;
  playing(chooser: VideoChooser | undefined): void;
  renditions: PlayerEvents['renditions'];
  waiting(message: string): void;
}

export async function playRound(round: Round): Promise<void> {
  const abort = new AbortController();
  const stopped = new Promise<void>((resolve) => round.stop.addEventListener('abort', () => resolve()));
  const over = Promise.race([round.over, stopped]).then(() => undefined);
  try {
    const reader = await openCatalog(round.session, round.namespace, abort.signal);
    const feed = new CatalogFeed(reader, {
      unusable: (why, catalog) => {
        round.notes(catalog === undefined ? [] : notesOf(catalog));
        round.waiting(why);
      },
      left: (why) => round.note(`A change of the catalog is left out: ${why}`),
    });
    for (;;) {
      const catalog = await Promise.race([feed.playable(), over]);
      if (catalog === undefined || !(await playCatalog(round, feed, catalog, over))) {
        return;
      }
      round.stage.clear();
      await Promise.race([over, new Promise((resolve) => setTimeout(resolve, SETTLE))]);
    }
  } finally {
    abort.abort();
  }
}

/// Plays what `catalog` offers. True if the round goes on with another catalog.
async function playCatalog(round: Round, feed: CatalogFeed, catalog: Catalog, over: Promise<void>): Promise<boolean> {
  const abort = new AbortController();
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
  try {
    const tracks = startTracks(round, catalog, events, silence, abort.signal);
    const ended = Promise.race([tracks, silence.fallen(abort.signal), over]).then(() => false);
    return await Promise.race([ended, feed.changed(catalog)]);
  } finally {
    abort.abort();
  }
}

/// Starts sound and picture; resolves or throws when one of them ends. If nothing can be played, only another catalog helps.
async function startTracks(
  round: Round,
  catalog: Catalog,
  events: SourceEvents,
  silence: Silence,
  signal: AbortSignal,
): Promise<void> {
  const notes = [...notesOf(catalog)];
  const playable = await playableTracks(catalog, events, notes);
  round.notes(notes);
  if (playable.size === 0) {
    const tooOld = !('VideoDecoder' in globalThis || 'AudioDecoder' in globalThis);
    round.waiting(
      tooOld
        ? 'This browser cannot decode for a page: it has no WebCodecs. Use a current Chrome, Edge, Firefox or Safari.'
        : 'This browser decodes none of the broadcast’s tracks.',
    );
    return new Promise((resolve) => signal.addEventListener('abort', () => resolve()));
  }
  silence.heard();
  const { stage } = round;
  const running: Promise<void>[] = [];
  const sounds = [...playable.keys()].filter(({ kind }) => kind === 'audio');
  const videos = [...playable.keys()].filter(({ kind }) => kind === 'video');
  const start = async (track: CatalogTrack, stop: AbortSignal): Promise<void> => {
    const configured = playable.get(track);
    if (configured !== undefined && !stop.aborted) {
      await playTrack(round, new Source(track, events), configured, stop);
    }
  };
  const video = {
    start,
    shown: () => stage.shown?.track.name,
    renditions: round.renditions,
    note: round.note,
  };
  // Pictures first: opening the way to the loudspeakers keeps the page busy.
  const chooser = videos.length === 0 ? undefined : new VideoChooser(videos, video, signal, pageNow(), round.wish());
  if (chooser !== undefined) {
    running.push(chooser.ended);
  }
  if (sounds.length > 0) {
    const sound = playSound(sounds, (track) => start(track, signal), round.note);
    // Without sound the pictures go on.
    running.push(sound.catch((error: unknown) => (videos.length > 0 && isOfTrack(error) ? forever : throws(error))));
  }
  round.playing(chooser);
  await Promise.race(running);
}

/// Asks for the track, and sets up its decoder while the answer is under way.
async function playTrack(round: Round, source: Source, configured: Configured, stop: AbortSignal): Promise<void> {
  const { session, namespace, stage } = round;
  const given = new AbortController();
  stop.addEventListener('abort', () => given.abort(), { once: true });
  const reading = source.run(session, namespace, given.signal);
  try {
    putOn(stage, source, configured);
    stop.addEventListener('abort', () => stage.dismiss(source), { once: true });
    await reading;
  } catch (error) {
    given.abort();
    reading.catch(() => {});
    if (!stop.aborted) {
      stage.remove(source);
    }
    throw error;
  }
}

function putOn(stage: Stage, source: Source, configured: Configured): void {
  try {
    stage.add(source, configured);
  } catch {
    const what = configured.kind === 'video' ? 'its picture' : 'its sound';
    throw new UnplayableError(`${what} cannot be played in this browser`);
  }
}

const forever = new Promise<never>(() => {});

function throws(error: unknown): never {
  throw error;
}

/// Plays the first track that can be played.
async function playSound(
  tracks: readonly CatalogTrack[],
  start: (track: CatalogTrack) => Promise<void>,
  note: Round['note'],
): Promise<void> {
  let failure: unknown;
  for (const track of tracks) {
    try {
      return await start(track);
    } catch (error) {
      if (!isOfTrack(error)) {
        throw error;
      }
      failure = error;
      note(`${cut(track.name)}: ${error instanceof Error ? error.message : 'it cannot be had'}`);
    }
  }
  throw failure;
}

/// The tracks that this browser decodes, and how. It is asked for all at once, since the first picture waits for the answers.
async function playableTracks(
  catalog: Catalog,
  events: SourceEvents,
  notes: string[],
): Promise<ReadonlyMap<CatalogTrack, Configured>> {
  const answers = await Promise.all(catalog.tracks.map((track) => decoderOf(track, events)));
  const playable = new Map<CatalogTrack, Configured>();
  for (const [index, track] of catalog.tracks.entries()) {
    const answer = answers[index];
    if (typeof answer === 'object') {
      playable.set(track, answer);
    } else {
      notes.push(`${cut(track.name)}: ${answer}`);
    }
  }
  return playable;
}

/// How the track is decoded, or why not.
async function decoderOf(track: CatalogTrack, events: SourceEvents): Promise<Configured | string> {
  const decoder = track.kind === 'video' ? 'VideoDecoder' : 'AudioDecoder';
  if (!(decoder in globalThis)) {
    return `this browser has no ${decoder}; use a current Chrome, Edge, Firefox or Safari`;
  }
  const why = `this browser does not decode ${cut(track.codec)}`;
  try {
    return (await configure(new Source(track, events))) ?? why;
  } catch (error) {
    return error instanceof Error ? error.message : why;
  }
}

function notesOf(catalog: Catalog): string[] {
  const notes = catalog.skipped.map(({ name, why }) => `${name}: ${why}`);
  return catalog.beyond > 0 ? [...notes, `${catalog.beyond} more tracks are not looked at`] : notes;
}

/// Notices that nothing arrives any more, from the first call of `heard` on.
class Silence {
  #last = Number.POSITIVE_INFINITY;

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
