/// `<headwater-watch src="https://host:4443/live/cam">`: a broadcast, with controls.
///
/// Attributes: `src` (relay and namespace; `#sha256=HEX` pins its certificate), `also` (other relays to turn to, separated by
/// spaces), `latency` (milliseconds, default 200), `autoplay`, `muted`, `token`. Property `stats`: the numbers.
/// Event `statuschange`: detail is `{ state, message }`.

import { Endpoints, endpointOf } from '../media/core/endpoints';
import { Player } from '../media/player/player';
import type { PlayerEvents, PlayerStats, PlayerStatus } from '../media/player/status';
import { Controls } from './controls';
import { element, icon } from './dom';
import css from './element.css?inline';
import { Statistics } from './statistics';

export const ELEMENT = 'headwater-watch';
const DEFAULT_LATENCY = 200;
/// How often the numbers are written, in milliseconds.
const REFRESH = 250;

/// Splits `https://host:4443/live/cam` into the relay and the namespace.
export function sourceOf(src: string): { relay: string; namespace: string[] } | undefined {
  try {
    const url = new URL(src, document.baseURI);
    const relay = endpointOf(`${url.origin.replace(/^http:/, 'https:')}/${url.hash}`);
    const namespace = url.pathname
      .split('/')
      .filter((field) => field !== '')
      .map(decodeURIComponent);
    return relay === undefined || namespace.length === 0 ? undefined : { relay: `${relay.url}${url.hash}`, namespace };
  } catch {
    return undefined;
  }
}

export function defineElement(workletUrl: string): void {
  if (customElements.get(ELEMENT) !== undefined) {
    return;
  }
  customElements.define(
    ELEMENT,
    class HeadwaterWatch extends HTMLElement {
      #view: View | undefined;
      connectedCallback(): void {
        this.#view ??= new View(this, workletUrl);
        if (this.hasAttribute('autoplay')) {
          this.play();
        }
      }
      disconnectedCallback(): void {
        this.stop();
      }
      play(): void {
        this.#view?.play();
      }
      stop(): void {
        this.#view?.stop();
      }
      get stats(): PlayerStats | undefined {
        return this.#view?.stats;
      }
    },
  );
}

