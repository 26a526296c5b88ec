/// The words of the public face: names, places, objects, and what a session offers. No code.

import type { PublishedTrack } from './published';

export type Bytes = Uint8Array;

/** Properties by type: even types are numbers, odd ones bytes (draft section "Properties"). */
export type Properties = ReadonlyMap<bigint, bigint | Bytes>;

/** Namespace fields and track name are bytes on the wire; strings here are UTF-8. */
export interface FullTrackName {
  readonly namespace: readonly string[];
  readonly name: string;
}

/** A place in a track. Ordered by group, then object. */
export interface Location {
  readonly group: bigint;
  readonly object: bigint;
}

export type ObjectStatus = 'normal' | 'end-of-group' | 'end-of-track';

export interface MoqObject {
  readonly group: bigint;
  readonly subgroup: bigint;
  readonly object: bigint;
  readonly status: ObjectStatus;
  readonly properties: Properties;
  readonly payload: Bytes;
  /** The publisher's priority, 0 to 255; lower is more urgent. */
  readonly priority: number;
}

export interface ConnectOptions {
  /** SHA-256 of certificates to accept besides those the browser trusts; any one of them suffices. */
  readonly certificateHashes?: readonly Bytes[];
  /** Sent in SETUP as an authorization token of type 0. */
  readonly token?: string;
  /** Gives up connecting, or closes the session, when it aborts. */
  readonly signal?: AbortSignal;
  /** How long to wait for a connection and the peer's SETUP, each address by itself. Default 10 000 ms. */
  readonly timeoutMs?: number;
}

export interface SessionEnd {
  readonly code: number;
  readonly reason: string;
  readonly byPeer: boolean;
}

export interface SubscribeOptions {
  /** 0 to 255, lower is more urgent; default 128. */
  readonly priority?: number;
  /** How long the relay may wait for a publisher before it answers that the track does not exist. Default 0: not at all. */
  readonly rendezvousMs?: number;
  /** Objects older than this need not be sent any more. Default: no limit. */
  readonly deliveryTimeoutMs?: number;
  /** What an unread subscription may hold before whole old groups are dropped. Default 8 MiB. */
  readonly maxBytes?: number;
  /** Gives the subscription up when it aborts. */
  readonly signal?: AbortSignal;
}

export interface FetchOptions {
  /** 0 to 255, lower is more urgent; default 128. */
  readonly priority?: number;
  readonly order?: 'ascending' | 'descending';
  readonly signal?: AbortSignal;
}

export interface ObjectReader {
  /** The next object; `undefined` once everything was read. Throws MoqtError when the track or the session was cut. */
  next(): Promise<MoqObject | undefined>;
  cancel(): void;
}

export interface SubscriptionEnd {
  /** A PUBLISH_DONE code of the draft: 2 track ended, 3 subscription ended, 5 too far behind, … */
  readonly code: number;
  readonly reason: string;
}

export interface Subscription extends ObjectReader {
  /** What the publisher had sent when it answered; `undefined`: nothing yet. */
  readonly largest: Location | undefined;
  readonly trackProperties: Properties;
  /** Settles when the publisher ends the subscription, or it is cancelled or cut; never rejects. */
  readonly done: Promise<SubscriptionEnd>;
  /** Payload bytes received so far. */
  readonly bytes: number;
  /** Groups dropped whole or in part because nobody read them in time. */
  readonly groupsSkipped: number;
}

export interface NamespaceChange {
  readonly namespace: readonly string[];
  readonly active: boolean;
}

export type Namespaces = AsyncIterable<NamespaceChange> & { cancel(): void };

export interface Publication {
  readonly namespace: readonly string[];
  /** Settles when the peer gives up the namespace, the session ends, or `end` is called; never rejects. */
  readonly closed: Promise<void>;
  /** Withdraws the namespace and ends what is subscribed below it. */
  end(): void;
}

export interface WriteOptions {
  /** Default 0. */
  readonly subgroup?: bigint;
  /** Default: one more than the last object of the group. Must grow. */
  readonly object?: bigint;
  readonly properties?: Properties;
}

export interface GroupWriter {
  write(payload: Bytes, options?: WriteOptions): void;
  /** The group is whole; later writes throw. */
  end(): void;
}

export interface Session {
  readonly url: string;
  /** The peer's MOQT_IMPLEMENTATION, for people to read. */
  readonly implementation: string | undefined;
  /** Settles when the session is over, whoever ended it; never rejects. */
  readonly closed: Promise<SessionEnd>;
  /** Settles when the peer asks to move; `uri` is empty when it names no other place. Never rejects. */
  readonly goaway: Promise<{ readonly uri: string; readonly timeoutMs: number }>;
  /** Round trip in ms, as last measured; `undefined` before the first answer. */
  readonly rtt: number | undefined;
  /** Asks the peer something that it answers at once, before any media; gives the round trip in ms. Rejects when the session is over. */
  ping(): Promise<number>;
  close(code?: number, reason?: string): void;
  /** Live objects as they come, from now on. */
  subscribe(track: FullTrackName, options?: SubscribeOptions): Promise<Subscription>;
  /** Live objects and, before them, the current group and `groups` before it; in order, each once. */
  join(track: FullTrackName, options?: SubscribeOptions & { readonly groups?: number }): Promise<Subscription>;
  /** From `start` to `end`, both inclusive. */
  fetch(track: FullTrackName, start: Location, end: Location, options?: FetchOptions): Promise<ObjectReader>;
  /** Namespaces below `prefix`, those that are there and then each change. */
  namespaces(prefix: readonly string[]): Namespaces;
  /** Announces `namespace`; `onSubscribe` says which track serves a name (`undefined`: no such track). */
  publishNamespace(
    namespace: readonly string[],
    onSubscribe: (name: string) => PublishedTrack | undefined,
  ): Promise<Publication>;
}
