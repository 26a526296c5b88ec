/// The objects of a subscription between their streams and their reader: sorted, bounded, each once.
///
/// A pure state machine; time comes in as an argument. When more than `maxBytes` wait, whole groups go, oldest first. With
/// `order: 'arrival'` a pop gives the smallest object that is there. With `order: 'groups'` a group is given only when those
/// before it have ended, or after they were waited for `patienceMs`; what comes later of a group that was passed is dropped.

import type { Location, MoqObject } from '../types';

export interface QueueOptions {
  readonly maxBytes: number;
  readonly order: 'arrival' | 'groups';
  readonly patienceMs: number;
}

interface Group {
  readonly id: bigint;
  readonly objects: MoqObject[];
  /** Streams that have not ended. */
  open: number;
  bytes: number;
  /** When its first object came. */
  readonly since: number;
  /** Last object id of each subgroup: what is not above it was seen. */
  readonly last: Map<bigint, bigint>;
}

/** What an object costs besides its payload, so that empty objects cannot fill memory either. */
const OBJECT_COST = 128;

export class ObjectQueue {
  readonly #options: QueueOptions;
  /** Ascending by id; few. */
  readonly #groups: Group[] = [];
  #bytes = 0;
  /** Groups up to here are not given any more. */
  #floor = -1n;
  #after: Location | undefined;
  #previous: bigint | undefined;
  #dense = false;
  #lastSkipped = -1n;
  skipped = 0;

  constructor(options: QueueOptions) {
    this.#options = options;
  }

  get empty(): boolean {
    return this.#groups.every((group) => group.objects.length === 0);
  }

  /** Objects up to here are somebody else's. */
  startAfter(location: Location): void {
    this.#after = location;
  }

  /** Whether nothing of this group is wanted any more. */
  isOver(group: bigint): boolean {
    return group <= this.#floor;
  }

  streamOpened(group: bigint, now: number): void {
    if (!this.isOver(group)) this.#group(group, now).open += 1;
  }

  streamEnded(id: bigint): void {
    const group = this.#groups.find((candidate) => candidate.id === id);
    if (!group) return;
    group.open -= 1;
    this.#forget(group);
  }

  push(object: MoqObject, now: number): void {
    if (this.isOver(object.group)) {
      this.#skip(object.group);
      return;
    }
    const after = this.#after;
    if (after && (object.group < after.group || (object.group === after.group && object.object <= after.object)))
      return;
    const group = this.#group(object.group, now);
    const last = group.last.get(object.subgroup);
    if (last !== undefined && object.object <= last) return;
    group.last.set(object.subgroup, object.object);
    insert(group.objects, object);
    const cost = object.payload.length + OBJECT_COST;
    group.bytes += cost;
    this.#bytes += cost;
    while (this.#bytes > this.#options.maxBytes) this.#dropOldest();
  }

  /** The next object, if one may be given now. */
  pop(now: number): MoqObject | undefined {
    const group = this.#next(now);
    const object = group?.objects.shift();
    if (!group || !object) return undefined;
    const cost = object.payload.length + OBJECT_COST;
    group.bytes -= cost;
    this.#bytes -= cost;
    if (this.#previous !== object.group) {
      this.#dense = this.#previous !== undefined && object.group === this.#previous + 1n;
      this.#previous = object.group;
    }
    this.#forget(group);
    return object;
  }

  /** When `pop` may give an object though nothing arrived; `undefined`: not before something does. */
  deadline(): number | undefined {
    const waiting = this.#groups.find((group) => group.objects.length > 0);
    return waiting && this.#options.order === 'groups' ? waiting.since + this.#options.patienceMs : undefined;
  }

  /** Nothing will arrive any more: what waits need not wait for anything else. */
  close(): void {
    for (const group of this.#groups) group.open = 0;
    this.#dense = false;
  }

  #next(now: number): Group | undefined {
    const group = this.#groups.find((candidate) => candidate.objects.length > 0);
    if (!group || this.#options.order === 'arrival') return group;
    const patient = now < group.since + this.#options.patienceMs;
    const before = this.#groups.filter((candidate) => candidate.id < group.id);
    if (patient && before.some((candidate) => candidate.open > 0)) return undefined;
    // Where ids go up one by one, one that is missing is most likely on its way.
    const hole = this.#dense && this.#previous !== undefined && group.id > this.#previous + 1n;
    if (patient && hole) return undefined;
    for (const passed of before) {
      if (passed.open > 0) this.#skip(passed.id);
      this.#groups.splice(this.#groups.indexOf(passed), 1);
    }
    if (group.id - 1n > this.#floor) this.#floor = group.id - 1n;
    return group;
  }

  #group(id: bigint, now: number): Group {
    let at = this.#groups.length;
    while (at > 0) {
      const before = this.#groups[at - 1];
      if (!before || before.id < id) break;
      if (before.id === id) return before;
      at -= 1;
    }
    const group: Group = { id, objects: [], open: 0, bytes: 0, since: now, last: new Map() };
    this.#groups.splice(at, 0, group);
    return group;
  }

  /** Forgets a group of which nothing is there and nothing comes; the current one only with the next, lest it repeats. */
  #forget(group: Group): void {
    if (group.open > 0 || group.objects.length > 0) return;
    if (this.#options.order === 'groups' && group.id === this.#previous) return;
    const at = this.#groups.indexOf(group);
    if (at >= 0) this.#groups.splice(at, 1);
  }

  #dropOldest(): void {
    const group = this.#groups.find((candidate) => candidate.objects.length > 0);
    if (!group) return;
    this.#bytes -= group.bytes;
    this.#floor = group.id;
    this.#skip(group.id);
    const kept = this.#groups.filter((candidate) => candidate.id > group.id);
    this.#groups.splice(0, this.#groups.length, ...kept);
  }

  #skip(group: bigint): void {
    if (group <= this.#lastSkipped) return;
    this.#lastSkipped = group;
    this.skipped += 1;
  }
}

function insert(objects: MoqObject[], object: MoqObject): void {
  let at = objects.length;
  while (at > 0) {
    const before = objects[at - 1];
    if (!before || before.object <= object.object) break;
    at -= 1;
  }
  objects.splice(at, 0, object);
}
