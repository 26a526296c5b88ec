/// When a page looks elsewhere for a broadcast that does not come, and when it comes back.
import { expect, test } from 'vitest';
import { Drought } from '../../../src/media/core/drought';

/** The moments, in seconds, at which a page that looks each second and moves when it is told to does so. */
function moves(drought: Drought, from: number, to: number): number[] {
  let elsewhere = false;
  const seconds = Array.from({ length: to - from }, (_, index) => from + index);
  return seconds.filter((second) => {
    const moved = drought.look(second * 1000);
    if (moved) {
      elsewhere = !elsewhere;
      drought.begin(second * 1000, elsewhere);
    }
    return moved;
  });
}

test('what never played is waited for', () => {
  const drought = new Drought(1);
  drought.begin(0, false);
  expect(moves(drought, 0, 1000)).toEqual([]);
});

test('a page looks elsewhere for five seconds, each time later', () => {
  const drought = new Drought(1);
  drought.begin(0, false);
  drought.heard(0);
  expect(moves(drought, 0, 300)).toEqual([8, 13, 29, 34, 66, 71, 135, 140, 268, 273]);
  drought.heard(300_000);
  expect(moves(drought, 300, 330)).toEqual([308, 313, 329]);
});

test('it stays where media comes', () => {
  const drought = new Drought(1);
  drought.heard(0);
  expect(moves(drought, 0, 9)).toEqual([8]);
  drought.heard(9000);
  expect(moves(drought, 9, 20)).toEqual([17]);
});

test('pages do not move all together', () => {
  const first = [0.5, 1, 1.5].map((factor) => {
    const drought = new Drought(factor);
    drought.heard(-1000);
    return moves(drought, -1, 30)[0];
  });
  expect(first).toEqual([5, 7, 11]);
});

test('a page that slept has to listen first', () => {
  const drought = new Drought(1);
  drought.heard(0);
  expect(moves(drought, 0, 5)).toEqual([]);
  expect(moves(drought, 3600, 3620)).toEqual([3608, 3613]);
});

test('a look that found no session was one too', () => {
  const drought = new Drought(1);
  drought.heard(0);
  expect(moves(drought, 0, 9)).toEqual([8]);
  drought.begin(9000, false);
  expect(moves(drought, 9, 40)).toEqual([25, 30]);
});

test('a session gets its time, however long it took to have one', () => {
  const drought = new Drought(1);
  drought.heard(0);
  expect(moves(drought, 0, 7)).toEqual([]);
  drought.begin(7000, false);
  expect(moves(drought, 7, 13)).toEqual([12]);
});
