/// The media clock, on a line of time made by hand.
import { describe, expect, it } from 'vitest';
import { MediaClock } from '../../../src/media/core/clock';

const MS = 1000;
const FRAME = 33 * MS;

/// Feeds a clock with media that arrives `delay(time)` after its time; everything in microseconds.
class Line {
  readonly clock: MediaClock;
  now = 0;
  available: number | undefined;
  #sent = 0;

  constructor(target = 200 * MS) {
    this.clock = new MediaClock(target);
  }

  /// `delay` undefined: nothing arrives.
  run(until: number, delay: number | undefined): void {
    for (; this.now < until; this.now += 5 * MS) {
      while (delay !== undefined && this.#sent + delay <= this.now) {
        this.clock.observe('video', this.#sent, this.now);
        this.#sent += FRAME;
        this.available = this.#sent;
      }
      this.clock.update(this.now, this.available);
    }
  }

  get latency(): number {
    return (this.clock.latency(this.now) ?? Number.NaN) / MS;
  }
}

describe('the media clock', () => {
  it('waits for media, then stays the target behind the edge', () => {
    const line = new Line();
    line.run(500 * MS, undefined);
    expect(line.clock.position(line.now)).toBeUndefined();
    line.run(3000 * MS, 40 * MS);
    expect(line.clock.state).toBe('running');
    expect(line.latency).toBeGreaterThan(180);
    expect(line.latency).toBeLessThan(220);
    expect(line.clock.stalls).toBe(0);
  });

  it('follows a burst of the past to the edge at once', () => {
    const line = new Line();
    line.now = 2000 * MS;
    // Two seconds of the current group arrive together, as a joining FETCH brings them.
    line.run(2600 * MS, 0);
    expect(Math.abs(line.latency - 200)).toBeLessThan(20);
    expect(line.clock.jumps).toBe(0);
  });

  it('mends a smaller target by a gentle rate', () => {
    const line = new Line(500 * MS);
    line.run(2000 * MS, 10 * MS);
    line.clock.setTarget(200 * MS);
    line.run(2100 * MS, 10 * MS);
    expect(line.clock.rate).toBeGreaterThan(1);
    expect(line.clock.rate).toBeLessThanOrEqual(1.05);
    line.run(14_000 * MS, 10 * MS);
    expect(Math.abs(line.latency - 200)).toBeLessThan(20);
    expect(line.clock.jumps).toBe(0);
  });

  it('jumps when it is far behind', () => {
    const line = new Line(2500 * MS);
    line.run(4000 * MS, 10 * MS);
    line.clock.setTarget(200 * MS);
    line.run(4010 * MS, 10 * MS);
    expect(line.clock.jumps).toBe(1);
    expect(Math.abs(line.latency - 200)).toBeLessThan(20);
  });

  it('stands still when nothing arrives, and keeps more distance afterwards', () => {
    const line = new Line();
    line.run(3000 * MS, 10 * MS);
    line.run(5000 * MS, undefined);
    expect(line.clock.state).toBe('stalled');
    expect(line.clock.rate).toBe(0);
    expect(line.clock.position(line.now)).toBe(line.available);
    line.run(8000 * MS, 10 * MS);
    expect(line.clock.state).toBe('running');
    expect(line.clock.stalls).toBe(1);
    expect(line.latency).toBeGreaterThan(250);
    // Calm takes the extra distance back.
    line.run(120_000 * MS, 10 * MS);
    expect(Math.abs(line.latency - 200)).toBeLessThan(20);
  });

  it('stands still for a larger target instead of playing twice', () => {
    const line = new Line();
    line.run(3000 * MS, 10 * MS);
    const before = line.clock.position(line.now) ?? 0;
    line.clock.setTarget(1500 * MS);
    line.run(3100 * MS, 10 * MS);
    expect(line.clock.position(line.now)).toBeGreaterThanOrEqual(before);
    line.run(8000 * MS, 10 * MS);
    expect(Math.abs(line.latency - 1500)).toBeLessThan(60);
  });

  it('goes back when the broadcast starts over', () => {
    const line = new Line();
    line.run(60_000 * MS, 10 * MS);
    line.clock.reroute();
    line.clock.observe('video', 0, line.now);
    line.clock.update(line.now, FRAME);
    expect(line.clock.position(line.now)).toBeLessThan(1000 * MS);
    expect(line.clock.state).toBe('running');
  });

  it('waits for the slower of two tracks', () => {
    const clock = new MediaClock(200 * MS);
    clock.observe('video', 1000 * MS, 1000 * MS);
    clock.observe('audio', 900 * MS, 1000 * MS);
    expect(clock.edge(1000 * MS)).toBe(900 * MS);
    clock.forget('audio');
    expect(clock.edge(1000 * MS)).toBe(1000 * MS);
  });
});
