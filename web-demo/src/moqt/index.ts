/// MoQ Transport draft-18 over WebTransport, for pages and workers. See README.md in this folder.

export { connect, whyUnsupported } from './connect';
export {
  ConnectError,
  type ConnectErrorKind,
  DoneCode,
  MoqtError,
  type MoqtErrorKind,
  RequestCode,
  SessionCode,
  StreamCode,
} from './errors';
export { PublishedTrack, type PublishedTrackOptions } from './published';
export type * from './types';
