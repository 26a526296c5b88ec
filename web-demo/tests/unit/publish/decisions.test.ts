/// The machines that decide while publishing: groups, times, bitrate, sizes, names.

import { describe, expect, test } from 'vitest';
import { BitrateControl } from '../../../src/media/publish/bitrate';
import { captureWords } from '../../../src/media/publish/capture';
import { GroupPlan } from '../../../src/media/publish/groups';
import { codecString, ladder } from '../../../src/media/publish/ladder';
import { beep } from '../../../src/media/publish/pattern';
import { AudioTicks, Timeline } from '../../../src/media/publish/timeline';
import { namespaceOf, randomName, viewerUrl } from '../../../src/ui/publishName';

describe('groups', () => {
  test('begin about each second and carry the wall clock', () => {
    const plan = new GroupPlan();
    const begun: number[] = [];
    for (let frame = 0; frame < 61; frame += 1) {
      const at = Math.round((frame * 1e6) / 30);
      if (plan.next(at, 5000 + at / 1000)) begun.push(frame);
    }
    expect(begun).toEqual([0, 30, 60]);
    expect(plan.at(0)).toBe(5000n);
    expect(plan.at(999_999)).toBe(5000n);
    expect(plan.at(1_000_001)).toBe(6000n);
    expect(plan.at(-1)).toBeUndefined();
  });

  test('ids grow though the clock falls back', () => {
    const plan = new GroupPlan();
    plan.next(0, 5000);
    expect(plan.next(1_000_000, 4000)).toBe(true);
    expect(plan.at(1_000_000)).toBe(5001n);
  });
});

describe('times', () => {
  test('a source is placed by its quickest frame', () => {
    const line = new Timeline();
    line.observe(100, 10_100);
    expect(line.place(100)).toBe(10_100);
    // 5 ms less of a way: the frames before were late, not this one early.
    line.observe(20_100, 25_100);
    expect(line.place(20_100)).toBe(25_100);
    line.observe(40_100, 60_100);
    expect(line.place(40_100)).toBe(45_100);
  });

  test('a source that starts over is placed anew, and never before what was', () => {
    const line = new Timeline();
    line.observe(5_000_000, 9_000_000);
    expect(line.place(5_000_000)).toBe(9_000_000);
    line.observe(0, 9_500_000);
    expect(line.place(0)).toBe(9_500_000);
    expect(line.place(-10_000)).toBe(9_500_001);
  });

  test('sound follows sound without gaps, but a pause is a pause', () => {
    const ticks = new AudioTicks(48_000);
    expect(ticks.place(1_000_000, 960)).toEqual({ at: 48_000, gap: false });
    expect(ticks.place(1_021_000, 960)).toEqual({ at: 48_960, gap: false });
    expect(ticks.place(2_000_000, 960)).toEqual({ at: 96_000, gap: true });
    expect(ticks.place(1_500_000, 960)).toEqual({ at: 96_960, gap: false });
  });
});

