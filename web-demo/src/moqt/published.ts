/// What a publisher writes: the last groups of a track, kept in memory, and who wants to hear of new objects.
///
/// The track knows nothing of sessions. It keeps objects, tells its listeners of each, and hands out what it keeps; a session
/// turns that into streams. Groups beyond `keepGroups` are forgotten, oldest first, so memory is bounded by what the
/// publisher puts into that many groups.

import { MoqtError } from './errors';
import type { Bytes, GroupWriter, Location, MoqObject, Properties, WriteOptions } from './types';
import { NO_PROPERTIES, PropertyType, writeProperties } from './wire/property';

export interface PublishedTrackOptions {
  /** Publisher priority of its objects, 0 to 255; lower is more urgent. Default 128. */
  readonly priority?: number;
  /** How many groups, the current one included, are there for FETCH and for late joiners. Default 2. */
  readonly keepGroups?: number;
  /**
   * Whether groups have one subgroup or may have several (default). With one, the end of its stream says that the group is
   * whole; with several, an object of its own has to.
   */
  readonly subgroups?: 'single' | 'many';
  /** How long objects may wait for a subscriber's network before its oldest groups are given up. Default 5000 ms. */
  readonly maxLagMs?: number;
}

/** A group as it is kept: its objects by id, ascending. */
export interface KeptGroup {
  readonly group: bigint;
  readonly objects: MoqObject[];
  /** How many ids before it are of no group. */
  readonly gap: bigint;
  ended: boolean;
}

/** Called as the track grows; must not throw. */
export interface TrackListener {
  /** Bytes given to it that the network has not taken. */
  readonly pending: number;
  object(group: KeptGroup, object: MoqObject): void;
  groupEnd(group: KeptGroup): void;
  /** The track is over: nothing comes after it. */
  trackEnd(): void;
}

export class PublishedTrack {
  readonly priority: number;
  readonly subgroups: 'single' | 'many';
  readonly maxLagMs: number;
  readonly #keepGroups: number;
  #groups: KeptGroup[] = [];
  #largest: Location | undefined;
  #listeners = new Set<TrackListener>();
  #ended = false;

  constructor(options: PublishedTrackOptions = {}) {
    this.priority = options.priority ?? 128;
    this.subgroups = options.subgroups ?? 'many';
    this.maxLagMs = options.maxLagMs ?? 5000;
    this.#keepGroups = Math.max(1, options.keepGroups ?? 2);
  }

  /** Live subscriptions of all sessions. */
  get subscribers(): number {
    return this.#listeners.size;
  }

  /** What the slowest subscriber has not taken, in bytes: a publisher that can should send less. */
  get backlogBytes(): number {
    return Math.max(0, ...[...this.#listeners].map(({ pending }) => pending));
  }

  /** The largest place written so far. */
  get largest(): Location | undefined {
    return this.#largest;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** The groups still kept, ascending. */
  get kept(): readonly KeptGroup[] {
    return this.#groups;
  }

  /**
   * Starts a group; its id must be larger than those before. The group before it ends, if it has not. The ids in between are
   * declared never to exist, on the group's first object, so that nobody waits for them.
   */
  beginGroup(group: bigint): GroupWriter {
    if (this.#ended) throw new MoqtError('usage', 0, 'the track has ended');
    const last = this.#groups.at(-1);
    if (last && group <= last.group) {
      throw new MoqtError('usage', 0, `group ${group} does not come after group ${last.group}`);
    }
    if (last) this.#endGroup(last);
    const gap = this.#largest ? group - this.#largest.group - 1n : 0n;
    const kept: KeptGroup = { group, objects: [], gap, ended: false };
    this.#groups.push(kept);
    if (this.#groups.length > this.#keepGroups) this.#groups.splice(0, this.#groups.length - this.#keepGroups);
    return {
      write: (payload, options) => this.#write(kept, payload, options ?? {}),
      end: () => this.#endGroup(kept),
    };
  }

  /** Nothing will follow: subscriptions end with TRACK_ENDED. */
  end(): void {
    if (this.#ended) return;
    const last = this.#groups.at(-1);
    if (last) this.#endGroup(last);
    this.#ended = true;
    for (const listener of [...this.#listeners]) listener.trackEnd();
  }

  /** Hears of every object from now on, until the returned function is called. */
  listen(listener: TrackListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #write(kept: KeptGroup, payload: Bytes, options: WriteOptions): void {
    if (kept.ended) throw new MoqtError('usage', 0, `group ${kept.group} has ended`);
    const before = kept.objects.at(-1);
    const id = options.object ?? (before ? before.object + 1n : 0n);
    if (before && id <= before.object) {
      throw new MoqtError('usage', 0, `object ${id} does not come after object ${before.object}`);
    }
    const subgroup = options.subgroup ?? 0n;
    const first = kept.objects[0]?.subgroup ?? subgroup;
    if (this.subgroups === 'single' && subgroup !== first) {
      throw new MoqtError('usage', 0, `subgroup ${subgroup} in a track that was made for one subgroup per group`);
    }
    const properties = propertiesOf(kept, options);
    // Refuses now what could not be sent later.
    writeProperties(properties);
    const object: MoqObject = {
      group: kept.group,
      subgroup,
      object: id,
      status: 'normal',
      properties,
      payload,
      priority: this.priority,
    };
    kept.objects.push(object);
    this.#largest = { group: kept.group, object: id };
    for (const listener of [...this.#listeners]) listener.object(kept, object);
  }

  #endGroup(kept: KeptGroup): void {
    if (kept.ended) return;
    kept.ended = true;
    for (const listener of [...this.#listeners]) listener.groupEnd(kept);
  }
}

/** What the application gives; a group's first object tells of the gap before it. */
function propertiesOf({ objects, gap }: KeptGroup, { properties = NO_PROPERTIES }: WriteOptions): Properties {
  if (objects.length > 0 || gap === 0n) return properties;
  return new Map<bigint, bigint | Bytes>([[PropertyType.priorGroupIdGap, gap], ...properties]);
}
