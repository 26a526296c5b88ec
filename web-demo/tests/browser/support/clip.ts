/// A clip that a test can read: each picture carries its number as black and white squares, each second begins with a
/// beep in silence.
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { run, scratch } from './files';

const BITS = 12;
const SQUARE = 40;
export const RATE = 25;
export const SECONDS = 20;

/** Makes the clip with ffmpeg and returns its path. A group each second, H.264 with B-frames, AAC. */
export async function makeClip(): Promise<string> {
  const path = join(scratch(), 'clip.mp4');
  const squares = Array.from({ length: BITS }, (_, bit) => {
    const place = `x=${bit * SQUARE}:y=0:w=${SQUARE}:h=${SQUARE}:t=fill`;
    return `drawbox=${place}:color=white:enable='mod(floor(n/${2 ** bit}),2)'`;
  });
  const black = `drawbox=x=0:y=0:w=${BITS * SQUARE}:h=${SQUARE}:t=fill:color=black`;
  const picture = `testsrc2=size=640x360:rate=${RATE}:duration=${SECONDS}`;
  const beep = `aevalsrc=0.5*sin(2*PI*880*t)*lt(mod(t\\,1)\\,0.1):s=48000:d=${SECONDS}`;
  const input = ['-f', 'lavfi', '-i', picture, '-f', 'lavfi', '-i', beep];
  const video = ['-vf', [black, ...squares].join(','), '-c:v', 'libx264', '-preset', 'veryfast', '-pix_fmt', 'yuv420p'];
  const groups = ['-g', String(RATE), '-keyint_min', String(RATE), '-sc_threshold', '0', '-bf', '2'];
  const sound = ['-c:a', 'aac', '-b:a', '96k', '-movflags', '+faststart'];
  await run('ffmpeg', ['-v', 'error', '-y', ...input, ...video, ...groups, ...sound, path]);
  return path;
}

/** The number of the picture that the player shows; undefined if none can be read. */
export function pictureNumber(page: Page): Promise<number | undefined> {
  return page.evaluate(
    ([bits, square]) => {
      const canvas = document.querySelector('headwater-watch')?.shadowRoot?.querySelector('canvas');
      const pixels = canvas?.getContext('2d')?.getImageData(0, square / 2, bits * square, 1).data;
      let number = 0;
      for (let bit = 0; bit < bits; bit += 1) {
        const luma = pixels?.[4 * (bit * square + square / 2)] ?? 128;
        if (luma > 80 && luma < 170) return undefined;
        number += luma > 127 ? 2 ** bit : 0;
      }
      return number;
    },
    [BITS, SQUARE] as const,
  );
}
