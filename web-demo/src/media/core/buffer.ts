/// The jitter buffer of one track: samples that arrived and are not decoded yet, by group.
///
/// Samples leave in decode order, group after group. Within a group of video a missing object makes the rest useless, so
/// it is dropped up to the next keyframe. Bounded in bytes and samples; when full, the oldest group goes.

import type { MediaSample } from '../demux/sample';

export interface BufferLimits {
  readonly bytes: number;
  readonly samples: number;
}

/// About ten seconds of a rich picture.
const DEFAULTS: BufferLimits = { bytes: 32 << 20, samples: 2000 };
/// A group may begin this long before its time while the one before is not known to be over.
const PATIENCE = 60_000;

interface Group {
  readonly id: bigint;
  readonly samples: MediaSample[];
  /// Next object expected in subgroup 0, while the group has no other.
  next: bigint;
  layered: boolean;
  broken: boolean;
  ended: boolean;
}

export interface Arrival {
  readonly group: bigint;
  readonly subgroup: bigint;
  readonly object: bigint;
  readonly samples: readonly MediaSample[];
}

export class JitterBuffer {
  #groups: Group[] = [];
  #current: bigint | undefined;
  #fed: number | undefined;
  #needKey: boolean;
  #bytes = 0;
  #count = 0;
  #end: number | undefined;
  #endGroup = -1n;
  /// Samples dropped because they came late, after a gap, or too many; groups dropped with samples in them.
  dropped = 0;
  groupsSkipped = 0;

  constructor(
    private readonly kind: 'video' | 'audio',
    private readonly limits: BufferLimits = DEFAULTS,
  ) {
    this.#needKey = kind === 'video';
  }

  get bytes(): number {
    return this.#bytes;
  }

  get length(): number {
    return this.#count;
  }

  /// The end of the newest group as far as it has arrived.
  get end(): number | undefined {
    return this.#end;
  }

  push(arrival: Arrival): void {
    if (this.#current !== undefined && arrival.group < this.#current) {
      this.dropped += arrival.samples.length;
      return;
    }
    const group = this.#group(arrival.group);
    group.layered ||= arrival.subgroup !== 0n;
    if (this.kind === 'video' && !group.layered && arrival.object !== group.next) {
      group.broken = true;
    }
    group.next = arrival.object + 1n;
    for (const sample of arrival.samples) {
      if (group.broken && !sample.key) {
        this.dropped += 1;
        continue;
      }
      group.broken = false;
      group.samples.push(sample);
      this.#bytes += sample.data.length;
      this.#count += 1;
      this.#extend(group.id, sample.time + sample.duration);
    }
    this.#bound();
  }

  /// No more objects of `group` will come.
  endGroup(group: bigint): void {
    const found = this.#groups.find(({ id }) => id === group);
    if (found !== undefined) {
      found.ended = true;
    }
  }

  /// The next sample to decode, if its time is before `until`. `position` is where playback stands.
  pop(position: number, until: number): MediaSample | undefined {
    for (;;) {
      const group = this.#groups[0];
      if (group === undefined) {
        return undefined;
      }
      const [sample] = group.samples;
      if (sample === undefined) {
        if (!this.#mayLeave(group, position)) {
          return undefined;
        }
        this.#groups.shift();
        continue;
      }
      if (sample.decodeTime > until) {
        return undefined;
      }
      this.#take(group);
      if (this.#needKey && !sample.key) {
        this.dropped += 1;
        continue;
      }
      this.#needKey = false;
      this.#current = group.id;
      this.#fed = sample.time + sample.duration;
      return sample;
    }
  }

  /// Drops what comes before the latest keyframe at or before `position`, if that spares decoding it.
  skipTo(position: number): boolean {
    let index = -1;
    for (const [at, group] of this.#groups.entries()) {
      const [first] = group.samples;
      if (first?.key && first.time <= position && group.id !== this.#current) {
        index = at;
      }
    }
    if (index <= 0 || this.#groups.slice(0, index).every((group) => group.samples.length === 0)) {
      return false;
    }
    while (index > 0) {
      this.#dropOldest();
      index -= 1;
    }
    this.#needKey = this.kind === 'video';
    return true;
  }

  /// The decoder lost its state: begin again at a keyframe.
  needKey(): void {
    this.#needKey = this.kind === 'video';
  }

  #group(id: bigint): Group {
    let at = this.#groups.length;
    while (at > 0) {
      const other = this.#groups[at - 1];
      if (other === undefined || other.id < id) {
        break;
      }
      if (other.id === id) {
        return other;
      }
      at -= 1;
    }
    const group = { id, samples: [], next: 0n, layered: false, broken: false, ended: false };
    this.#groups.splice(at, 0, group);
    return group;
  }

  /// The newest group counts: a publisher that starts over goes back in time.
  #extend(group: bigint, end: number): void {
    if (group > this.#endGroup) {
      this.#endGroup = group;
      this.#end = end;
    } else if (group === this.#endGroup) {
      this.#end = Math.max(this.#end ?? end, end);
    }
  }

  /// An empty group is left when it ended, or when the next one follows on, or when it is time for the next one.
  #mayLeave(group: Group, position: number): boolean {
    const next = this.#groups[1]?.samples[0];
    if (next === undefined) {
      return group.ended && this.#groups.length > 1;
    }
    const follows = this.#fed !== undefined && next.decodeTime <= this.#fed + 1000;
    return group.ended || follows || this.kind === 'audio' || next.decodeTime <= position + PATIENCE;
  }

  #take(group: Group): void {
    const sample = group.samples.shift();
    this.#bytes -= sample?.data.length ?? 0;
    this.#count -= sample === undefined ? 0 : 1;
  }

  #dropOldest(): void {
    const group = this.#groups.shift();
    if (group === undefined) {
      return;
    }
    for (const sample of group.samples) {
      this.#bytes -= sample.data.length;
    }
    this.#count -= group.samples.length;
    this.dropped += group.samples.length;
    this.groupsSkipped += group.samples.length > 0 ? 1 : 0;
    this.#current = group.id + 1n;
    this.#needKey = this.kind === 'video';
  }

  #bound(): void {
    while (this.#groups.length > 1 && (this.#bytes > this.limits.bytes || this.#count > this.limits.samples)) {
      this.#dropOldest();
    }
    const [only] = this.#groups;
    if (only !== undefined && (this.#bytes > this.limits.bytes || this.#count > this.limits.samples)) {
      // One endless group: nothing of it can be kept in part, so wait for a keyframe.
      this.#bytes = 0;
      this.#count = 0;
      this.dropped += only.samples.length;
      only.samples.length = 0;
      only.broken = this.kind === 'video';
      this.needKey();
    }
  }
}
