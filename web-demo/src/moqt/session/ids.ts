/// Request ids that the peer has used: its own parity, each once, in any order (draft section "Request ID").

/** Ids beyond the next expected one that are remembered; a peer opens streams nearly in order. */
const MAX_AHEAD = 1024;

export class PeerIds {
  #next: bigint;
  readonly #ahead = new Set<bigint>();

  /** `first` is the peer's first id: 0 for a client, 1 for a server. */
  constructor(first: bigint) {
    this.#next = first;
  }

  /** Whether the peer may use this id now; it counts as used then. */
  use(id: bigint): boolean {
    if (id % 2n !== this.#next % 2n || id < this.#next || this.#ahead.has(id)) return false;
    this.#ahead.add(id);
    while (this.#ahead.delete(this.#next)) this.#next += 2n;
    return this.#ahead.size <= MAX_AHEAD;
  }
}
