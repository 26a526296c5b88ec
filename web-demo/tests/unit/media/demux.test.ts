/// Demuxers: what `moq publish` sends, and bytes that are cut or changed.
import { describe, expect, it } from 'vitest';
import { MsfReader } from '../../../src/media/catalog/msf';
import { readFragments, readHeader } from '../../../src/media/demux/cmaf';
import { readLegacy, readLoc } from '../../../src/media/demux/loc';
import { DemuxError } from '../../../src/media/demux/sample';
import golden from './golden.json';

const decode = (base64: string) => Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
const [video, audio] = new MsfReader().read({
  group: 0n,
  object: 0n,
  payload: new TextEncoder().encode(golden.catalog),
}).tracks;
const header = (init: Uint8Array | undefined) => readHeader(init ?? new Uint8Array());

describe('CMAF', () => {
  it('gives the decoder its configuration', () => {
    const picture = header(video?.init);
    expect(picture).toMatchObject({ codec: 'avc1.64001f', timescale: 15_360, width: 640, height: 360 });
    expect(picture.description?.slice(0, 4)).toEqual(new Uint8Array([1, 0x64, 0, 0x1f]));
    const sound = header(audio?.init);
    expect(sound).toMatchObject({ codec: 'mp4a.40.2', timescale: 48_000, sampleRate: 48_000, channels: 2 });
    // AudioSpecificConfig: AAC-LC, 48 kHz, stereo.
    expect(sound.description?.slice(0, 2)).toEqual(new Uint8Array([0x11, 0x90]));
  });

  it('reads the samples of an object', () => {
    const [frame, ...none] = readFragments(decode(golden.video0), header(video?.init));
    expect(none).toEqual([]);
    expect(frame).toMatchObject({ decodeTime: 4_100_000, time: 4_133_333, duration: 33_333, key: false });
    expect(frame?.data).toHaveLength(0x591);
    const sound = readFragments(decode(golden.audio0), header(audio?.init));
    expect(sound.map(({ data }) => data.length)).toEqual([0x94, 0xac, 0x94, 0xa7]);
    expect(sound.map(({ time }) => time)).toEqual([4_077_333, 4_098_667, 4_120_000, 4_141_333]);
    expect(sound.every(({ key }) => key)).toBe(true);
  });

  it('refuses every cut and survives every changed byte', () => {
    const whole = decode(golden.audio0);
    const known = header(audio?.init);
    for (let length = 1; length < whole.length; length += 1) {
      const cut = whole.slice(0, length);
      const outcome = attempt(() => readFragments(cut, known));
      // What ends between the boxes holds no samples; everything else is an error of the demuxer.
      expect(outcome instanceof DemuxError || outcome === 0).toBe(true);
    }
    for (let at = 0; at < 160; at += 1) {
      for (const value of [0, 0x7f, 0x80, 0xff]) {
        const changed = Uint8Array.from(whole);
        changed[at] = value;
        const outcome = attempt(() => readFragments(changed, known));
        expect(outcome instanceof DemuxError || typeof outcome === 'number').toBe(true);
      }
    }
  });

  it('refuses a header that is none', () => {
    for (const bytes of [new Uint8Array(), new Uint8Array(40), decode(golden.audio0)]) {
      expect(attempt(() => [readHeader(bytes)])).toBeInstanceOf(DemuxError);
    }
  });
});

function attempt(read: () => unknown[]): number | unknown {
  try {
    return read().length;
  } catch (error) {
    return error;
  }
}

describe('LOC', () => {
  const payload = new Uint8Array([1, 2, 3]);

  it('takes time and configuration from the properties', () => {
    const config = new Uint8Array([9]);
    const properties = new Map<bigint, bigint | Uint8Array>([
      [0x10n, 96_000n],
      [0x08n, 48_000n],
      [0x0fn, config],
    ]);
    expect(readLoc({ object: 3n, properties, payload }, 'audio')).toEqual({
      decodeTime: 2e6,
      time: 2e6,
      duration: 0,
      key: true,
      data: payload,
      description: config,
    });
    expect(readLoc({ object: 3n, properties, payload }, 'video').key).toBe(false);
    expect(readLoc({ object: 0n, properties, payload }, 'video').key).toBe(true);
  });

  it('counts microseconds without a timescale, and refuses what has no time', () => {
    const properties = new Map([[0x10n, 1_795_276_712_066_000n]]);
    expect(readLoc({ object: 0n, properties, payload }, 'video').time).toBe(1_795_276_712_066_000);
    expect(attempt(() => [readLoc({ object: 0n, properties: new Map(), payload }, 'video')])).toBeInstanceOf(
      DemuxError,
    );
    const zero = new Map([...properties, [0x08n, 0n]] as [bigint, bigint][]);
    expect(attempt(() => [readLoc({ object: 0n, properties: zero, payload }, 'video')])).toBeInstanceOf(DemuxError);
  });
});

describe('legacy framing', () => {
  it('reads a varint of microseconds and the chunk', () => {
    const object = { object: 0n, payload: new Uint8Array([0x7b, 0xbd, 7, 8]) };
    expect(readLegacy(object, 'video')).toMatchObject({ time: 15_293, key: true, data: new Uint8Array([7, 8]) });
    for (const bytes of [[], [0x40], [0xc0, 1, 2]]) {
      const cut = { object: 0n, payload: new Uint8Array(bytes) };
      expect(attempt(() => [readLegacy(cut, 'audio')])).toBeInstanceOf(DemuxError);
    }
  });
});
