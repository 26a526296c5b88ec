/// Plays a broadcast and keeps at it: connects, waits for the broadcast, joins its tracks, and starts over at whatever
/// step failed. Nothing but `stop` ends it.

import { ConnectError, type Session } from '../../moqt';
import { isForbidden, isMissing } from '../catalog/open';
import { Drought } from '../core/drought';
import type { Endpoint, Endpoints } from '../core/endpoints';
import { Pace } from '../core/pace';
import { Pulse } from '../io/pulse';
import { dial, learnAlternates } from '../io/relay';
import { playRound } from './round';
import type { Source } from './source';
import { pageNow, Stage } from './stage';
import type { PlayerEvents, PlayerState, PlayerStats } from './status';
import type { VideoChooser } from './videos';

/// How long to wait before asking again for a broadcast that is not there, should no announcement come.
const ASK_AGAIN = 3000;
/// After a refusal.
const ASK_AGAIN_LATER = 10_000;

const ELSEWHERE = 'Nothing comes; looking at another relay …';
const BACK = 'Nothing comes there either; back to the relay before …';

export interface PlayerOptions {
  readonly canvas: HTMLCanvasElement;
  readonly endpoints: Endpoints;
  readonly namespace: readonly string[];
  /// Where the sound's worklet module is served.
  readonly workletUrl: string;
  readonly token?: string;
  /// Milliseconds behind the live edge.
  readonly target: number;
  readonly events: PlayerEvents;
}

export class Player {
  readonly #options: PlayerOptions;
  readonly #stage: Stage;
  readonly #stop = new AbortController();
  readonly #began = performance.now();
  readonly #drought = new Drought(0.5 + Math.random());
  readonly #pace = new Pace();
  #session: Session | undefined;
  #runsDry: () => void = () => {};
  #firstFrame: number | undefined;
  #chooser: VideoChooser | undefined;
  #wish: string | undefined;
  #state: PlayerState | undefined;
  #message = '';
  #notes: readonly string[] = [];

  constructor(options: PlayerOptions) {
    this.#options = options;
    const { canvas, workletUrl, events, target } = options;
    const stageEvents = {
      firstFrame: () => {
        this.#firstFrame ??= performance.now() - this.#began;
      },
      failed: (source: Source, message: string) => {
        this.#stage.remove(source);
        const { kind, name } = source.track;
        if (kind === 'video') {
          this.#chooser?.undecodable(name, message);
        } else {
          this.#note(message);
        }
      },
      replaced: (source: Source) => this.#chooser?.replaced(source.track.name),
      stalled: (now: number) => this.#chooser?.stalled(now),
      soundBlocked: (blocked: boolean) => events.soundBlocked(blocked),
    };
    this.#stage = new Stage(canvas, workletUrl, stageEvents, target * 1000);
  }

