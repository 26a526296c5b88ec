/// Finds a broadcast's catalog in a session: MSF first, since it can carry more, then hang.

import { type FullTrackName, MoqtError, RequestCode, type Session, type Subscription } from '../../moqt';
import { readHang } from './hang';
import { type Catalog, type CatalogObject, HANG_TRACK, MSF_TRACK } from './model';
import { MsfReader } from './msf';

export interface CatalogReader {
  readonly format: 'MSF' | 'hang';
  readonly subscription: Subscription;
  /// The catalog as it is with `object`; undefined if that says nothing. Throws CatalogError.
  read(object: CatalogObject): Catalog | undefined;
}

const FORMATS = [
  { format: 'MSF', name: MSF_TRACK, reader: msf },
  { format: 'hang', name: HANG_TRACK, reader: hang },
] as const;

function msf(): CatalogReader['read'] {
  const reader = new MsfReader();
  return (object) => reader.read(object);
}

/// What stands behind a group's first object is left out: moq-dev may send changes there, in a form that is not settled.
function hang(): CatalogReader['read'] {
  return ({ object, payload }) => (object === 0n ? readHang(payload) : undefined);
}

/// Throws the MoqtError of the last attempt: code doesNotExist if the broadcast is not there.
export async function openCatalog(
  session: Session,
  namespace: FullTrackName['namespace'],
  signal: AbortSignal,
): Promise<CatalogReader> {
  let missing: unknown;
  for (const { format, name, reader } of FORMATS) {
    try {
      const subscription = await session.join({ namespace, name }, { signal });
      return { format, subscription, read: reader() };
    } catch (error) {
      if (!isMissing(error)) {
        throw error;
      }
      missing = error;
    }
  }
  throw missing;
}

/// A mesh, which cannot know at once that nobody publishes a track, says so by a timeout.
export function isMissing(error: unknown): boolean {
  const codes: readonly number[] = [RequestCode.doesNotExist, RequestCode.timeout];
  return error instanceof MoqtError && error.kind === 'refused' && codes.includes(error.code);
}

export function isForbidden(error: unknown): boolean {
  const codes: readonly number[] = [RequestCode.unauthorized, RequestCode.malformedToken, RequestCode.expiredToken];
  return error instanceof MoqtError && error.kind === 'refused' && codes.includes(error.code);
}
