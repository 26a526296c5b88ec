/// The page that goes live: devices, words and buttons. The work is done in `media/publish/worker.ts`.

import { CaptureError, type Choice, capture, frames } from '../media/publish/capture';
import type { Packaging } from '../media/publish/catalog';
import { type CodecFamily, FAMILY_NAMES, families } from '../media/publish/ladder';
import type { FromWorker, Settings, Source, Statistics, Told, ToWorker } from '../media/publish/messages';
import { whyUnsupported } from '../moqt';
import { namespaceOf, randomName, viewerUrl } from './publishName';
import { drawQr } from './qr';

function part<T extends Element>(id: string, kind: new () => T): T {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`the page has no ${id}`);
  return element;
}

const parts = {
  status: part('status', HTMLElement),
  problem: part('problem', HTMLElement),
  preview: part('preview', HTMLVideoElement),
  pattern: part('pattern', HTMLCanvasElement),
  empty: part('empty', HTMLElement),
  form: part('form', HTMLFormElement),
  choices: part('choices', HTMLFieldSetElement),
  name: part('name', HTMLInputElement),
  microphone: part('microphone', HTMLInputElement),
  microphoneLabel: part('microphone-label', HTMLElement),
  height: part('height', HTMLSelectElement),
  codec: part('codec', HTMLSelectElement),
  packaging: part('packaging', HTMLSelectElement),
  simulcast: part('simulcast', HTMLInputElement),
  layers: part('layers', HTMLInputElement),
  token: part('token', HTMLInputElement),
  live: part('live', HTMLButtonElement),
  mute: part('mute', HTMLButtonElement),
  viewers: part('viewers', HTMLElement),
  url: part('url', HTMLAnchorElement),
  qr: part('qr', SVGSVGElement),
  copy: part('copy', HTMLButtonElement),
  statistics: part('statistics', HTMLElement),
};

const query = new URLSearchParams(location.search);
const fragment = new URLSearchParams(location.hash.slice(1));
const worker = new Worker(new URL('../media/publish/worker.ts', import.meta.url), { type: 'module' });
let stream: MediaStream | undefined;
let isLive = false;
let isMuted = false;
/** Counts broadcasts: what an ended one still says is of no interest. */
let show = 0;
/** Counts choices of a source, so that a late answer to an old one is let go. */
let choosing = 0;

function say(status: string): void {
  if (parts.status.textContent !== status) parts.status.textContent = status;
}

function complain(problem: string | undefined): void {
  parts.problem.hidden = problem === undefined;
  parts.problem.textContent = problem ?? '';
}

function send(message: ToWorker, transfer: Transferable[] = []): void {
  worker.postMessage(message, transfer);
}

function chosen(): Choice | undefined {
  const value =
    new FormData(parts.form).get('source') ??
    document.querySelector<HTMLInputElement>('input[name=source]:checked')?.value;
  return value === 'camera' || value === 'screen' || value === 'none' || value === 'pattern' ? value : undefined;
}

function release(): void {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = undefined;
  parts.preview.srcObject = null;
}

/** Shows what was chosen, before anything is sent. */
async function choose(): Promise<void> {
  choosing += 1;
  const turn = choosing;
  const choice = chosen();
  if (!choice) return;
  complain(undefined);
  release();
  const isPattern = choice === 'pattern';
  send({ kind: 'pattern', on: isPattern });
  parts.pattern.hidden = !isPattern;
  parts.preview.hidden = isPattern || choice === 'none';
  parts.microphoneLabel.hidden = isPattern || choice === 'none';
  parts.empty.hidden = choice !== 'none';
  parts.empty.textContent = 'Sound only.';
  if (isPattern) return;
  try {
    const got = await capture(choice, choice === 'none' || parts.microphone.checked, Number(parts.height.value));
    if (turn !== choosing) {
      for (const track of got.getTracks()) track.stop();
      return;
    }
    stream = got;
    parts.preview.srcObject = got;
    for (const track of got.getTracks()) track.addEventListener('ended', deviceEnded);
  } catch (error) {
    if (turn !== choosing) return;
    parts.empty.hidden = false;
    parts.empty.textContent = 'Nothing to show.';
    complain(error instanceof CaptureError ? error.message : String(error));
  }
}

function deviceEnded(this: MediaStreamTrack): void {
  if (!stream?.getTracks().includes(this)) return;
  const wasLive = isLive;
  stop();
  release();
  complain(`The ${this.kind === 'video' ? 'picture' : 'sound'} ended: the device is gone or the sharing was stopped.`);
  if (wasLive) say('Not live any more.');
}

function settings(namespace: readonly string[]): Settings {
  const codec = parts.codec.value;
  return {
    relay: `https://${location.host}/`,
    certificateHashes: fragment.getAll('sha256'),
    token: parts.token.value || fragment.get('token') || undefined,
    namespace,
    packaging: parts.packaging.value as Packaging,
    codec: codec === '' ? undefined : (codec as CodecFamily),
    height: Number(parts.height.value),
    framerate: Math.round(stream?.getVideoTracks()[0]?.getSettings().frameRate ?? 30),
    simulcast: parts.simulcast.checked,
    temporalLayers: parts.layers.checked,
  };
}

/** What goes to the worker: the frames themselves leave the page. */
function source(): { source: Source; transfer: Transferable[] } | undefined {
  if (chosen() === 'pattern') return { source: { kind: 'pattern' }, transfer: [] };
  const [video] = stream?.getVideoTracks() ?? [];
  const [audio] = stream?.getAudioTracks() ?? [];
  if (!video && !audio) return undefined;
  const tracks = {
    video: video && frames<VideoFrame>(video),
    audio: audio && frames<AudioData>(audio),
  };
  const transfer = [tracks.video, tracks.audio].filter((frames) => frames !== undefined);
  return { source: { kind: 'tracks', ...tracks }, transfer };
}

