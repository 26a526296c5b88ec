/// Where to connect next: the relay that was asked for, then the others the page was told of, in turn.
///
/// Each end of a session moves on to the next place at once, since what died seldom is back within a second. Waits begin
/// once all were tried without success: a quarter of a second, doubling up to five seconds. While the place at hand works and
/// has nothing to play, one other at a time may be looked at. Pure.

export interface Endpoint {
  readonly url: string;
  /// SHA-256 of the certificate, 64 hexadecimal digits; without one, the browser's own trust decides.
  readonly hashes: readonly string[];
}

/// Most places that are kept.
const MAX_ENDPOINTS = 32;
const FIRST_WAIT = 250;
const LONGEST_WAIT = 5000;

export class Endpoints {
  #list: Endpoint[];
  #at = 0;
  #failures = 0;
  /// Where the page belongs while it looks elsewhere.
  #home: number | undefined;
  #looks = 0;
  /// Where a relay sent the page.
  #next: number | undefined;

  constructor(first: readonly Endpoint[]) {
    this.#list = first.slice(0, MAX_ENDPOINTS);
  }

  get all(): readonly Endpoint[] {
    return this.#list;
  }

  get current(): Endpoint | undefined {
    return this.#list[this.#at];
  }

  /// Learns of more places; a known one gets its new hashes.
  add(endpoints: readonly Endpoint[]): void {
    for (const endpoint of endpoints) {
      const known = this.#list.findIndex(({ url }) => url === endpoint.url);
      if (known >= 0) {
        this.#list[known] = endpoint;
      } else if (this.#list.length < MAX_ENDPOINTS) {
        this.#list.push(endpoint);
      }
    }
  }

  /// The relay sends the page to another place, which is the next; one that is known keeps its hashes.
  sentTo(uri: string): void {
    const place = endpointOf(uri);
    if (place === undefined) {
      return;
    }
    const known = this.#list.findIndex(({ url }) => url === place.url);
    if (known < 0 || place.hashes.length > 0) {
      this.add([place]);
    }
    const at = this.#list.findIndex(({ url }) => url === place.url);
    this.#next = at < 0 ? undefined : at;
  }

  /// The relay answered; a session alone is no success, it may end at once.
  answered(): void {
    this.#failures = 0;
  }

  /// Media came: the page belongs where it is.
  heard(): void {
    this.#failures = 0;
    this.#home = undefined;
  }

  /// Whether this is a look elsewhere.
  get elsewhere(): boolean {
    return this.#home !== undefined;
  }

  /// Turns to another place for a look, to each in turn; or back.
  look(): void {
    const others = this.#list.length - 1;
    if (this.#home !== undefined) {
      this.#at = this.#home;
      this.#home = undefined;
    } else if (others > 0) {
      this.#home = this.#at;
      this.#at = (this.#at + 1 + (this.#looks % others)) % this.#list.length;
      this.#looks += 1;
    }
  }

  /// The session ended or was not made, which ends a look elsewhere; returns how long to wait in milliseconds before `current` is tried.
  failed(): number {
    this.#failures += 1;
    this.#at = this.#next ?? this.#home ?? (this.#at + 1) % Math.max(1, this.#list.length);
    this.#next = undefined;
    this.#home = undefined;
    const rounds = Math.floor(this.#failures / Math.max(1, this.#list.length));
    return rounds === 0 ? 0 : Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** Math.min(10, rounds - 1));
  }
}

/// Reads `sha256=HEX` (any number) of a URL's fragment.
export function hashesOf(fragment: string): string[] {
  const hashes = new URLSearchParams(fragment.replace(/^#/, '')).getAll('sha256');
  return hashes.map((hash) => hash.toLowerCase()).filter((hash) => /^[0-9a-f]{64}$/.test(hash));
}

/// Reads one place to connect to: an https URL, hashes in its fragment. Undefined if it is none.
export function endpointOf(text: string): Endpoint | undefined {
  try {
    const url = new URL(text);
    const hashes = hashesOf(url.hash);
    return url.protocol === 'https:' ? { url: `${url.origin}/`, hashes } : undefined;
  } catch {
    return undefined;
  }
}

/// Reads the answer of `/api/v1/alternates`; what is odd in it is left out.
export function alternatesOf(answer: unknown): Endpoint[] {
  const list = Array.isArray(answer) ? answer.slice(0, MAX_ENDPOINTS) : [];
  return list.flatMap((entry: unknown) => {
    const { url, sha256 } = (typeof entry === 'object' && entry !== null ? entry : {}) as Record<string, unknown>;
    const endpoint = typeof url === 'string' ? endpointOf(url) : undefined;
    const hashes = (Array.isArray(sha256) ? sha256 : [sha256]).filter((hash) => typeof hash === 'string');
    return endpoint === undefined
      ? []
      : [{ url: endpoint.url, hashes: [...endpoint.hashes, ...hashesOf(hashes.map((h) => `sha256=${h}`).join('&'))] }];
  });
}
