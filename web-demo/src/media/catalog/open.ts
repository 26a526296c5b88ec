/// Finds a broadcast's catalog in a session: MSF first, since it can carry more, then hang.

import { type FullTrackName, MoqtError, RequestCode, type Session, type Subscription } from '../../moqt';
import { readHang } from './hang';
import { type Catalog, HANG_TRACK, MSF_TRACK } from './model';
import { readMsf } from './msf';

export interface CatalogReader {
  readonly format: 'MSF' | 'hang';
  readonly subscription: Subscription;
  read(bytes: Uint8Array): Catalog;
}

const FORMATS = [
  { format: 'MSF', name: MSF_TRACK, read: readMsf },
  { format: 'hang', name: HANG_TRACK, read: readHang },
] as const;

/// Throws the MoqtError of the last attempt: code doesNotExist if the broadcast is not there.
export async function openCatalog(
  session: Session,
  namespace: FullTrackName['namespace'],
  signal: AbortSignal,
): Promise<CatalogReader> {
  let missing: unknown;
  for (const { format, name, read } of FORMATS) {
    try {
      const subscription = await session.join({ namespace, name }, { signal });
      return { format, subscription, read };
    } catch (error) {
      if (!isMissing(error)) {
        throw error;
      }
      missing = error;
    }
  }
  throw missing;
}

export function isMissing(error: unknown): boolean {
  return error instanceof MoqtError && error.kind === 'refused' && error.code === RequestCode.doesNotExist;
}

export function isForbidden(error: unknown): boolean {
  const codes: readonly number[] = [RequestCode.unauthorized, RequestCode.malformedToken, RequestCode.expiredToken];
  return error instanceof MoqtError && error.kind === 'refused' && codes.includes(error.code);
}
