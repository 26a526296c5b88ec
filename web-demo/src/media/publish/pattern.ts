/// The test pattern: a picture that moves and tells its own time and number, and a beep at the start of each second.
///
/// The lowest rows hold the frame number and the wall clock in milliseconds as black and white squares, so that a program can read
/// them back from a decoded picture.

import type { Size } from './ladder';

/** Squares of each number in the picture, the highest bit first. */
export const COUNTER_BITS = 24;
export const CLOCK_BITS = 32;
/** A beep lasts so long. */
export const BEEP_MS = 100;
const BEEP_HZ = 880;
const BEEP_LEVEL = 0.25;

const BARS = ['#c0c0c0', '#c0c000', '#00c0c0', '#00c000', '#c000c0', '#c00000', '#0000c0'];

type Canvas = OffscreenCanvasRenderingContext2D;

/** Draws frame `number` as of the wall-clock time `unixMs`. */
export function drawPattern(canvas: Canvas, { width, height }: Size, number: number, unixMs: number): void {
  const bar = width / BARS.length;
  BARS.forEach((colour, index) => {
    canvas.fillStyle = colour;
    canvas.fillRect(Math.floor(index * bar), 0, Math.ceil(bar), height);
  });
  drawHand(canvas, { width, height }, unixMs);
  const size = Math.round(height / 9);
  canvas.fillStyle = '#000';
  canvas.fillRect(0, height * 0.3, width, size * 2.6);
  canvas.fillStyle = '#fff';
  canvas.font = `bold ${size}px monospace`;
  canvas.textAlign = 'center';
  canvas.textBaseline = 'top';
  canvas.fillText(new Date(unixMs).toISOString().slice(11, 23), width / 2, height * 0.3 + size * 0.2);
  canvas.fillText(`frame ${number}`, width / 2, height * 0.3 + size * 1.4);
  drawBits(canvas, { width, height }, 1, number, COUNTER_BITS);
  drawBits(canvas, { width, height }, 0, unixMs % 2 ** CLOCK_BITS, CLOCK_BITS);
}

/** A disc that goes round once in two seconds. */
function drawHand(canvas: Canvas, { width, height }: Size, unixMs: number): void {
  const angle = ((unixMs % 2000) / 2000) * 2 * Math.PI;
  canvas.fillStyle = unixMs % 1000 < BEEP_MS ? '#fff' : '#202020';
  canvas.beginPath();
  canvas.arc(width / 2 + Math.sin(angle) * width * 0.4, height * 0.2, height / 14, 0, 2 * Math.PI);
  canvas.fill();
}

/** Squares for the bits of `value`, in row `row` from below. */
function drawBits(canvas: Canvas, { width, height }: Size, row: number, value: number, bits: number): void {
  const side = Math.floor(Math.min(width / CLOCK_BITS, height / 12));
  const top = height - side * (row + 1);
  for (let bit = 0; bit < bits; bit += 1) {
    const set = Math.floor(value / 2 ** (bits - 1 - bit)) % 2 === 1;
    canvas.fillStyle = set ? '#fff' : '#000';
    canvas.fillRect(bit * side, top, side, side);
  }
}

/** Sound of the pattern: `count` samples from sample `start` on, counted from a whole second. */
export function beep(start: number, count: number, sampleRate: number): Float32Array<ArrayBuffer> {
  const samples = new Float32Array(count);
  const length = (sampleRate * BEEP_MS) / 1000;
  for (let index = 0; index < count; index += 1) {
    const at = (start + index) % sampleRate;
    if (at < length) samples[index] = BEEP_LEVEL * Math.sin((2 * Math.PI * BEEP_HZ * at) / sampleRate);
  }
  return samples;
}
