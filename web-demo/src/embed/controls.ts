/// The controls under the picture: real buttons, ranges and a select, so that keys and screen readers work as they are
/// used to.

import type { RenditionEntry } from '../media/player/status';
import { element, icon } from './dom';

const ICONS = {
  play: 'M8 5v14l11-7z',
  stop: 'M6 6h12v12H6z',
  sound: 'M4 9v6h4l5 5V4L8 9zm12.5 3a4.5 4.5 0 0 0-2.5-4v8a4.5 4.5 0 0 0 2.5-4z',
  silent:
    'M4 9v6h4l5 5V4L8 9zm17-.6L19.6 7 17.5 9.100 15.400 7 14 8.400l2.100 2.100L14 12.600 15.400 14l2.100-2.100L19.600 14 21 12.600l-2.100-2.100z',
  numbers: 'M5 20h3V10H5zm5.500 0h3V4h-3zM16 20h3v-7h-3z',
  full: 'M5 9V5h4V3H3v6zm10-6v2h4v4h2V3zM5 15H3v6h6v-2H5zm14 4h-4v2h6v-6h-2z',
} as const;

export interface ControlActions {
  play(): void;
  stop(): void;
  volume(volume: number, muted: boolean): void;
  latency(milliseconds: number): void;
  rendition(name: string | undefined): void;
  statistics(shown: boolean): void;
  fullscreen(): void;
}

export interface ControlStart {
  readonly latency: number;
  readonly muted: boolean;
}

export class Controls {
  readonly bar: HTMLElement;
  readonly #play = button('Play', ICONS.play);
  readonly #mute = button('Mute', ICONS.sound);
  readonly #numbers = button('Statistics', ICONS.numbers);
  readonly #full = button('Full screen', ICONS.full);
  readonly #volume = range('Volume', 0, 100, 5);
  readonly #latency = range('Distance from live', 50, 3000, 50);
  readonly #delay = element('output', { class: 'delay', 'aria-hidden': 'true' });
  readonly #quality = element('select', { 'aria-label': 'Quality', title: 'Quality' });
  #playing = false;
  #muted: boolean;

  constructor(
    private readonly actions: ControlActions,
    start: ControlStart,
  ) {
    this.#muted = start.muted;
    this.#volume.value = '100';
    this.#latency.value = String(start.latency);
    this.#numbers.setAttribute('aria-pressed', 'false');
    this.#listen();
    this.#showLatency();
    this.#showSound();
    this.setRenditions([], undefined, true);
    const sound = element('span', { class: 'group' }, this.#mute, this.#volume);
    const live = element(
      'label',
      { class: 'group latency' },
      element('span', {}, 'Live −'),
      this.#latency,
      this.#delay,
    );
    const right = element('span', { class: 'group end' }, this.#quality, this.#numbers, this.#full);
    this.bar = element('div', { class: 'bar', role: 'group', 'aria-label': 'Player controls' });
    this.bar.append(this.#play, sound, live, right);
  }

  setPlaying(playing: boolean): void {
    this.#playing = playing;
    show(this.#play, playing ? 'Stop' : 'Play', playing ? ICONS.stop : ICONS.play);
  }

  setRenditions(list: readonly RenditionEntry[], current: string | undefined, automatic: boolean): void {
    const playing = list.find(({ name }) => name === current)?.label;
    const auto = playing === undefined || !automatic ? 'Auto' : `Auto (${playing})`;
    const options = list.map(({ name, label }) => element('option', { value: `=${name}` }, label));
    this.#quality.replaceChildren(element('option', { value: '' }, auto), ...options);
    this.#quality.value = automatic ? '' : `=${current ?? ''}`;
    this.#quality.hidden = list.length < 2;
  }

  togglePlay(): void {
    if (this.#playing) {
      this.actions.stop();
    } else {
      this.actions.play();
    }
  }

  toggleMute(): void {
    this.#muted = !this.#muted;
    this.#sound();
  }

  toggleStatistics(): void {
    const shown = this.#numbers.getAttribute('aria-pressed') !== 'true';
    this.#numbers.setAttribute('aria-pressed', String(shown));
    this.actions.statistics(shown);
  }

  nudgeVolume(by: number): void {
    this.#volume.value = String(Number(this.#volume.value) + by);
    this.#muted = false;
    this.#sound();
  }

  get volume(): number {
    return this.#muted ? 0 : Number(this.#volume.value) / 100;
  }

  get latency(): number {
    return Number(this.#latency.value);
  }

  #listen(): void {
    this.#play.addEventListener('click', () => this.togglePlay());
    this.#mute.addEventListener('click', () => this.toggleMute());
    this.#numbers.addEventListener('click', () => this.toggleStatistics());
    this.#full.addEventListener('click', () => this.actions.fullscreen());
    this.#volume.addEventListener('input', () => this.nudgeVolume(0));
    this.#latency.addEventListener('input', () => {
      this.#showLatency();
      this.actions.latency(this.latency);
    });
    this.#quality.addEventListener('change', () => {
      const { value } = this.#quality;
      this.actions.rendition(value === '' ? undefined : value.slice(1));
    });
  }

  #sound(): void {
    this.#showSound();
    this.actions.volume(this.volume, this.#muted);
  }

  #showSound(): void {
    show(this.#mute, this.#muted ? 'Sound on' : 'Mute', this.#muted ? ICONS.silent : ICONS.sound);
  }

  #showLatency(): void {
    const words = this.latency < 1000 ? `${this.latency} ms` : `${(this.latency / 1000).toFixed(2)} s`;
    this.#delay.textContent = words;
    this.#latency.setAttribute('aria-valuetext', words);
  }
}

function button(label: string, path: string): HTMLButtonElement {
  const made = element('button', { type: 'button' });
  show(made, label, path);
  return made;
}

function show(button: HTMLButtonElement, label: string, path: string): void {
  if (button.title !== label) {
    button.title = label;
    button.setAttribute('aria-label', label);
    button.replaceChildren(icon(path));
  }
}

function range(label: string, min: number, max: number, step: number): HTMLInputElement {
  const limits = { min: String(min), max: String(max), step: String(step) };
  return element('input', { type: 'range', 'aria-label': label, title: label, ...limits });
}
