/// How soon a page asks again for a broadcast of which nothing came.
import { expect, test } from 'vitest';
import { Pace } from '../../../src/media/core/pace';

test('rounds without media are farther apart each time', () => {
  const pace = new Pace();
  expect(Array.from({ length: 7 }, () => pace.next(0))).toEqual([0, 500, 1000, 2000, 4000, 4000, 4000]);
  // What took its time needs no more of it.
  expect([pace.next(3900), pace.next(9000)]).toEqual([100, 0]);
});

test('what begins, or begins again, is asked for at once', () => {
  const pace = new Pace();
  for (let round = 0; round < 5; round += 1) pace.next(0);
  pace.reset();
  expect([pace.next(0), pace.next(0)]).toEqual([0, 500]);
});