class View {
  readonly #canvas = element('canvas', { width: '640', height: '360' });
  readonly #message = element('p', { class: 'message', role: 'status', 'aria-live': 'polite' });
  readonly #notes = element('details', { class: 'notes' });
  readonly #start = element('button', { type: 'button', class: 'start', 'aria-label': 'Play', title: 'Play' });
  readonly #sound = element('button', { type: 'button', class: 'sound' }, 'Turn on sound');
  readonly #numbers = new Statistics();
  readonly #frame: HTMLElement;
  readonly #controls: Controls;
  #player: Player | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(
    private readonly host: HTMLElement,
    private readonly workletUrl: string,
  ) {
    const latency = Number(host.getAttribute('latency') ?? DEFAULT_LATENCY) || DEFAULT_LATENCY;
    this.#controls = new Controls(this.#actions(), { latency, muted: host.hasAttribute('muted') });
    this.#canvas.setAttribute('role', 'img');
    this.#canvas.setAttribute(
      'aria-label',
      `Live picture of ${decodeURI(new URL(this.#src, document.baseURI).pathname)}`,
    );
    this.#start.append(icon('M8 5v14l11-7z'));
    this.#start.addEventListener('click', () => this.play());
    this.#sound.hidden = true;
    this.#sound.addEventListener('click', () => this.#player?.resumeSound());
    this.#notes.hidden = true;
    const screen = element('div', { class: 'screen' }, this.#canvas, this.#start, this.#message, this.#sound);
    screen.append(this.#numbers.panel);
    this.#frame = element('div', { class: 'frame', tabindex: '-1' }, screen, this.#controls.bar, this.#notes);
    this.#frame.addEventListener('keydown', (event) => this.#key(event));
    const root = host.attachShadow({ mode: 'open', delegatesFocus: true });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    root.adoptedStyleSheets = [sheet];
    root.append(this.#frame);
  }

  get stats(): PlayerStats | undefined {
    return this.#player?.stats();
  }

  get #src(): string {
    return this.host.getAttribute('src') ?? '';
  }

  play(): void {
    this.stop();
    const source = sourceOf(this.#src);
    const also = (this.host.getAttribute('also') ?? '').split(/\s+/);
    const endpoints = [source?.relay ?? '', ...also].map(endpointOf).filter((endpoint) => endpoint !== undefined);
    if (source === undefined) {
      this.#status({ state: 'failed', message: 'The address of the broadcast (src) is not understood.' });
      return;
    }
    const token = this.host.getAttribute('token');
    this.#player = new Player({
      canvas: this.#canvas,
      endpoints: new Endpoints(endpoints),
      namespace: source.namespace,
      workletUrl: this.workletUrl,
      target: this.#controls.latency,
      events: this.#events(),
      ...(token === null ? {} : { token }),
    });
    this.#player.setVolume(this.#controls.volume);
    this.#player.start();
    this.#start.hidden = true;
    this.#controls.setPlaying(true);
    this.#timer = setInterval(() => this.#refresh(), REFRESH);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#player?.stop();
    this.#player = undefined;
    this.#start.hidden = false;
    this.#controls.setPlaying(false);
  }

  #refresh(): void {
    const { stats } = this;
    if (stats !== undefined) {
      this.#numbers.show(stats);
    }
  }

  #events(): PlayerEvents {
    return {
      status: (status) => this.#status(status),
      renditions: (list, current, automatic) => this.#controls.setRenditions(list, current, automatic),
      notes: (notes) => this.#note(notes),
      soundBlocked: (blocked) => {
        this.#sound.hidden = !blocked;
      },
    };
  }

  #actions(): ConstructorParameters<typeof Controls>[0] {
    return {
      play: () => this.play(),
      stop: () => this.stop(),
      volume: (volume) => {
        this.#player?.setVolume(volume);
        this.#player?.resumeSound();
      },
      latency: (milliseconds) => this.#player?.setTarget(milliseconds),
      rendition: (name) => this.#player?.choose(name),
      statistics: (shown) => {
        this.#numbers.panel.hidden = !shown;
        this.#refresh();
      },
      fullscreen: () => this.#fullscreen(),
    };
  }

  #status(status: PlayerStatus): void {
    const fallback = status.state === 'buffering' ? 'Buffering …' : '';
    this.#message.textContent = status.message || fallback;
    this.#message.hidden = this.#message.textContent === '';
    this.#frame.dataset['state'] = status.state;
    this.host.dispatchEvent(new CustomEvent('statuschange', { detail: status }));
  }

  #note(notes: readonly string[]): void {
    const [only] = notes.length === 1 ? notes : [];
    const left = 'Not all of this broadcast is played';
    if (only === undefined) {
      const list = element('ul', {}, ...notes.map((note) => element('li', {}, note)));
      this.#notes.replaceChildren(element('summary', {}, `${left}, for ${notes.length} reasons`), list);
    } else {
      this.#notes.replaceChildren(element('summary', {}, `${left}. ${only}`));
    }
    this.#notes.hidden = notes.length === 0;
  }

  #fullscreen(): void {
    const change = document.fullscreenElement === null ? this.#frame.requestFullscreen() : document.exitFullscreen();
    change.catch(() => {
      this.#message.textContent = 'This page may not fill the screen.';
      this.#message.hidden = false;
    });
  }

  #key(event: KeyboardEvent): void {
    const target = event.target;
    const typing = target instanceof HTMLInputElement || target instanceof HTMLSelectElement;
    if (event.ctrlKey || event.metaKey || event.altKey || (typing && event.key.startsWith('Arrow'))) {
      return;
    }
    const keys: Readonly<Record<string, () => void>> = {
      k: () => this.#controls.togglePlay(),
      m: () => this.#controls.toggleMute(),
      f: () => this.#fullscreen(),
      i: () => this.#controls.toggleStatistics(),
      ArrowUp: () => this.#controls.nudgeVolume(10),
      ArrowDown: () => this.#controls.nudgeVolume(-10),
    };
    const act = keys[event.key];
    if (act !== undefined) {
      event.preventDefault();
      act();
    }
  }
}
