import { expect, test } from 'vitest';
import { MoqtError, PublishedTrack } from '../../src/moqt';

const bytes = (text: string) => new TextEncoder().encode(text);

test('a track keeps its last groups and tells listeners of each object', () => {
  const track = new PublishedTrack({ keepGroups: 2 });
  const heard: string[] = [];
  const stop = track.listen({
    pending: 7,
    object: (group, object) => heard.push(`${group.group}/${object.object}`),
    groupEnd: (group) => heard.push(`end ${group.group}`),
    trackEnd: () => heard.push('over'),
  });
  expect(track.subscribers).toBe(1);
  expect(track.backlogBytes).toBe(7);
  for (const group of [4n, 7n, 8n]) {
    const writer = track.beginGroup(group);
    writer.write(bytes('a'));
    writer.write(bytes('b'), { object: 5n });
  }
  expect(track.kept.map((kept) => kept.group)).toEqual([7n, 8n]);
  expect(track.largest).toEqual({ group: 8n, object: 5n });
  stop();
  track.end();
  expect(heard).toEqual(['4/0', '4/5', 'end 4', '7/0', '7/5', 'end 7', '8/0', '8/5']);
});

test('the first object of a group tells how many ids before it are left out', () => {
  const track = new PublishedTrack({ keepGroups: 10 });
  const own = new Map([[2n, 7n]]);
  for (const group of [1000n, 1001n, 2003n]) {
    const writer = track.beginGroup(group);
    writer.write(bytes('a'), { properties: own });
    writer.write(bytes('b'), { properties: own });
  }
  // A group in which nothing was written does not exist either.
  track.beginGroup(3000n);
  track.beginGroup(3004n).write(bytes('a'));
  const told = track.kept.map(({ objects }) => objects.map(({ properties }) => [...properties]));
  const [plain, gap] = [[[2n, 7n]], (count: bigint) => [0x3cn, count]];
  expect(told).toEqual([[plain, plain], [plain, plain], [[gap(1001n), ...plain], plain], [], [[gap(1000n)]]]);
});

test('ids that do not grow and writes after the end are refused', () => {
  const track = new PublishedTrack();
  const writer = track.beginGroup(2n);
  writer.write(bytes('a'), { object: 3n });
  expect(() => writer.write(bytes('b'), { object: 3n })).toThrow(MoqtError);
  expect(() => track.beginGroup(2n)).toThrow(MoqtError);
  writer.end();
  expect(() => writer.write(bytes('b'))).toThrow(MoqtError);
  const single = new PublishedTrack({ subgroups: 'single' }).beginGroup(0n);
  single.write(bytes('a'));
  expect(() => single.write(bytes('b'), { subgroup: 1n })).toThrow(MoqtError);
  track.end();
  expect(() => track.beginGroup(3n)).toThrow(MoqtError);
});
