/// The MP4 writer, read back by an MP4 reader of others.

import { createFile, type ISOFile, type Movie, MP4BoxBuffer, type Sample } from 'mp4box';
import { describe, expect, test } from 'vitest';
import { concat } from '../../../src/media/publish/boxes';
import {
  AUDIO_TIMESCALE,
  actualCodec,
  describeAudio,
  describeVideo,
  VIDEO_TIMESCALE,
  withoutDelimiter,
} from '../../../src/media/publish/describe';
import { fragment, initSegment } from '../../../src/media/publish/fmp4';

/** What Chromium's encoders said of 640x360. */
const AVC = hex('0142c01effe100136742c01e8c8d405017fcb37010d0107844235001000468ce3c80');
const AV1_KEYFRAME = hex('12000a0d0000000cc4ff670068808680c232de011047500801020304');
const OPUS_HEAD = hex('4f707573486561640102380180bb0000000000');

function hex(digits: string): Uint8Array {
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

function read(bytes: Uint8Array): { file: ISOFile; movie: Movie; samples: Sample[] } {
  const file = createFile();
  let movie: Movie | undefined;
  const samples: Sample[] = [];
  file.onReady = (ready) => {
    movie = ready;
    for (const track of ready.tracks) file.setExtractionOptions(track.id, undefined, { nbSamples: 1 });
    file.start();
  };
  file.onSamples = (_id, _user, more) => samples.push(...more);
  file.appendBuffer(MP4BoxBuffer.fromArrayBuffer(bytes.slice().buffer, 0), true);
  file.flush();
  if (!movie) throw new Error('the reader found no movie');
  return { file, movie, samples };
}

const video = (codec: string, description?: Uint8Array) =>
  describeVideo({ codec, width: 640, height: 360, description }, AV1_KEYFRAME);

describe('headers', () => {
  test.each([
    ['avc1.42c01e', AVC],
    ['vp09.00.31.08', undefined],
    ['av01.0.05M.08', undefined],
  ])('%s is told as it is', (codec, description) => {
    const { movie } = read(initSegment(video(codec, description)));
    expect(movie.isFragmented).toBe(true);
    const [track] = movie.tracks;
    expect(track?.codec.startsWith(codec)).toBe(true);
    expect(track?.timescale).toBe(VIDEO_TIMESCALE);
    expect(track?.video).toEqual({ width: 640, height: 360 });
  });

  test('VP8 has its own sample entry', () => {
    const { movie } = read(initSegment(video('vp8')));
    expect(movie.tracks[0]?.codec).toMatch(/^vp08/);
  });

  test('the decoder configuration of H.264 is kept byte for byte', () => {
    const init = initSegment(video('avc1.42c01e', AVC));
    const at = Buffer.from(init).indexOf('avcC');
    expect(init.subarray(at + 4, at + 4 + AVC.length)).toEqual(AVC);
  });

  test('Opus tells its channels and its delay', () => {
    const header = describeAudio({ codec: 'opus', channels: 2, description: OPUS_HEAD });
    const init = initSegment(header);
    const { movie } = read(init);
    const [track] = movie.tracks;
    expect(track?.codec).toBe('Opus');
    expect(track?.audio).toEqual({ sample_rate: 48000, channel_count: 2, sample_size: 16 });
    const at = Buffer.from(init).indexOf('dOps');
    // Version 0, two channels, 312 samples of delay, 48 kHz, no gain, one stream.
    expect(init.subarray(at + 4, at + 15)).toEqual(hex('000201380000bb80000000'));
  });

  test('what cannot be described is refused in words', () => {
    expect(() => video('hvc1.1.6.L93.B0')).toThrow('cannot be put into CMAF');
    expect(() => video('avc1.42e01f')).toThrow('no decoder configuration');
  });

  test('the codec of H.264 is what the stream says', () => {
    expect(actualCodec('avc1.42e01f', AVC)).toBe('avc1.42c01e');
    expect(actualCodec('vp8', undefined)).toBe('vp8');
  });
});

describe('chunks', () => {
  test('samples come back with their bytes, times and kinds', () => {
    // A wall-clock time in microseconds needs more than 32 bits.
    const base = 1_790_000_000_000_000;
    const init = initSegment(video('vp09.00.31.08'));
    const chunks = [
      fragment(1, base, [{ data: hex('010203'), duration: 33_333, keyframe: true }]),
      fragment(2, base + 33_333, [{ data: hex('0405'), duration: 33_333, keyframe: false }]),
    ];
    const { samples } = read(concat([init, ...chunks]));
    const seen = samples.map(({ dts, cts, duration, is_sync, data }) => ({ dts, cts, duration, is_sync, data }));
    expect(seen).toEqual([
      { dts: base, cts: base, duration: 33_333, is_sync: true, data: hex('010203') },
      { dts: base + 33_333, cts: base + 33_333, duration: 33_333, is_sync: false, data: hex('0405') },
    ]);
  });

  test('several frames of sound share a chunk', () => {
    const init = initSegment(describeAudio({ codec: 'opus', channels: 1, description: undefined }));
    const frame = (byte: number) => ({ data: Uint8Array.of(byte, byte), duration: 960, keyframe: true });
    const { samples } = read(concat([init, fragment(1, AUDIO_TIMESCALE, [frame(1), frame(2)])]));
    expect(samples.map(({ dts, data }) => [dts, data?.[0]])).toEqual([
      [48_000, 1],
      [48_960, 2],
    ]);
  });

  test('AV1 samples go without temporal delimiter, whatever the bytes', () => {
    expect(withoutDelimiter(AV1_KEYFRAME).subarray(0, 2)).toEqual(hex('0a0d'));
    const noDelimiter = hex('32021122');
    expect(withoutDelimiter(noDelimiter)).toEqual(noDelimiter);
    expect(withoutDelimiter(hex('32ff'))).toEqual(hex('32ff'));
    expect(withoutDelimiter(new Uint8Array())).toEqual(new Uint8Array());
  });
});
