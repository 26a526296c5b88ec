/// What can go wrong, as classes with a code and words for people. Codes are the draft's (section "Error Codes").

/** Who is at fault, and what the caller may do. */
export type MoqtErrorKind =
  /** The peer refused this request; the session goes on. `code` is of REQUEST_ERROR. */
  | 'refused'
  /** A stream or subscription was cut; the session goes on. `code` is of the stream or PUBLISH_DONE. */
  | 'cut'
  /** The session is over. `code` is of the session. */
  | 'session'
  /** The peer broke the protocol, which ends the session. `code` is of the session. */
  | 'malformed'
  /** The caller asked for something that cannot be: a name too long, an id that does not grow. */
  | 'usage';

export class MoqtError extends Error {
  override readonly name = 'MoqtError';
  constructor(
    readonly kind: MoqtErrorKind,
    readonly code: number,
    message: string,
    /** How long to wait before asking again; `undefined`: asking again is of no use. */
    readonly retryAfterMs?: number,
  ) {
    super(message);
  }
}

export type ConnectErrorKind = 'unsupported' | 'refused' | 'certificate' | 'timeout' | 'protocol' | 'unauthorized';

/** Why `connect` gave no session. The message is a sentence for the user of the page. */
export class ConnectError extends Error {
  override readonly name = 'ConnectError';
  constructor(
    readonly kind: ConnectErrorKind,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Codes that end a session. */
export const SessionCode = {
  noError: 0x0,
  internalError: 0x1,
  unauthorized: 0x2,
  protocolViolation: 0x3,
  invalidRequestId: 0x4,
  duplicateTrackAlias: 0x5,
  keyValueFormatting: 0x6,
  invalidPath: 0x8,
  malformedPath: 0x9,
  goawayTimeout: 0x10,
  controlTimeout: 0x11,
  dataTimeout: 0x12,
  tokenCacheOverflow: 0x13,
  duplicateTokenAlias: 0x14,
  versionNegotiationFailed: 0x15,
  malformedToken: 0x16,
  unknownTokenAlias: 0x17,
  expiredToken: 0x18,
  invalidAuthority: 0x19,
  malformedAuthority: 0x1a,
} as const;

/** Codes of REQUEST_ERROR. */
export const RequestCode = {
  internalError: 0x0,
  unauthorized: 0x1,
  timeout: 0x2,
  notSupported: 0x3,
  malformedToken: 0x4,
  expiredToken: 0x5,
  goingAway: 0x6,
  excessiveLoad: 0x9,
  doesNotExist: 0x10,
  invalidRange: 0x11,
  malformedTrack: 0x12,
  duplicateSubscription: 0x19,
  uninterested: 0x20,
  prefixOverlap: 0x30,
  namespaceTooLarge: 0x31,
  invalidJoiningRequestId: 0x32,
  unsupportedExtension: 0x33,
  redirect: 0x34,
} as const;

/** Codes with which a stream is reset or refused. */
export const StreamCode = {
  internalError: 0x0,
  cancelled: 0x1,
  deliveryTimeout: 0x2,
  sessionClosed: 0x3,
  goingAway: 0x4,
  tooFarBehind: 0x5,
  unknownObjectStatus: 0x6,
  expiredToken: 0x7,
  excessiveLoad: 0x9,
  malformedTrack: 0x12,
} as const;

/** Codes of PUBLISH_DONE. */
export const DoneCode = {
  internalError: 0x0,
  unauthorized: 0x1,
  trackEnded: 0x2,
  subscriptionEnded: 0x3,
  goingAway: 0x4,
  tooFarBehind: 0x5,
  expired: 0x6,
  updateFailed: 0x8,
  excessiveLoad: 0x9,
  malformedTrack: 0x12,
} as const;