function goLive(): void {
  const unsupported = whyUnsupported();
  complain(unsupported);
  if (unsupported) {
    say('Not live.');
    return;
  }
  const name = namespaceOf(parts.name.value);
  if ('problem' in name) {
    complain(name.problem);
    parts.name.focus();
    return;
  }
  const from = source();
  if (!from) {
    complain(chosen() ? 'There is nothing to show yet: choose a source that works.' : 'Choose what to show first.');
    return;
  }
  show += 1;
  send({ kind: 'start', show, settings: settings(name.fields), source: from.source }, from.transfer);
  isLive = true;
  parts.choices.disabled = true;
  parts.live.textContent = 'Stop';
  parts.mute.disabled = false;
  const hashes = fragment.getAll('sha256').map((hash) => `sha256=${hash}`);
  const url = viewerUrl(location.origin, name.fields, hashes.length > 0 ? `#${hashes.join('&')}` : '');
  parts.url.textContent = url;
  parts.url.href = url;
  drawQr(parts.qr, url);
}

function stop(): void {
  send({ kind: 'stop' });
  ended();
}

function ended(): void {
  isLive = false;
  parts.choices.disabled = false;
  parts.live.textContent = 'Go live';
  parts.mute.disabled = true;
  parts.viewers.hidden = true;
  parts.statistics.hidden = true;
}

function mute(muted: boolean): void {
  isMuted = muted;
  parts.mute.setAttribute('aria-pressed', String(muted));
  parts.mute.textContent = muted ? 'Unmute' : 'Mute';
  for (const track of stream?.getAudioTracks() ?? []) track.enabled = !muted;
  send({ kind: 'mute', muted });
}

function showStatistics(statistics: Statistics): void {
  const set = (id: string, text: string) => {
    part(`stat-${id}`, HTMLElement).textContent = text;
  };
  const share = statistics.share < 1 ? ` (${Math.round(statistics.share * 100)} % of full quality)` : '';
  set('bitrate', `${(statistics.bitrate / 1e6).toFixed(2)} Mbit/s${share}`);
  set('frames', String(statistics.frames));
  set('dropped', String(statistics.framesDropped));
  set('groups', String(statistics.groups));
  set('read', `${statistics.tracksRead} of ${statistics.tracks} tracks`);
  set('rtt', statistics.rtt === undefined ? 'not known yet' : `${Math.round(statistics.rtt)} ms`);
  const pictures = statistics.renditions.map(({ codec, width, height }) => `${width}×${height} ${codec}`);
  set('pictures', pictures.join(', ') || 'none');
}

function heard(message: FromWorker): void {
  switch (message.kind) {
    case 'connecting':
      say(message.again ? 'The connection was lost. Connecting again…' : 'Connecting…');
      break;
    case 'live':
      complain(undefined);
      say(`Live at ${new URL(message.relay).host}.`);
      parts.viewers.hidden = false;
      parts.statistics.hidden = false;
      break;
    case 'warning':
      complain(message.message);
      break;
    case 'failed':
      ended();
      complain(message.message);
      say('Not live.');
      break;
    case 'stopped':
      ended();
      say('Not live any more.');
      break;
    case 'statistics':
      showStatistics(message.statistics);
      break;
  }
}

async function offerCodecs(): Promise<void> {
  const found = await families();
  for (const family of found) parts.codec.append(new Option(FAMILY_NAMES[family], family));
  if (found.length === 0) complain('This browser cannot encode video. Use a current Chrome, Edge, Firefox or Safari.');
  // Said before anybody is asked for a camera.
  const unsupported = whyUnsupported();
  if (unsupported) complain(unsupported);
  const wanted = query.get('codec');
  if (wanted && found.some((family) => family === wanted)) parts.codec.value = wanted;
}

/** Addresses may carry a name, a source and settings: for bookmarks and for tests. */
function prefill(): void {
  parts.name.value = query.get('name') ?? randomName(Math.random);
  for (const id of ['height', 'packaging'] as const) {
    const wanted = query.get(id);
    if (wanted && [...parts[id].options].some((option) => option.value === wanted)) parts[id].value = wanted;
  }
  if (query.has('simulcast')) parts.simulcast.checked = query.get('simulcast') !== '0';
  if (query.has('layers')) parts.layers.checked = query.get('layers') !== '0';
  for (const input of document.querySelectorAll<HTMLInputElement>('input[name=source]')) {
    input.checked = input.value === query.get('source');
  }
}

function wire(): void {
  worker.addEventListener('message', ({ data }: MessageEvent<Told>) => {
    if (isLive && data.show === show) heard(data.message);
  });
  worker.addEventListener('error', () => complain('The part of this page that sends has failed. Load the page again.'));
  const canvas = parts.pattern.transferControlToOffscreen();
  send({ kind: 'canvas', canvas }, [canvas]);
  for (const input of document.querySelectorAll('input[name=source]')) input.addEventListener('change', choose);
  parts.microphone.addEventListener('change', choose);
  parts.height.addEventListener('change', () => {
    // A screen is made smaller here; a camera is asked for the size.
    if (chosen() === 'camera') void choose();
  });
  parts.form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (isLive) {
      stop();
      say('Not live any more.');
    } else {
      goLive();
    }
  });
  parts.mute.addEventListener('click', () => mute(!isMuted));
  parts.copy.addEventListener('click', async () => {
    const copied = await navigator.clipboard.writeText(parts.url.href).then(
      () => true,
      () => false,
    );
    parts.copy.textContent = copied ? 'Copied' : 'Copy it by hand, please';
  });
}

prefill();
wire();
void offerCodecs();
void choose();
