/// When a silent relay is asked, and when it is given up.
import { expect, test } from 'vitest';
import { Liveness, SENDING, type Verdict } from '../../../src/media/core/liveness';

const STEP = 250;

type Heard = 'heard' | 'answered' | undefined;

/** Looks four times a second up to `until`; `comes` says when something comes. */
function look(until: number, comes: (now: number) => Heard = () => undefined): [number, Verdict][] {
  const liveness = new Liveness(0);
  const told: [number, Verdict][] = [];
  for (let now = STEP; now <= until; now += STEP) {
    const heard = comes(now);
    if (heard) liveness[heard](now);
    const verdict = liveness.look(now);
    if (verdict !== 'there') told.push([now, verdict]);
    if (verdict === 'gone') break;
  }
  return told;
}

test('a relay that sends is never asked', () => {
  expect(look(60_000, (now) => (now % 750 === 0 ? 'heard' : undefined))).toEqual([]);
});

test('a silent relay is asked once, and given up within four seconds', () => {
  expect(look(60_000)).toEqual([
    [1000, 'ask'],
    [3750, 'gone'],
  ]);
});

test('an answer is enough, and the question comes again, seldom until there is media', () => {
  const comes = new Map<number, Heard>([
    [3000, 'answered'],
    [7250, 'answered'],
    [8000, 'heard'],
  ]);
  expect(look(60_000, (now) => comes.get(now))).toEqual([
    [1000, 'ask'],
    [7000, 'ask'],
    [9000, 'ask'],
    [11_750, 'gone'],
  ]);
});

test('a page that was asleep asks before it judges', () => {
  const liveness = new Liveness(0);
  expect(liveness.look(1000)).toBe('ask');
  // Frozen for a minute: what came meanwhile is read after this.
  expect(liveness.look(61_000)).toBe('there');
  expect(liveness.look(62_000)).toBe('ask');
  expect(liveness.look(63_000)).toBe('there');
  expect(liveness.look(64_750)).toBe('gone');
});

test('a page that sends asks each second, and waits longer for the answer', () => {
  const liveness = new Liveness(0, SENDING);
  expect(liveness.look(1000)).toBe('ask');
  liveness.answered(1500);
  expect([2000, 2500].map((now) => liveness.look(now))).toEqual(['there', 'ask']);
  expect([4000, 6000, 8000, 8501].map((now) => liveness.look(now))).toEqual(['there', 'there', 'there', 'gone']);
});
