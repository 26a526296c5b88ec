/// Coded frames in, tracks out.

import { describe, expect, test } from 'vitest';
import { Broadcast, type BroadcastPlan } from '../../../src/media/publish/broadcast';
import { type CatalogTrack, writeHang, writeMsf } from '../../../src/media/publish/catalog';
import { GroupPlan } from '../../../src/media/publish/groups';
import type { MoqObject } from '../../../src/moqt/types';

const START = 1_790_000_000_000_000;
const VP9 = { codec: 'vp09.00.31.08', width: 640, height: 360, description: undefined };
const OPUS = { codec: 'opus', channels: 1, description: undefined };

/** A broadcast and all that is written to its tracks. */
class Stage {
  readonly groups = new GroupPlan();
  readonly broadcast: Broadcast;
  readonly #seen = new Map<string, MoqObject[]>();

  constructor(plan: Partial<BroadcastPlan>) {
    const video = [{ bitrate: 700_000, framerate: 30 }];
    this.broadcast = new Broadcast(
      { packaging: 'cmaf', video, audio: { bitrate: 96_000 }, temporalLayers: false, ...plan },
      this.groups,
    );
    for (const name of ['catalog', 'catalog.json', 'video0', 'video1', 'audio0']) {
      const objects: MoqObject[] = [];
      this.#seen.set(name, objects);
      this.broadcast.track(name)?.listen({
        object: (_group, object) => objects.push(object),
        groupEnd: () => undefined,
        trackEnd: () => undefined,
        pending: 0,
      });
    }
  }

  seen(name: string): MoqObject[] {
    return this.#seen.get(name) ?? [];
  }

  /** Groups in which something was written to the track. */
  groupsOf(name: string): bigint[] {
    return [...new Set(this.seen(name).map((object) => object.group))];
  }

  video(ms: number, index = 0, layer = 0): void {
    const timestamp = START + ms * 1000;
    const keyframe = index === 0 ? this.groups.next(timestamp, timestamp / 1000) : ms % 1000 === 0;
    const frame = { data: Uint8Array.of(1, 2, 3), timestamp, keyframe, temporalLayer: layer };
    this.broadcast.video(index, frame, keyframe ? VP9 : undefined);
  }

  audio(ms: number, config = false): void {
    const frame = { data: Uint8Array.of(9), timestamp: START + ms * 1000, duration: 20_000 };
    this.broadcast.audio(frame, config ? OPUS : undefined);
  }
}

