/// Decoders that throw where they are called, instead of telling of an error later.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { JitterBuffer } from '../../../src/media/core/buffer';
import type { MediaSample } from '../../../src/media/demux/sample';
import { AudioOutput } from '../../../src/media/io/audio';
import { VideoOutput } from '../../../src/media/io/video';

/** What the decoders do when they are called; a method throws if its name is here. */
const throwing = new Set<string>();
const decoders: Decoder[] = [];

class Decoder {
  state = 'unconfigured';
  decodeQueueSize = 0;
  decoded = 0;
  constructor(readonly callbacks: { readonly error: () => void }) {
    decoders.push(this);
  }
  configure(): void {
    this.#may('configure');
    this.state = 'configured';
  }
  decode(): void {
    this.#may('decode');
    this.decoded += 1;
  }
  close(): void {
    this.#may('close');
    this.state = 'closed';
  }
  #may(method: string): void {
    if (this.state === 'closed' || throwing.has(method)) throw new DOMException(`no ${method}`, 'InvalidStateError');
  }
}

const contexts: Context[] = [];

class Context {
  state = 'running';
  currentTime = 0;
  readonly audioWorklet = { addModule: () => new Promise(() => undefined) };
  constructor() {
    contexts.push(this);
  }
  createGain() {
    return { connect: () => undefined };
  }
  async close(): Promise<void> {
    this.state = 'closed';
  }
}

beforeEach(() => {
  vi.stubGlobal('AudioDecoder', Decoder);
  vi.stubGlobal('VideoDecoder', Decoder);
  vi.stubGlobal('EncodedAudioChunk', Object);
  vi.stubGlobal('EncodedVideoChunk', Object);
  vi.stubGlobal('AudioContext', Context);
});

afterEach(() => {
  vi.unstubAllGlobals();
  throwing.clear();
  decoders.length = 0;
  contexts.length = 0;
});

function sample(at: number, description?: Uint8Array): MediaSample {
  const times = { decodeTime: at * 40_000, time: at * 40_000, duration: 40_000 };
  return { ...times, key: true, data: new Uint8Array(1), ...(description && { description }) };
}

function sound() {
  const failed = vi.fn();
  const config = { codec: 'opus', sampleRate: 48_000, numberOfChannels: 2 };
  const output = new AudioOutput(config, 'worklet.js', { report: () => undefined, failed });
  return { output, failed };
}

/** A picture with `samples` waiting, each a group of its own. */
function picture(samples: readonly MediaSample[]) {
  const failed = vi.fn();
  const buffer = new JitterBuffer('video');
  for (const [at, one] of samples.entries()) {
    buffer.push({ group: BigInt(at), subgroup: 0n, object: 0n, samples: [one] });
    buffer.endGroup(BigInt(at));
  }
  const canvas = {} as HTMLCanvasElement;
  const output = new VideoOutput({ codec: 'vp8' }, buffer, canvas, { drawn: () => undefined, failed }, true);
  failed.mockImplementation(() => output.close());
  return { output, failed };
}

test('sound is given up with a word when its decoder takes nothing', () => {
  const { output, failed } = sound();
  throwing.add('decode');
  for (let at = 0; at < 5; at += 1) output.push(sample(at));
  expect(failed).not.toHaveBeenCalled();
  output.push(sample(5));
  expect(failed).toHaveBeenCalledExactlyOnceWith('The sound of this broadcast cannot be decoded.');
  expect(decoders.map(({ state }) => state)).not.toContain('configured');
  output.push(sample(6));
  output.close();
  expect(failed).toHaveBeenCalledOnce();
});

test('sound goes on when one piece of it was no good, unless its decoder cannot be set up again', () => {
  const { output, failed } = sound();
  throwing.add('configure');
  output.push(sample(0, new Uint8Array(2)));
  expect(failed).toHaveBeenCalledOnce();
  throwing.clear();

  const other = sound();
  throwing.add('decode');
  other.output.push(sample(0));
  throwing.clear();
  other.output.push(sample(1));
  expect(decoders.at(-1)?.decoded).toBe(1);
  expect(other.failed).not.toHaveBeenCalled();
});

test('a sound that cannot be set up keeps no way to the loudspeakers', () => {
  throwing.add('configure');
  expect(sound).toThrow('no configure');
  expect(contexts.map(({ state }) => state)).toEqual(['closed']);
});

test('a picture whose configurations are none is given up with a word, and one of them alone is left out', () => {
  const bad = new Uint8Array(2);
  const { output, failed } = picture([sample(0), sample(1, bad), sample(2), sample(3, bad), sample(4, bad)]);
  throwing.add('configure');
  output.pump(0);
  expect(decoders.at(-1)?.decoded).toBe(2);
  expect(failed).toHaveBeenCalledExactlyOnceWith('its picture cannot be decoded');
});

test('a picture whose decoder cannot be set up again is given up with a word', () => {
  const { output, failed } = picture([sample(0)]);
  output.pump(0);
  throwing.add('configure');
  const [decoder] = decoders;
  decoder?.close();
  decoder?.callbacks.error();
  expect(failed).toHaveBeenCalledExactlyOnceWith('its picture cannot be decoded');
});
