import { expect, test } from 'vitest';
import type { MoqObject } from '../../src/moqt';
import { ObjectQueue } from '../../src/moqt/session/queue';

function object(group: bigint, object: bigint, size = 10, subgroup = 0n): MoqObject {
  const payload = new Uint8Array(size);
  return { group, subgroup, object, status: 'normal', properties: new Map(), payload, priority: 128 };
}

const place = (object: MoqObject | undefined) => object && `${object.group}/${object.object}`;

function drain(queue: ObjectQueue, now: number): (string | undefined)[] {
  const places: (string | undefined)[] = [];
  for (let object = queue.pop(now); object; object = queue.pop(now)) places.push(place(object));
  return places;
}

const groups = { maxBytes: 100_000, order: 'groups', patienceMs: 500 } as const;

test('in order of arrival, what is there comes at once, smallest first', () => {
  const queue = new ObjectQueue({ ...groups, order: 'arrival' });
  queue.streamOpened(1n, 0);
  queue.push(object(2n, 0n), 0);
  expect(drain(queue, 0)).toEqual(['2/0']);
  queue.push(object(1n, 1n, 10, 1n), 0);
  queue.push(object(1n, 0n), 0);
  expect(drain(queue, 0)).toEqual(['1/0', '1/1']);
});

test('in order of groups, a group waits for the end of the one before', () => {
  const queue = new ObjectQueue(groups);
  queue.streamOpened(1n, 0);
  queue.push(object(1n, 0n), 0);
  queue.streamOpened(2n, 0);
  queue.push(object(2n, 0n), 10);
  expect(drain(queue, 10)).toEqual(['1/0']);
  queue.push(object(1n, 1n), 20);
  queue.streamEnded(1n);
  expect(drain(queue, 20)).toEqual(['1/1', '2/0']);
  expect(queue.skipped).toBe(0);
});

test('a group that does not end is passed after a while, and its rest is dropped', () => {
  const queue = new ObjectQueue(groups);
  queue.streamOpened(1n, 0);
  queue.push(object(1n, 0n), 0);
  expect(drain(queue, 0)).toEqual(['1/0']);
  queue.streamOpened(2n, 100);
  queue.push(object(2n, 0n), 100);
  expect(queue.deadline()).toBe(600);
  expect(drain(queue, 599)).toEqual([]);
  expect(drain(queue, 600)).toEqual(['2/0']);
  expect(queue.isOver(1n)).toBe(true);
  queue.push(object(1n, 1n), 700);
  expect(drain(queue, 700)).toEqual([]);
  expect(queue.skipped).toBe(1);
});

test('where ids go up one by one, a missing group is waited for', () => {
  const queue = new ObjectQueue(groups);
  for (const group of [1n, 2n]) queue.push(object(group, 0n), 0);
  expect(drain(queue, 0)).toEqual(['1/0', '2/0']);
  queue.push(object(4n, 0n), 10);
  expect(drain(queue, 10)).toEqual([]);
  queue.push(object(3n, 0n), 20);
  expect(drain(queue, 20)).toEqual(['3/0', '4/0']);
  queue.push(object(9n, 0n), 30);
  expect(drain(queue, 29 + 500)).toEqual([]);
  expect(drain(queue, 30 + 500)).toEqual(['9/0']);
});

test('each object comes once, and none of those that somebody else gives', () => {
  const queue = new ObjectQueue(groups);
  queue.startAfter({ group: 1n, object: 4n });
  for (const id of [4n, 5n, 5n, 6n]) queue.push(object(1n, id), 0);
  queue.push(object(0n, 9n), 0);
  expect(drain(queue, 0)).toEqual(['1/5', '1/6']);
  queue.push(object(1n, 6n), 0);
  queue.push(object(2n, 0n), 0);
  expect(drain(queue, 0)).toEqual(['2/0']);
  queue.push(object(1n, 7n), 0);
  expect(drain(queue, 0)).toEqual([]);
});

test('whole old groups go when too much waits', () => {
  const queue = new ObjectQueue({ ...groups, maxBytes: 3000 });
  for (let group = 0n; group < 5n; group++) {
    queue.push(object(group, 0n, 500), 0);
    queue.push(object(group, 1n, 500), 0);
  }
  expect(queue.skipped).toBe(3);
  expect(queue.isOver(2n)).toBe(true);
  expect(drain(queue, 0)).toEqual(['3/0', '3/1', '4/0', '4/1']);
  queue.push(object(9n, 0n, 5000), 0);
  expect(queue.empty).toBe(true);
  expect(queue.skipped).toBe(4);
});

test('after the end, nothing waits for what will not come', () => {
  const queue = new ObjectQueue(groups);
  queue.streamOpened(1n, 0);
  queue.push(object(2n, 0n), 0);
  expect(drain(queue, 0)).toEqual([]);
  queue.close();
  expect(drain(queue, 0)).toEqual(['2/0']);
});
