/// Control and request messages: what they hold. `type (vi64) | length (u16) | body` (draft section "Control Messages").

import type { Bytes, Location } from '../types';
import type { NamespaceBytes, TrackBytes } from './name';
import type { Parameters, Token } from './parameter';

/** The message types of the wire. */
export const MessageType = {
  SETUP: 0x2f00n,
  GOAWAY: 0x10n,
  SUBSCRIBE: 0x03n,
  SUBSCRIBE_OK: 0x04n,
  REQUEST_UPDATE: 0x02n,
  REQUEST_OK: 0x07n,
  REQUEST_ERROR: 0x05n,
  PUBLISH: 0x1dn,
  PUBLISH_DONE: 0x0bn,
  FETCH: 0x16n,
  FETCH_OK: 0x18n,
  TRACK_STATUS: 0x0dn,
  PUBLISH_NAMESPACE: 0x06n,
  SUBSCRIBE_NAMESPACE: 0x50n,
  NAMESPACE: 0x08n,
  NAMESPACE_DONE: 0x0en,
  SUBSCRIBE_TRACKS: 0x51n,
  PUBLISH_BLOCKED: 0x0fn,
} as const;

/** An older type of REQUEST_OK in answer to PUBLISH, which the draft still lists. */
export const OLD_PUBLISH_OK = 0x1en;

/** What PUBLISH_DONE says when it does not know how many streams there were. */
export const UNKNOWN_STREAM_COUNT = 2n ** 62n - 1n;

export interface Setup {
  readonly type: 'SETUP';
  readonly path?: Bytes;
  readonly authority?: Bytes;
  readonly tokens: readonly Token[];
  readonly maxTokenCacheSize?: bigint;
  readonly implementation?: Bytes;
  /** Options that are not known, as they came. */
  readonly extensions: Bytes;
}

export interface Goaway {
  readonly type: 'GOAWAY';
  readonly uri: Bytes;
  readonly timeoutMs: bigint;
  /** On the control stream only. */
  readonly requestId?: bigint;
}

export interface Subscribe {
  readonly type: 'SUBSCRIBE' | 'TRACK_STATUS';
  readonly requestId: bigint;
  readonly track: TrackBytes;
  readonly parameters: Parameters;
}

export interface SubscribeOk {
  readonly type: 'SUBSCRIBE_OK';
  readonly trackAlias: bigint;
  readonly parameters: Parameters;
  /** Track Properties, as received. */
  readonly properties: Bytes;
}

export interface RequestUpdate {
  readonly type: 'REQUEST_UPDATE';
  readonly requestId: bigint;
  readonly parameters: Parameters;
}

export interface RequestOk {
  readonly type: 'REQUEST_OK';
  readonly parameters: Parameters;
  readonly properties: Bytes;
}

export interface RequestError {
  readonly type: 'REQUEST_ERROR';
  readonly code: bigint;
  /** Milliseconds; absent: do not ask again. */
  readonly retryAfterMs?: bigint;
  readonly reason: string;
  readonly redirect?: { readonly uri: Bytes } & TrackBytes;
}

export interface Publish {
  readonly type: 'PUBLISH';
  readonly requestId: bigint;
  readonly track: TrackBytes;
  readonly trackAlias: bigint;
  readonly parameters: Parameters;
  readonly properties: Bytes;
}

export interface PublishDone {
  readonly type: 'PUBLISH_DONE';
  readonly code: bigint;
  /** Absent: not known. */
  readonly streamCount?: bigint;
  readonly reason: string;
}

export type FetchRange =
  | { readonly kind: 'standalone'; readonly track: TrackBytes; readonly start: Location; readonly end: Location }
  | { readonly kind: 'relative-joining'; readonly subscription: bigint; readonly groups: bigint }
  | { readonly kind: 'absolute-joining'; readonly subscription: bigint; readonly group: bigint };

export interface Fetch {
  readonly type: 'FETCH';
  readonly requestId: bigint;
  readonly range: FetchRange;
  readonly parameters: Parameters;
}

export interface FetchOk {
  readonly type: 'FETCH_OK';
  readonly endOfTrack: boolean;
  /** One more than the last object; object 0: the whole group. */
  readonly end: Location;
  readonly parameters: Parameters;
  readonly properties: Bytes;
}

export interface NamespaceRequest {
  readonly type: 'PUBLISH_NAMESPACE' | 'SUBSCRIBE_NAMESPACE' | 'SUBSCRIBE_TRACKS';
  readonly requestId: bigint;
  /** The namespace published, or the prefix asked for. */
  readonly namespace: NamespaceBytes;
  readonly parameters: Parameters;
}

export interface NamespaceNews {
  readonly type: 'NAMESPACE' | 'NAMESPACE_DONE';
  /** What follows the prefix asked for. */
  readonly suffix: NamespaceBytes;
}

export interface PublishBlocked {
  readonly type: 'PUBLISH_BLOCKED';
  readonly suffix: NamespaceBytes;
  readonly name: Bytes;
}

export type Message =
  | Setup
  | Goaway
  | Subscribe
  | SubscribeOk
  | RequestUpdate
  | RequestOk
  | RequestError
  | Publish
  | PublishDone
  | Fetch
  | FetchOk
  | NamespaceRequest
  | NamespaceNews
  | PublishBlocked;

export type StreamKind = 'control' | 'request';
