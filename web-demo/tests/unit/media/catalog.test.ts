/// Catalogs: what `moq publish` sends, and what a stranger may send.
import { describe, expect, it } from 'vitest';
import { readHang } from '../../../src/media/catalog/hang';
import { CatalogError, MAX_CATALOG, MAX_TRACKS } from '../../../src/media/catalog/model';
import { MsfReader } from '../../../src/media/catalog/msf';
import golden from './golden.json';

const bytes = (value: unknown) => new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));
const readMsf = (payload: Uint8Array) => new MsfReader().read({ group: 0n, object: 0n, payload });
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

  it('counts the channels of a configuration', () => {
    const channels = (channelConfig: unknown) => {
      const audio = { ...track, codec: 'opus', role: 'audio', channelConfig };
      return readMsf(bytes({ version: 'draft-01', tracks: [audio] })).tracks[0]?.channels;
    };
    expect(['1', 2, 'mono', 'stereo', '5.1', 7.1, '7.1.4'].map(channels)).toEqual([1, 2, 1, 2, 6, 8, 12]);
    expect(['', 'surround', 'constructor', null, -1, '200.100', '5.', [2], { toString: 1 }].map(channels)).toEqual(
      Array(9).fill(undefined),
    );
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

describe('delta updates of an MSF catalog', () => {
  const track = { packaging: 'loc', codec: 'vp8', role: 'video', width: 640 };
  const whole = { version: 'draft-01', tracks: [{ ...track, name: 'a' }] };
  const read = (reader: MsfReader, group: number, object: number, value: unknown) =>
    reader.read({ group: BigInt(group), object: BigInt(object), payload: bytes(value) });
  const names = (reader: MsfReader, group: number, object: number, value: unknown) =>
    read(reader, group, object, value).tracks.map(({ name }) => name);

  it('add, remove, clone and change tracks, in the order in which they are written', () => {
    const reader = new MsfReader();
    expect(names(reader, 7, 0, whole)).toEqual(['a']);
    const added = {
      deltaUpdate: [
        { op: 'add', tracks: [{ ...track, name: 'b' }] },
        { op: 'clone', tracks: [{ parentName: 'b', name: 'c', width: 320 }] },
        { op: 'remove', tracks: [{ name: 'b' }] },
      ],
    };
    const { tracks } = read(reader, 7, 1, added);
    expect(tracks.map(({ name, width }) => [name, width])).toEqual([
      ['a', 640],
      ['c', 320],
    ]);
    const changed = { deltaUpdate: [{ op: 'update', tracks: [{ name: 'c', bitrate: 9 }] }] };
    expect(read(reader, 7, 2, changed).tracks[1]).toMatchObject({ name: 'c', width: 320, bitrate: 9 });
    expect(names(reader, 8, 0, whole)).toEqual(['a']);
  });

  it('are read in the form of draft-00 too', () => {
    const reader = new MsfReader();
    read(reader, 0, 0, { ...whole, version: 1 });
    const delta = {
      deltaUpdate: true,
      addTracks: [{ ...track, name: 'b' }],
      cloneTracks: [{ parentName: 'a', name: 'c' }],
      removeTracks: [{ name: 'a' }],
    };
    expect(names(reader, 0, 1, delta)).toEqual(['b', 'c']);
  });

  it('bring headers of their own', () => {
    const reader = new MsfReader();
    read(reader, 0, 0, { ...whole, initDataList: [{ id: '0', data: btoa('zero') }] });
    const tracks = [{ ...track, name: 'b', packaging: 'cmaf', initRef: '1' }];
    const delta = { deltaUpdate: [{ op: 'add', tracks }], initDataList: [{ id: '1', data: btoa('one') }] };
    expect(read(reader, 0, 1, delta).tracks[1]?.init).toEqual(bytes('one'));
  });

  it('pass over what does not fit what is there', () => {
    const reader = new MsfReader();
    read(reader, 0, 0, whole);
    const odd = {
      deltaUpdate: [
        7,
        { op: 'constructor', tracks: [{ name: 'a' }] },
        { op: 'add', tracks: [{ ...track, name: 'a' }, null, { packaging: 'loc' }] },
        {
          op: 'clone',
          tracks: [{ parentName: 'none', name: 'b' }, { parentName: 'a' }, { parentName: 'a', name: 'a' }],
        },
        { op: 'remove', tracks: [{ name: 'none' }, {}] },
        { op: 'update', tracks: [{ name: 'none', width: 1 }] },
      ],
    };
    expect(names(reader, 0, 1, odd)).toEqual(['a']);
  });

  it('are refused without the catalog that they change', () => {
    const delta = { deltaUpdate: [{ op: 'remove', tracks: [{ name: 'a' }] }] };
    expect(problem(() => read(new MsfReader(), 0, 1, delta))).toBe('delta');
    const places = [
      [0, 2],
      [1, 1],
    ] as const;
    for (const [group, object] of places) {
      const reader = new MsfReader();
      read(reader, 0, 0, whole);
      expect(problem(() => read(reader, group, object, delta))).toBe('delta');
      // Nor does the one after it make sense.
      expect(problem(() => read(reader, group, object + 1, delta))).toBe('delta');
    }
  });

  it('are bounded', () => {
    const reader = new MsfReader();
    read(reader, 0, 0, whole);
    const tracks = Array.from({ length: 5000 }, (_, at) => ({ parentName: 'a', name: `${at}` }));
    expect(problem(() => read(reader, 0, 1, { deltaUpdate: [{ op: 'clone', tracks }] }))).toBe('too-large');
    read(reader, 1, 0, whole);
    const padding = { deltaUpdate: [], padding: 'x'.repeat(MAX_CATALOG - 100) };
    const grows = () => {
      for (let object = 1; object < 10; object += 1) {
        read(reader, 1, object, padding);
      }
    };
    expect(problem(grows)).toBe('too-large');
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
