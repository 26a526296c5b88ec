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
  #next: Endpoint | undefined;
  /// Where the page was sent, and belongs until that ends.
  #sent: Endpoint | undefined;
  /// How often in a row the page was sent on and saw nothing.
  #moves = 0;

  constructor(first: readonly Endpoint[]) {
    this.#list = first.slice(0, MAX_ENDPOINTS);
  }

  get all(): readonly Endpoint[] {
    return this.#list;
  }

  get current(): Endpoint | undefined {
    return (this.#home === undefined ? this.#sent : undefined) ?? this.#list[this.#at];
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

  /// The relay sends the page to another place, which is the next unless this is a look elsewhere. It is no place to come back to:
  /// the address may be of this page alone.
  sentTo(uri: string): void {
    const known = this.#sent === undefined ? this.#list : [this.#sent, ...this.#list];
    this.#next = this.#home === undefined ? sentPlace(uri, known) : undefined;
  }

  /// The relay answered; a session alone is no success, it may end at once.
  answered(): void {
    this.#failures = 0;
  }

  /// Media came: the page belongs where it is.
  heard(): void {
    this.#failures = 0;
    this.#moves = 0;
    if (this.#home !== undefined) {
      this.#home = undefined;
      this.#sent = undefined;
    }
  }

  /// Whether this is a look elsewhere.
  get elsewhere(): boolean {
    return this.#home !== undefined;
  }

  /// Turns to another place for a look, to each in turn; or back.
  look(): void {
    this.#next = undefined;
    if (this.#home !== undefined) {
      this.#at = this.#home;
      this.#home = undefined;
      return;
    }
    const others = this.#others();
    const other = others[this.#looks % others.length];
    if (other !== undefined) {
      this.#home = this.#at;
      this.#at = other;
      this.#looks += 1;
    }
  }

  /// Whether there is a place to look at.
  get hasOthers(): boolean {
    return this.#others().length > 0;
  }

  /// All places but the one at hand, which may be another than the list has there; the next first.
  #others(): number[] {
    const here = this.current?.url;
    const next = [...this.#list.keys()].map((step) => (this.#at + 1 + step) % this.#list.length);
    return next.filter((at) => this.#list[at]?.url !== here);
  }

  /// The session ended or was not made, which ends a look elsewhere; returns how long to wait in milliseconds before `current` is tried.
  failed(): number {
    const next = this.#next;
    this.#next = undefined;
    if (next !== undefined && this.#moves < MOST_MOVES) {
      this.#sent = next;
      this.#moves += 1;
      return waitOf(this.#moves - 1);
    }
    this.#moves = 0;
    this.#failures += 1;
    if (this.#home === undefined) {
      this.#at = this.#others()[0] ?? this.#at;
      this.#sent = undefined;
    } else {
      this.#at = this.#home;
      this.#home = undefined;
    }
    return waitOf(Math.floor(this.#failures / Math.max(1, this.#list.length)));
  }
}

/// The wait behind so many rounds in vain.
function waitOf(rounds: number): number {
  return rounds === 0 ? 0 : Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** Math.min(10, rounds - 1));
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
    const same =
      known.find((place) => place.url === url.href) ?? known.find((place) => new URL(place.url).origin === url.origin);
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
