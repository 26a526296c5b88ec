/// Catalogs: what `moq publish` sends, and what a stranger may send.
import { describe, expect, it } from 'vitest';
import { readHang } from '../../../src/media/catalog/hang';
import { CatalogError, MAX_CATALOG, MAX_TRACKS } from '../../../src/media/catalog/model';
import { readMsf } from '../../../src/media/catalog/msf';
import golden from './golden.json';

const bytes = (value: unknown) => new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));
const problem = (read: () => unknown) => {
  try {
    read();
  } catch (error) {
    return error instanceof CatalogError ? error.problem : String(error);
  }
  return 'none';
};

describe('the catalogs of moq publish', () => {
  it('describe the same tracks in both forms', () => {
    const msf = readMsf(bytes(golden.catalog));
    const hang = readHang(bytes(golden['catalog.json']));
    expect(msf.skipped).toEqual([]);
    expect(hang.tracks).toEqual(msf.tracks.map((track) => ({ ...track })));
    expect(msf.tracks.map(({ name, kind, packaging, codec }) => [name, kind, packaging, codec])).toEqual([
      ['video0', 'video', 'cmaf', 'avc1.64001f'],
      ['audio0', 'audio', 'cmaf', 'mp4a.40.2'],
    ]);
    expect(msf.tracks[0]).toMatchObject({ width: 640, height: 360, framerate: 30 });
    expect(msf.tracks[1]).toMatchObject({ sampleRate: 48_000, channels: 2 });
  });
});

describe('an MSF catalog', () => {
  const track = { name: 'v', packaging: 'loc', codec: 'vp8', role: 'video' };

  it('passes over what it cannot use, with the reason', () => {
    const odd = [
      null,
      7,
      {},
      { ...track, packaging: 'mystery' },
      { ...track, codec: undefined },
      { ...track, role: 'sign' },
    ];
    const catalog = readMsf(bytes({ version: 'draft-01', tracks: [...odd, track] }));
    expect(catalog.tracks.map(({ name }) => name)).toEqual(['v']);
    expect(catalog.skipped).toHaveLength(odd.length);
    expect(catalog.skipped[3]).toEqual({ name: 'v', why: 'packaging mystery' });
  });

  it('reads draft-00, with the header in the track', () => {
    const inline = { ...track, packaging: 'cmaf', initData: btoa('header') };
    const [read] = readMsf(bytes({ version: 1, tracks: [inline] })).tracks;
    expect(read?.init).toEqual(bytes('header'));
  });

  it('keeps markup in names as text and refuses endless ones', () => {
    const markup = '<img src=x onerror=alert(1)>';
    const catalog = readMsf(
      bytes({
        tracks: [
          { ...track, name: markup },
          { ...track, name: 'x'.repeat(5000) },
        ],
      }),
    );
    expect(catalog.tracks.map(({ name }) => name)).toEqual([markup]);
    expect(catalog.skipped).toHaveLength(1);
  });

  it('looks at the first tracks of a bomb only', () => {
    const catalog = readMsf(bytes({ tracks: Array.from({ length: 5000 }, (_, at) => ({ ...track, name: `v${at}` })) }));
    expect(catalog.tracks).toHaveLength(MAX_TRACKS);
    expect(catalog.beyond).toBe(5000 - MAX_TRACKS);
  });

  it('is refused with the reason when it is none', () => {
    expect(problem(() => readMsf(bytes('{"tracks"')))).toBe('malformed');
    expect(problem(() => readMsf(bytes('[]')))).toBe('malformed');
    expect(problem(() => readMsf(new Uint8Array([0xff, 0xfe])))).toBe('malformed');
    expect(problem(() => readMsf(new Uint8Array(MAX_CATALOG + 1)))).toBe('too-large');
    expect(problem(() => readMsf(bytes({ deltaUpdate: true })))).toBe('delta');
    expect(problem(() => readMsf(bytes({ version: 'two', tracks: [] })))).toBe('version');
  });
});

describe('a hang catalog', () => {
  it('reads the legacy container with its description', () => {
    const video = { renditions: { hd: { codec: 'avc1.64001f', description: '0164001f', codedWidth: 1280 } } };
    const [track] = readHang(bytes({ video, audio: null })).tracks;
    expect(track).toMatchObject({ name: 'hd', packaging: 'legacy', width: 1280 });
    expect(track?.description).toEqual(new Uint8Array([1, 0x64, 0, 0x1f]));
  });

  it('passes over what it cannot use, with the reason', () => {
    const renditions = {
      a: 1,
      b: {},
      c: { codec: 'opus', container: { kind: 'loc' } },
      d: { codec: 'opus', broadcast: 'x' },
    };
    const catalog = readHang(bytes({ audio: { renditions } }));
    expect(catalog.tracks).toEqual([]);
    expect(catalog.skipped.map(({ why }) => why)).toEqual([
      'not an object',
      'no codec',
      'container loc',
      'in another broadcast',
    ]);
  });
});
