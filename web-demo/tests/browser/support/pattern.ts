/// Reads the squares of the publish page's test pattern from the picture that the player shows.
import type { Page } from 'playwright-core';
import { CLOCK_BITS, COUNTER_BITS } from '../../../src/media/publish/pattern';

/** A picture as it was seen. */
export interface Seen {
  /** The number of the frame, as its source counts. */
  readonly frame: number;
  /** Milliseconds from when the frame was drawn by its source until it was seen, by the wall clock of this machine. */
  readonly latency: number;
  /** Wall clock in milliseconds. */
  readonly now: number;
}

/** Looks at each screen refresh until `count` different pictures could be read. */
export function watchPattern(page: Page, count: number): Promise<Seen[]> {
  return page.evaluate(
    async ({ count, clockBits, counterBits }) => {
      const canvas = document.querySelector('headwater-watch')?.shadowRoot?.querySelector('canvas');
      /** A row of squares from below; the highest bit first. Undefined if one is neither black nor white. */
      const read = (row: number, bits: number): number | undefined => {
        if (!canvas) return undefined;
        const side = Math.floor(Math.min(canvas.width / clockBits, canvas.height / 12));
        const top = canvas.height - side * (row + 1);
        const line = canvas.getContext('2d')?.getImageData(0, top + Math.floor(side / 2), bits * side, 1).data;
        let number = 0;
        for (let bit = 0; bit < bits; bit += 1) {
          const luma = line?.[4 * (bit * side + Math.floor(side / 2)) + 1] ?? 128;
          if (luma > 80 && luma < 170) return undefined;
          number = number * 2 + (luma > 127 ? 1 : 0);
        }
        return number;
      };
      const seen: { frame: number; latency: number; now: number }[] = [];
      while (seen.length < count) {
        await new Promise((done) => requestAnimationFrame(done));
        const now = performance.timeOrigin + performance.now();
        const [clock, frame] = [read(0, clockBits), read(1, counterBits)];
        if (clock === undefined || frame === undefined || seen.at(-1)?.frame === frame) continue;
        seen.push({ frame, latency: (now % 2 ** clockBits) - clock, now });
      }
      return seen;
    },
    { count, clockBits: CLOCK_BITS, counterBits: COUNTER_BITS },
  );
}

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
