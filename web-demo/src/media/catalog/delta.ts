/// Delta updates of an MSF catalog: objects after a group's first one that say what changes in the list of tracks.
///
/// Two forms are known. draft-ietf-moq-msf-01: `deltaUpdate` is a list of `{ op, tracks }`, with the operations add, remove, clone
/// and update. draft-00: `deltaUpdate` is true, and `addTracks`, `removeTracks` and `cloneTracks` beside it are lists of tracks.
/// Operations hold in the order in which they are written; one that does not fit what is there (an unknown parent, a
/// name that is taken) is passed over, as a receiver that missed nothing would do no better with it.
/// What of it the drafts leave open: a delta's own `initDataList` is taken as more entries of the catalog's.

import { CatalogError, isRecord, type Json, text } from './model';

/// Most tracks of a catalog that deltas make, and most changes of one delta: both far beyond what is played.
const MAX_LISTED = 1024;
const MAX_CHANGES = 4096;

type Operation = 'add' | 'remove' | 'clone' | 'update';

const OPERATIONS: ReadonlyMap<unknown, Operation> = new Map([
  ['add', 'add'],
  ['remove', 'remove'],
  ['clone', 'clone'],
  ['update', 'update'],
  ['addTracks', 'add'],
  ['removeTracks', 'remove'],
  ['cloneTracks', 'clone'],
]);

export function isDelta(root: Json): boolean {
  return !Array.isArray(root['tracks']) && ('deltaUpdate' in root || changesOf(root).length > 0);
}

/// The catalog after the delta; `root` stays as it is. Throws CatalogError if it grows beyond all bounds.
export function applyDelta(root: Json, delta: Json): Json {
  const tracks = listOf(root['tracks']);
  let left = MAX_CHANGES;
  for (const [operation, changes] of changesOf(delta)) {
    for (const change of changes) {
      left -= 1;
      if (left < 0 || tracks.length > MAX_LISTED) {
        throw new CatalogError('too-large', 'a delta update of the catalog changes too much at once');
      }
      if (isRecord(change)) {
        applyOne(tracks, operation, change);
      }
    }
  }
  const inits = [...listOf(root['initDataList']), ...listOf(delta['initDataList'])];
  if (inits.length > MAX_LISTED) {
    throw new CatalogError('too-large', 'delta updates of the catalog add too many headers');
  }
  return { ...root, tracks, initDataList: inits };
}

/// Its operations, each with the tracks it names, in the order in which they are written.
function changesOf(delta: Json): [Operation, readonly unknown[]][] {
  const { deltaUpdate } = delta;
  const written: [unknown, unknown][] = Array.isArray(deltaUpdate)
    ? deltaUpdate.filter(isRecord).map((step) => [step['op'], step['tracks']])
    : Object.entries(delta);
  const changes: [Operation, readonly unknown[]][] = [];
  for (const [name, tracks] of written) {
    const operation = OPERATIONS.get(name);
    if (operation !== undefined && Array.isArray(tracks)) {
      changes.push([operation, tracks]);
    }
  }
  return changes;
}

function applyOne(tracks: unknown[], operation: Operation, change: Json): void {
  const own = find(tracks, change['name'], change['namespace']);
  // An update may name its track as a clone names its parent, or by its own name.
  const isChild = operation === 'clone' || change['parentName'] !== undefined;
  const parent = isChild ? find(tracks, change['parentName'], change['parentNamespace']) : own;
  const base = tracks[parent];
  switch (operation) {
    case 'add':
      if (own < 0 && text(change['name']) !== undefined) {
        tracks.push(change);
      }
      break;
    case 'remove':
      if (own >= 0) {
        tracks.splice(own, 1);
      }
      break;
    case 'clone':
      if (own < 0 && isRecord(base) && text(change['name']) !== undefined) {
        tracks.push(laidOver(base, change));
      }
      break;
    case 'update':
      if (isRecord(base)) {
        tracks[parent] = laidOver(base, change);
      }
      break;
  }
}

function laidOver(base: Json, change: Json): Json {
  const { parentName: _name, parentNamespace: _namespace, ...fields } = change;
  return { ...base, ...fields };
}

/// A track that gives no namespace is in the catalog's, which the other may have spelled out: only two given ones can differ.
function find(tracks: readonly unknown[], name: unknown, namespace: unknown): number {
  return tracks.findIndex((track) => {
    if (!isRecord(track) || track['name'] !== name || name === undefined) {
      return false;
    }
    const theirs = track['namespace'];
    return theirs === undefined || namespace === undefined || theirs === namespace;
  });
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? [...value] : [];
}
