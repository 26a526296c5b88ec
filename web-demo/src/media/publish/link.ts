/// Keeps a namespace published: connects, announces, and when the connection is lost connects again, here or at another node.
///
/// The tracks are those of the broadcast, whatever session serves them: subscribers of a new session go on where the tracks are.

import { ConnectError, MoqtError, type PublishedTrack, RequestCode, type Session } from '../../moqt';
import { type Endpoint, endpointOf, hashesOf } from '../core/endpoints';
import { SENDING } from '../core/liveness';
import { Pulse } from '../io/pulse';
import { alternatesOfRelay, dial } from '../io/relay';
import type { FromWorker, Settings } from './messages';

/** Waits between attempts, in milliseconds; the last one repeats. */
const WAITS = [200, 500, 1000, 2000, 5000];
/** How long a session that we are asked to leave serves its subscribers on. */
const FAREWELL_MS = 2000;

type Tell = (message: FromWorker) => void;

export class Link {
  readonly #settings: Settings;
  readonly #track: (name: string) => PublishedTrack | undefined;
  readonly #tell: Tell;
  readonly #stop = new AbortController();
  #session: Session | undefined;
  #wasLive = false;
  #alternates: readonly Endpoint[] = [];

  constructor(settings: Settings, track: (name: string) => PublishedTrack | undefined, tell: Tell) {
    this.#settings = settings;
    this.#track = track;
    this.#tell = tell;
  }

  get session(): Session | undefined {
    return this.#session;
  }

  close(): void {
    this.#stop.abort();
  }

  /** Runs until closed; throws what trying again cannot mend, with words for the user. */
  async run(): Promise<void> {
    let failures = 0;
    /** Of the places, the one whose turn it is: what died seldom is back within a second. */
    let turn = 0;
    let moveTo: string | undefined;
    while (!this.#stop.signal.aborted) {
      this.#tell({ kind: 'connecting', again: this.#wasLive });
      const places = moveTo ? [this.#known(moveTo)] : await this.#places();
      moveTo = undefined;
      const place = places[turn % places.length];
      try {
        moveTo = await this.#serve(place ?? this.#own);
        failures = 0;
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        if (!this.#wasLive && isFinal(error)) throw error;
        this.#tell({ kind: 'warning', message: `${words(error)} Trying again.` });
        failures += 1;
      }
      turn += 1;
      if (!moveTo) await this.#pause(WAITS[Math.min(failures, WAITS.length - 1)] ?? 5000);
    }
  }

  /** Publishes at `place` until that ends; returns where to go instead, if the relay says so. */
  async #serve(place: Endpoint): Promise<string | undefined> {
    const { token, namespace } = this.#settings;
    const before = this.#session;
    const session = await dial(place, { signal: this.#stop.signal, ...(token ? { token } : {}) });
    const pulse = new Pulse(session, SENDING);
    void session.closed.then(() => pulse.stop());
    try {
      const publication = await session.publishNamespace(namespace, this.#track);
      this.#session = session;
      this.#wasLive = true;
      if (before) setTimeout(() => before.close(), FAREWELL_MS);
      this.#tell({ kind: 'live', relay: session.url });
      const moved = await Promise.race([
        session.closed.then(() => undefined),
        publication.closed.then(() => undefined),
        pulse.gone.then(() => undefined),
        session.goaway.then(({ uri }) => uri || place.url),
      ]);
      // A session that we are sent away from serves its subscribers until the next one is there.
      if (moved) return moved;
      this.#session = undefined;
    } catch (error) {
      session.close();
      throw error;
    }
    session.close();
    return undefined;
  }

  get #own(): Endpoint {
    const { relay: url, certificateHashes } = this.#settings;
    return { url, hashes: hashesOf(certificateHashes.map((hash) => `sha256=${hash}`).join('&')) };
  }

  /** The relay, and the other nodes that it tells of. */
  async #places(): Promise<Endpoint[]> {
    if (!this.#wasLive) this.#alternates = await alternatesOfRelay(this.#own);
    return this.#wasLive ? [this.#own, ...this.#alternates] : [this.#own];
  }

  /** Where a relay sends us may be one that it told of before. */
  #known(url: string): Endpoint {
    const place = endpointOf(url)?.url;
    const { hashes } = this.#alternates.find((other) => other.url === place) ?? this.#own;
    return { url, hashes };
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const signal = this.#stop.signal;
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener('abort', done);
      if (signal.aborted) done();
    });
  }
}

/** Whether trying again is of no use. */
function isFinal(error: unknown): boolean {
  if (error instanceof ConnectError) return error.kind === 'unauthorized' || error.kind === 'unsupported';
  return error instanceof MoqtError && error.kind === 'refused' && error.retryAfterMs === undefined;
}

/** What happened, for the user of the page. */
export function words(error: unknown): string {
  if (error instanceof MoqtError && error.kind === 'refused' && error.code === RequestCode.unauthorized) {
    return 'The relay does not let us publish under this name: somebody else has it, or an access token is needed.';
  }
  if (error instanceof MoqtError) return `The relay does not take the broadcast: ${error.message}.`;
  return error instanceof Error ? error.message : String(error);
}