describe('a broadcast', () => {
  test('writes catalogs with each group, and sound in the groups of the pictures', () => {
    const stage = new Stage({});
    for (let ms = 0; ms < 3000; ms += 20) {
      if (ms % 40 === 0) stage.video(ms);
      stage.audio(ms, ms === 0);
    }
    const groups = [0n, 1000n, 2000n].map((ms) => BigInt(START / 1000) + ms);
    for (const name of ['video0', 'audio0', 'catalog', 'catalog.json']) expect(stage.groupsOf(name)).toEqual(groups);
    expect(stage.seen('video0')).toHaveLength(75);
    // Two frames an object.
    expect(stage.seen('audio0')).toHaveLength(75);
    expect(stage.seen('video0').map((object) => object.object)).toEqual(
      groups.flatMap(() => Array.from({ length: 25 }, (_, index) => BigInt(index))),
    );
  });

  test('renditions share their groups', () => {
    const video = [
      { bitrate: 700_000, framerate: 25 },
      { bitrate: 200_000, framerate: 25 },
    ];
    const stage = new Stage({ video, audio: undefined });
    for (let ms = 0; ms < 2000; ms += 40) {
      stage.video(ms);
      stage.video(ms, 1);
    }
    expect(stage.groupsOf('video1')).toEqual(stage.groupsOf('video0'));
    const catalog = JSON.parse(new TextDecoder().decode(stage.seen('catalog')[0]?.payload));
    expect(catalog.tracks.map((track: { altGroup?: number }) => track.altGroup)).toEqual([1, 1]);
  });

  test('a rendition that fails ends, and the catalog does without it', () => {
    const plan = { bitrate: 700_000, framerate: 25 };
    const stage = new Stage({ video: [plan, plan], audio: undefined });
    stage.video(0);
    stage.video(0, 1);
    stage.broadcast.dropVideo(0);
    stage.groups.next(START + 1_000_000, START / 1000 + 1000);
    stage.video(1000, 1);
    const [first, second] = stage.seen('catalog').map((object) => JSON.parse(new TextDecoder().decode(object.payload)));
    expect(first.tracks).toHaveLength(2);
    expect(second.tracks.map((track: { name: string }) => track.name)).toEqual(['video1']);
    expect(stage.broadcast.track('video0')?.ended).toBe(true);
  });

  test('sound that never comes does not keep the catalog for ever', () => {
    const stage = new Stage({});
    stage.video(0);
    expect(stage.seen('catalog')).toHaveLength(0);
    stage.video(1000);
    expect(stage.seen('catalog')).toHaveLength(0);
    stage.video(2000);
    expect(stage.seen('catalog')).toHaveLength(1);
    stage.audio(2500, true);
    stage.video(3000);
    const last = stage.seen('catalog').at(-1);
    expect(JSON.parse(new TextDecoder().decode(last?.payload)).tracks).toHaveLength(2);
  });

  test('without pictures the sound leads', () => {
    const stage = new Stage({ video: [] });
    for (let ms = 0; ms < 2000; ms += 20) {
      stage.groups.next(START + ms * 1000, START / 1000 + ms);
      stage.audio(ms, ms === 0);
    }
    expect(stage.groupsOf('audio0')).toHaveLength(2);
    expect(stage.groupsOf('catalog')).toEqual(stage.groupsOf('audio0'));
  });

  test('LOC objects carry time and scale, the catalog no header', () => {
    const stage = new Stage({ packaging: 'loc', temporalLayers: true });
    stage.video(0);
    stage.audio(0, true);
    stage.video(40, 0, 1);
    const [first, second] = stage.seen('video0');
    expect(first?.payload).toEqual(Uint8Array.of(1, 2, 3));
    expect(first?.properties.get(0x10n)).toBe(BigInt(START));
    expect(first?.properties.get(0x08n)).toBe(1_000_000n);
    expect(second?.subgroup).toBe(1n);
    expect(second?.object).toBe(1n);
    const catalog = JSON.parse(new TextDecoder().decode(stage.seen('catalog')[0]?.payload));
    expect(catalog.tracks[0]).toMatchObject({ name: 'video0', packaging: 'loc' });
    expect(catalog.initDataList).toEqual([]);
    expect(stage.broadcast.track('catalog.json')).toBeUndefined();
  });
});

describe('catalogs', () => {
  const tracks: CatalogTrack[] = [
    {
      kind: 'video',
      name: 'video0',
      packaging: 'cmaf',
      codec: 'avc1.42c01e',
      bitrate: 700_000,
      init: Uint8Array.of(0, 1, 2),
      width: 640,
      height: 360,
      framerate: 30,
      description: Uint8Array.of(1, 0x42, 0xc0, 0x1e),
    },
    {
      kind: 'audio',
      name: 'audio0',
      packaging: 'cmaf',
      codec: 'opus',
      bitrate: 96_000,
      init: Uint8Array.of(3, 4),
      sampleRate: 48_000,
      channels: 2,
    },
  ];

  test('MSF has the fields of the draft, in the order of the moq command', () => {
    expect(writeMsf(tracks)).toBe(
      '{"version":"draft-01","tracks":[' +
        '{"name":"video0","packaging":"cmaf","isLive":true,"role":"video","renderGroup":1,"codec":"avc1.42c01e",' +
        '"width":640,"height":360,"framerate":30,"bitrate":700000,"initRef":"init0"},' +
        '{"name":"audio0","packaging":"cmaf","isLive":true,"role":"audio","renderGroup":1,"codec":"opus",' +
        '"samplerate":48000,"channelConfig":"2","bitrate":96000,"initRef":"init1"}],' +
        '"initDataList":[{"id":"init0","type":"inline","data":"AAEC"},{"id":"init1","type":"inline","data":"AwQ="}]}',
    );
  });

  test('hang has renditions by name', () => {
    expect(writeHang(tracks)).toBe(
      '{"video":{"renditions":{"video0":{"codec":"avc1.42c01e","container":{"kind":"cmaf","init":"AAEC"},' +
        '"description":"0142c01e","codedWidth":640,"codedHeight":360,"framerate":30,"bitrate":700000}}},' +
        '"audio":{"renditions":{"audio0":{"codec":"opus","container":{"kind":"cmaf","init":"AwQ="},' +
        '"sampleRate":48000,"numberOfChannels":2,"bitrate":96000}}}}',
    );
  });
});
