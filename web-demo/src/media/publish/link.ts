/// Keeps a namespace published: connects, announces, and when the connection is lost connects again, here or at another node.
///
/// The tracks are those of the broadcast, whatever session serves them: subscribers of a new session go on where the tracks are.

import { ConnectError, MoqtError, type PublishedTrack, RequestCode, type Session } from '../../moqt';
import { type Endpoint, hashesOf, sentPlace } from '../core/endpoints';
import { SENDING } from '../core/liveness';
import { Pulse } from '../io/pulse';
import { alternatesOfRelay, dial } from '../io/relay';
import type { FromWorker, Settings } from './messages';

/** Waits between attempts, in milliseconds; the last one repeats. */
const WAITS = [200, 500, 1000, 2000, 5000];
/** Most other relays that are kept. */
const MAX_ALTERNATES = 32;
/** Who is sent on so often in a row, each time within `SETTLED_MS`, looks for a place by itself. */
const MOST_MOVES = 4;
const SETTLED_MS = 10_000;
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
    let last: string | undefined;
    let moves = 0;
    let sent: Endpoint | undefined;
    while (!this.#stop.signal.aborted) {
      this.#tell({ kind: 'connecting', again: this.#wasLive });
      const place = sent ?? this.#after(last);
      sent = undefined;
      last = place.url;
      const began = performance.now();
      try {
        const next = await this.#serve(place);
        const settled = performance.now() - began > SETTLED_MS;
        moves = next === undefined ? 0 : settled ? 1 : moves + 1;
        if (moves <= MOST_MOVES) sent = next;
        else moves = 0;
        if (next === undefined || settled) failures = 0;
        else if (sent === undefined) failures += 1;
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        if (!this.#wasLive && isFinal(error)) throw error;
        this.#tell({ kind: 'warning', message: `${words(error)} Trying again.` });
        failures += 1;
      }
      const wait = sent === undefined ? failures : moves - 2;
      if (wait >= 0) await this.#pause(WAITS[Math.min(wait, WAITS.length - 1)] ?? 5000);
    }
  }

  /** Publishes at `place` until that ends; returns where to go instead, which may be there again, if the relay says so. */
  async #serve(place: Endpoint): Promise<Endpoint | undefined> {
    const { token, namespace } = this.#settings;
    const before = this.#session;
    const session = await dial(place, { signal: this.#stop.signal, ...(token ? { token } : {}) });
    const pulse = new Pulse(session, SENDING);
    void session.closed.then(() => pulse.stop());
    try {
      const publication = await Promise.race([
        session.publishNamespace(namespace, this.#track),
        pulse.gone.then(() => {
          throw new ConnectError('timeout', 'The relay does not answer any more.');
        }),
      ]);
      this.#session = session;
      this.#wasLive = true;
      if (before) setTimeout(() => before.close(), FAREWELL_MS);
      this.#tell({ kind: 'live', relay: session.url });
      void alternatesOfRelay(place).then((others) => this.#learn(others));
      const moved = await Promise.race([
        session.closed.then(() => undefined),
        publication.closed.then(() => undefined),
        pulse.gone.then(() => undefined),
        session.goaway.then(({ uri }) =>
          uri === '' ? place : sentPlace(uri, [place, this.#own, ...this.#alternates]),
        ),
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

  /**
   * Of the relay and the others that are known, the one after `last`: what died seldom is back within a second. Until a relay
   * took the broadcast it is the page's own alone, whose words are what the user has to hear.
   */
  #after(last: string | undefined): Endpoint {
    const places = this.#wasLive ? [this.#own, ...this.#alternates] : [this.#own];
    const at = places.findIndex(({ url }) => url === last);
    return places[(at + 1) % places.length] ?? this.#own;
  }

  /** What relays tell of each other; the newest hashes of a certificate count. */
  #learn(others: readonly Endpoint[]): void {
    const known = new Map(this.#alternates.map((other) => [other.url, other]));
    for (const other of others) {
      if (other.url !== this.#own.url && (known.has(other.url) || known.size < MAX_ALTERNATES))
        known.set(other.url, other);
    }
    this.#alternates = [...known.values()];
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
