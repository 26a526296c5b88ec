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
/// So often the page lets itself be sent on without having seen anything.
const MOST_MOVES = 4;
const FIRST_WAIT = 250;
const LONGEST_WAIT = 5000;

export class Endpoints {
  #list: Endpoint[];
  #at = 0;
  #failures = 0;
  /// Where the page belongs while it looks elsewhere.
  #home: number | undefined;
  #looks = 0;
  /// Where the relay at hand sends the page.
  #next: number | undefined;
  /// How often the page was sent on since media came.
  #moves = 0;

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

  /// The relay sends the page to another place, which is the next unless this is a look elsewhere.
  sentTo(uri: string): void {
    const place = sentPlace(uri, this.#list);
    if (place !== undefined) {
      this.add([place]);
      const at = this.#list.findIndex(({ url }) => url === place.url);
      this.#next = at < 0 ? undefined : at;
    }
  }

  /// The relay answered; a session alone is no success, it may end at once.
  answered(): void {
    this.#failures = 0;
  }

  /// Media came: the page belongs where it is.
  heard(): void {
    this.#failures = 0;
    this.#moves = 0;
    this.#home = undefined;
  }

  /// Whether this is a look elsewhere.
  get elsewhere(): boolean {
    return this.#home !== undefined;
  }

  /// Turns to another place for a look, to each in turn; or back.
  look(): void {
    this.#next = undefined;
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
    const places = Math.max(1, this.#list.length);
    this.#failures += 1;
    this.#moves += this.#next === undefined ? 0 : 1;
    const sent = this.#moves > MOST_MOVES ? undefined : this.#next;
    this.#at = this.#home ?? sent ?? (this.#at + 1) % places;
    this.#next = undefined;
    this.#home = undefined;
    const rounds = Math.max(Math.floor(this.#failures / places), this.#moves - 1);
    return rounds <= 0 ? 0 : Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** Math.min(10, rounds - 1));
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

/// Where a relay sends its clients, with the hashes that are known of that host if it gives none. Undefined if it is no place.
export function sentPlace(uri: string, known: readonly Endpoint[]): Endpoint | undefined {
  try {
    const url = new URL(uri.replace(/^moqt:/, 'https:'));
    const hashes = hashesOf(url.hash);
    url.hash = '';
    const same = known.find((place) => new URL(place.url).origin === url.origin);
    return url.protocol === 'https:'
      ? { url: url.href, hashes: hashes.length > 0 ? hashes : (same?.hashes ?? []) }
      : undefined;
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