describe('bitrate', () => {
  const NOMINAL = 1_000_000;
  /** Bytes that last `ms` at the nominal rate. */
  const bytes = (ms: number) => (NOMINAL * ms) / 8000;

  test('falls while bytes wait, rises slowly once they leave', () => {
    const control = new BitrateControl(NOMINAL);
    let share = 1;
    for (let now = 0; now <= 1200; now += 200) {
      share = control.update({ now, encoderQueue: 0, backlogBytes: bytes(500) }).share;
    }
    expect(share).toBeCloseTo(0.7 ** 3);
    const calm = (now: number) => control.update({ now, encoderQueue: 0, backlogBytes: 0 }).share;
    expect(calm(1400)).toBeCloseTo(share);
    expect(calm(2900)).toBeCloseTo(share + 0.05);
    let last = share;
    for (let now = 3000; now < 20_000; now += 200) {
      const next = calm(now);
      expect(next - last).toBeLessThanOrEqual(0.11);
      last = next;
    }
    expect(last).toBe(1);
  });

  test('has a floor', () => {
    const control = new BitrateControl(NOMINAL);
    let share = 1;
    for (let now = 0; now < 60_000; now += 700) {
      share = control.update({ now, encoderQueue: 0, backlogBytes: bytes(5000) }).share;
    }
    expect(share).toBe(0.1);
  });

  test('a slow machine encodes half the frames for a while', () => {
    const control = new BitrateControl(NOMINAL);
    const update = (now: number, encoderQueue: number) => control.update({ now, encoderQueue, backlogBytes: 0 });
    expect(update(0, 3).keepOneIn).toBe(1);
    expect(update(250, 3).keepOneIn).toBe(1);
    expect(update(500, 3)).toEqual({ share: 1, keepOneIn: 2 });
    expect(update(1000, 0).keepOneIn).toBe(2);
    expect(update(8500, 0).keepOneIn).toBe(1);
  });

  test('one full moment is not a slow machine', () => {
    const control = new BitrateControl(NOMINAL);
    for (let now = 0; now < 5000; now += 250) {
      const queue = now % 500 === 0 ? 3 : 0;
      expect(control.update({ now, encoderQueue: queue, backlogBytes: 0 }).keepOneIn).toBe(1);
    }
  });
});

describe('sizes', () => {
  test('never larger than the source, always even, a half beside it', () => {
    const sizes = (width: number, height: number, lines: number) =>
      ladder({ width, height }, lines, 30, true).map((rendition) => [rendition.width, rendition.height]);
    expect(sizes(1280, 720, 360)).toEqual([
      [640, 360],
      [320, 180],
    ]);
    expect(sizes(641, 479, 720)).toEqual([
      [640, 478],
      [318, 238],
    ]);
    expect(sizes(160, 120, 720)).toEqual([[160, 120]]);
  });

  test('codec strings reach for the level of the size', () => {
    const [hd] = ladder({ width: 1920, height: 1080 }, 1080, 30, false);
    const [small] = ladder({ width: 640, height: 360 }, 360, 30, false);
    if (!hd || !small) throw new Error('no rendition');
    expect(codecString('h264', small)).toBe('avc1.42e01f');
    expect(codecString('h264', hd)).toBe('avc1.42e028');
    expect(codecString('vp9', hd)).toBe('vp09.00.40.08');
    expect(codecString('av1', small)).toBe('av01.0.05M.08');
  });
});

test('the beep lasts a tenth of each second', () => {
  const second = beep(0, 48_000, 48_000);
  expect(second.findLastIndex((sample) => sample !== 0)).toBeLessThan(4800);
  expect(Math.max(...second.subarray(0, 4800))).toBeGreaterThan(0.2);
  expect(beep(48_000, 10, 48_000)).toEqual(beep(0, 10, 48_000));
});

test('names are readable, and those that cannot be an address are refused in words', () => {
  expect(randomName(() => 0.5)).toMatch(/^live\/[a-z]+-[a-z]+-55$/);
  expect(namespaceOf(' /live/cam/ ')).toEqual({ fields: ['live', 'cam'] });
  for (const name of ['', '/', 'a//b', '-/publish', 'a/../b', 'x'.repeat(2000), 'a/'.repeat(40)]) {
    expect(namespaceOf(name), name).toHaveProperty('problem');
  }
  expect(viewerUrl('https://h:4443', ['live', '<b>&ü'], '')).toBe('https://h:4443/live/%3Cb%3E%26%C3%BC');
});

test('refusals of devices are told in words', () => {
  const named = (name: string) => Object.assign(new Error('x'), { name });
  expect(captureWords(named('NotAllowedError'), 'camera')).toContain('Allow it');
  expect(captureWords(named('NotFoundError'), 'none')).toBe('No microphone was found.');
  expect(captureWords(named('NotReadableError'), 'camera')).toContain('Another program');
  expect(captureWords('odd', 'screen')).toContain('odd');
});
