/// When a page looks elsewhere for a broadcast that does not come.
import { expect, test } from 'vitest';
import { Drought } from '../../../src/media/core/drought';

/** The moments, in seconds, at which a page that looks each second moves on. */
function moves(drought: Drought, from: number, to: number): number[] {
  const seconds = Array.from({ length: to - from }, (_, index) => from + index);
  return seconds.filter((second) => drought.over(second * 1000));
}

test('what never played is waited for', () => {
  expect(moves(new Drought(), 0, 1000)).toEqual([]);
});

test('moves come later each time, and soon again once media came', () => {
  const drought = new Drought();
  drought.heard(0);
  expect(moves(drought, 0, 1000)).toEqual([8, 24, 56, 120, 248, 488, 728, 968]);
  drought.heard(1_000_000);
  expect(moves(drought, 1000, 1030)).toEqual([1008, 1024]);
});
