/// The numbers over the picture.

import type { PlayerStats } from '../media/player/status';
import { element } from './dom';

type Row = readonly [label: string, value: (stats: PlayerStats) => string];

const ROWS: readonly Row[] = [
  ['Latency', ({ latency }) => milliseconds(latency)],
  ['Buffer', ({ buffer }) => milliseconds(buffer)],
  ['Bitrate', ({ bitrate }) => `${(bitrate / 1e6).toFixed(2)} Mbit/s`],
  ['Pictures', ({ frameRate, framesDropped }) => `${frameRate.toFixed(0)} per s, ${framesDropped} dropped`],
  ['Groups skipped', ({ groupsSkipped }) => String(groupsSkipped)],
  ['Stalls, jumps', ({ stalls, jumps }) => `${stalls}, ${jumps}`],
  ['Rate', ({ rate }) => rate.toFixed(3)],
  ['Picture − sound', ({ avOffset }) => milliseconds(avOffset)],
  ['First picture', ({ firstFrame }) => milliseconds(firstFrame)],
  ['Round trip', ({ rtt }) => milliseconds(rtt)],
  ['Unreadable objects', ({ malformed }) => String(malformed)],
  ['Picture', ({ video }) => video || '–'],
  ['Sound', ({ audio }) => audio || '–'],
  ['Relay', ({ relay }) => relay || '–'],
];

export class Statistics {
  readonly panel: HTMLElement;
  readonly #values: readonly HTMLElement[];

  constructor() {
    this.#values = ROWS.map(() => element('dd'));
    this.panel = element('dl', { class: 'statistics', 'aria-label': 'Statistics' });
    for (const [index, [label]] of ROWS.entries()) {
      this.panel.append(element('dt', {}, label), this.#values[index] ?? '');
    }
    this.panel.hidden = true;
  }

  show(stats: PlayerStats): void {
    if (!this.panel.hidden) {
      for (const [index, [, value]] of ROWS.entries()) {
        const cell = this.#values[index];
        if (cell !== undefined) {
          cell.textContent = value(stats);
        }
      }
    }
  }
}

function milliseconds(value: number | undefined): string {
  return value === undefined ? '–' : `${value.toFixed(0)} ms`;
}