  /// Begins, and goes on until `stop`.
  start(): void {
    this.#refresh();
    const timer = setInterval(() => this.#beat(), 100);
    const visible = () => this.#stage.setHidden(document.hidden);
    document.addEventListener('visibilitychange', visible);
    visible();
    this.#stop.signal.addEventListener('abort', () => {
      clearInterval(timer);
      document.removeEventListener('visibilitychange', visible);
    });
    this.#run().catch((error: unknown) => {
      this.#tell('failed', `The player stopped for a reason of its own: ${wordsOf(error)}`);
    });
  }

  stop(): void {
    this.#stop.abort();
    this.#session?.close();
    this.#stage.clear();
    this.#tell('stopped', '');
  }

  setTarget(milliseconds: number): void {
    this.#stage.clock.setTarget(milliseconds * 1000);
  }

  setVolume(volume: number): void {
    this.#stage.setVolume(volume);
  }

  /// To be called from a click or a key press, if the browser held the sound back.
  resumeSound(): void {
    this.#stage.resumeSound().catch(() => {
      // Still blocked; the page goes on saying so.
    });
  }

  /// The name of a rendition, or undefined for the automatic choice.
  choose(name: string | undefined): void {
    this.#wish = name;
    this.#chooser?.choose(name, pageNow());
  }

  stats(): PlayerStats {
    return {
      ...this.#stage.stats(),
      firstFrame: this.#firstFrame,
      rtt: this.#session?.rtt,
      relay: this.#session?.url ?? '',
    };
  }

  #refresh(): void {
    if (!this.#stop.signal.aborted) {
      this.#stage.tick();
      requestAnimationFrame(() => this.#refresh());
    }
  }

  #beat(): void {
    this.#stage.tick();
    if (this.#drought.look(performance.now()) && this.#options.endpoints.hasOthers) {
      this.#runsDry();
    }
    const shown = this.#options.canvas.clientHeight * devicePixelRatio;
    this.#chooser?.update(pageNow(), document.hidden ? 0 : shown);
    const { state } = this.#stage.clock;
    if (this.#state === 'playing' && state === 'stalled') {
      this.#tell('buffering', '');
    } else if (this.#state === 'buffering' && state === 'running') {
      this.#tell('playing', '');
    }
  }

  async #run(): Promise<void> {
    const { endpoints } = this.#options;
    let trouble = '';
    while (!this.#stop.signal.aborted) {
      const again = this.#firstFrame === undefined ? 'Connecting …' : 'The connection was lost; connecting again …';
      this.#tell('connecting', trouble || again);
      this.#drought.begin(performance.now(), endpoints.elsewhere);
      let wait: number | undefined;
      try {
        const endpoint = this.#endpoint();
        const { token } = this.#options;
        const { signal } = this.#stop;
        const session = await dial(endpoint, token === undefined ? { signal } : { signal, token });
        trouble = '';
        this.#drought.begin(performance.now(), endpoints.elsewhere);
        this.#session = session;
        learnAlternates(endpoint, endpoints);
        if ((await this.#watch(session)) === 'dry') {
          trouble = endpoints.elsewhere ? BACK : ELSEWHERE;
          endpoints.look();
          wait = 0;
        }
        session.close();
      } catch (error) {
        trouble = `${wordsOf(error)} Trying again …`;
        if (error instanceof ConnectError && error.kind === 'unsupported') {
          this.#tell('failed', error.message);
          return;
        }
      }
      this.#session = undefined;
      this.#stage.clear();
      await pause(wait ?? endpoints.failed(), this.#stop.signal);
    }
  }

  #endpoint(): Endpoint {
    const { current } = this.#options.endpoints;
    if (current === undefined) {
      throw new ConnectError('refused', 'There is no relay to connect to.');
    }
    return current;
  }

  /// Plays round after round until the session ends, or it is time to look at another relay.
  async #watch(session: Session): Promise<'over' | 'dry'> {
    let open = true;
    let isDry = false;
    const dry = new Promise<void>((resolve) => {
      this.#runsDry = () => {
        if (!open) {
          return;
        }
        isDry = true;
        open = false;
        resolve();
      };
    });
    const closed = session.closed.then(() => {
      open = false;
    });
    const moved = session.goaway.then(({ uri }) => {
      this.#options.endpoints.sentTo(uri);
      open = false;
    });
    const over = Promise.race([closed, moved, dry]);
    const pulse = new Pulse(session);
    pulse.gone.then(() => session.close());
    over.then(() => pulse.stop());
    while (open && !this.#stop.signal.aborted) {
      const began = performance.now();
      try {
        await this.#round(session, over, () => {
          pulse.heard();
          this.#drought.heard(performance.now());
          this.#options.endpoints.heard();
          this.#pace.reset();
        });
        if (open) {
          this.#tell('waiting', 'Nothing comes from the broadcast at present; waiting for it …');
        }
        // What ended may be back at once, or stay away: the next round tells.
        await Promise.race([over, pause(100, this.#stop.signal)]);
      } catch (error) {
        await Promise.race([over, this.#explain(session, error)]);
      }
      this.#stage.clear();
      await Promise.race([over, pause(this.#pace.next(performance.now() - began), this.#stop.signal)]);
    }
    this.#runsDry = () => {};
    return isDry ? 'dry' : 'over';
  }

  async #round(session: Session, over: Promise<void>, heard: () => void): Promise<void> {
    const { namespace, events } = this.#options;
    await playRound({
      session,
      namespace,
      over,
      stop: this.#stop.signal,
      stage: this.#stage,
      heard,
      notes: (notes) => this.#noteAll(notes),
      note: (note) => this.#note(note),
      wish: () => this.#wish,
      playing: (chooser) => {
        this.#chooser = chooser;
        this.#options.endpoints.answered();
        this.#tell('playing', '');
      },
      renditions: (...list) => events.renditions(...list),
      waiting: (message) => {
        this.#options.endpoints.answered();
        this.#tell('waiting', message);
      },
    });
  }

  /// Says why there is nothing to play, and returns when it is worth trying again.
  async #explain(session: Session, error: unknown): Promise<void> {
    const { signal } = this.#stop;
    const name = this.#options.namespace.join('/');
    if (isMissing(error) || isForbidden(error)) {
      this.#options.endpoints.answered();
    }
    if (isMissing(error)) {
      const gone =
        this.#firstFrame === undefined ? `There is no broadcast ${name} yet` : `The broadcast ${name} has paused`;
      this.#tell('waiting', `${gone}. It starts here by itself as soon as it is there.`);
      await this.#announced(session);
    } else if (isForbidden(error)) {
      this.#tell('waiting', `You are not allowed to watch ${name}: ${wordsOf(error)}`);
      await pause(ASK_AGAIN_LATER, signal);
    } else {
      this.#tell('waiting', `The broadcast ${name} cannot be read: ${wordsOf(error)}. Trying again …`);
      await pause(1000, signal);
    }
  }

  /// Waits for an announcement, for some seconds.
  async #announced(session: Session): Promise<void> {
    const { namespace } = this.#options;
    const changes = session.namespaces(namespace);
    const cancel = setTimeout(() => changes.cancel(), ASK_AGAIN);
    try {
      for await (const change of changes) {
        if (change.active && change.namespace.join('/') === namespace.join('/')) {
          return;
        }
      }
    } catch {
      // No news to be had from this relay.
    } finally {
      clearTimeout(cancel);
      changes.cancel();
    }
    this.#pace.reset();
    await pause(500, this.#stop.signal);
  }

  #noteAll(notes: readonly string[]): void {
    this.#notes = notes;
    this.#options.events.notes(notes);
  }

  #note(note: string): void {
    if (!this.#notes.includes(note)) {
      this.#noteAll([...this.#notes, note]);
    }
  }

  #tell(state: PlayerState, message: string): void {
    if (this.#state !== state || this.#message !== message) {
      this.#state = state;
      this.#message = message;
      this.#options.events.status({ state, message });
    }
  }
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown error';
}

export function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, signal.aborted ? 0 : milliseconds);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
