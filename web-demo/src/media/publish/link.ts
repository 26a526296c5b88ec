/// Keeps a namespace published: connects, announces, and when the connection is lost connects again, here or at another node.
///
/// The tracks are those of the broadcast, whatever session serves them: subscribers of a new session go on where the tracks are.

import { ConnectError, connect, MoqtError, type PublishedTrack, RequestCode, type Session } from '../../moqt';
import type { FromWorker, Settings } from './messages';

/** Waits between attempts, in milliseconds; the last one repeats. */
const WAITS = [200, 500, 1000, 2000, 5000];
/** A relay that is gone may leave a request without an answer. */
const FETCH_MS = 3000;
/** How long a session that we are asked to leave serves its subscribers on. */
const FAREWELL_MS = 2000;

interface Place {
  readonly url: string;
  readonly hashes: readonly Uint8Array[];
}

type Tell = (message: FromWorker) => void;

export class Link {
  readonly #settings: Settings;
  readonly #track: (name: string) => PublishedTrack | undefined;
  readonly #tell: Tell;
  readonly #stop = new AbortController();
  #session: Session | undefined;
  #wasLive = false;

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
    let moveTo: string | undefined;
    while (!this.#stop.signal.aborted) {
      this.#tell({ kind: 'connecting', again: this.#wasLive });
      const places = moveTo ? [{ url: moveTo, hashes: await this.#hashes() }] : await this.#places();
      moveTo = undefined;
      const place = places[failures % places.length];
      try {
        if (place) moveTo = await this.#serve(place);
        failures = 0;
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        if (!this.#wasLive && isFinal(error)) throw error;
        this.#tell({ kind: 'warning', message: `${words(error)} Trying again.` });
        failures += 1;
      }
      if (!moveTo) await this.#pause(WAITS[Math.min(failures, WAITS.length - 1)] ?? 5000);
    }
  }

  /** Publishes at `place` until that ends; returns where to go instead, if the relay says so. */
  async #serve(place: Place): Promise<string | undefined> {
    const { token, namespace } = this.#settings;
    const before = this.#session;
    const session = await connect(place.url, {
      certificateHashes: place.hashes,
      signal: this.#stop.signal,
      ...(token ? { token } : {}),
    });
    try {
      const publication = await session.publishNamespace(namespace, this.#track);
      this.#session = session;
      this.#wasLive = true;
      if (before) setTimeout(() => before.close(), FAREWELL_MS);
      this.#tell({ kind: 'live', relay: session.url });
      const moved = await Promise.race([
        session.closed.then(() => undefined),
        publication.closed.then(() => undefined),
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

  /** The relay, and the other nodes that it tells of. */
  async #places(): Promise<Place[]> {
    const hashes = await this.#hashes();
    const places: Place[] = [{ url: this.#settings.relay, hashes }];
    if (this.#wasLive) places.push(...this.#alternates);
    else this.#alternates = await alternates();
    return places;
  }

  #alternates: Place[] = [];

  /** What the address names, else what the relay names: certificates change every few days. */
  async #hashes(): Promise<Uint8Array[]> {
    const given = this.#settings.certificateHashes.flatMap((hex) => fromHex(hex) ?? []);
    if (given.length > 0) return given;
    const told = await fetchText('/certificate.sha256');
    const hash = told && fromHex(told.trim());
    return hash ? [hash] : [];
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

async function fetchText(path: string): Promise<string | undefined> {
  const signal = AbortSignal.timeout(FETCH_MS);
  const response = await fetch(new URL(path, self.location.origin), { signal }).catch(() => undefined);
  return response?.ok ? response.text().catch(() => undefined) : undefined;
}

async function alternates(): Promise<Place[]> {
  const list: unknown = parse((await fetchText('/api/v1/alternates')) ?? '');
  if (!Array.isArray(list)) return [];
  return list.slice(0, 16).flatMap((entry: { url?: unknown; sha256?: unknown } | null) => {
    if (typeof entry?.url !== 'string') return [];
    const hash = typeof entry.sha256 === 'string' ? fromHex(entry.sha256) : undefined;
    return [{ url: entry.url, hashes: hash ? [hash] : [] }];
  });
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

function fromHex(hex: string): Uint8Array | undefined {
  if (!/^[0-9a-f]{64}$/i.test(hex)) return undefined;
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
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
