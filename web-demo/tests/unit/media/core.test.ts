/// Jitter buffer, choice of rendition, places to connect to, meter, ring of sound.
import { describe, expect, it } from 'vitest';
import type { CatalogTrack } from '../../../src/media/catalog/model';
import { JitterBuffer } from '../../../src/media/core/buffer';
import { alternatesOf, Endpoints, endpointOf } from '../../../src/media/core/endpoints';
import { Meter } from '../../../src/media/core/meter';
import { RenditionChoice } from '../../../src/media/core/rendition';
import { SoundRing } from '../../../src/media/io/worklet';

const FRAME = 40_000;
const GROUP = 25;

/// Frame `object` of `group`, one sample, keyframe first.
function arrival(group: number, object: number, subgroup = 0) {
  const time = (group * GROUP + object) * FRAME;
  const sample = { decodeTime: time, time, duration: FRAME, key: object === 0, data: new Uint8Array(100) };
  return { group: BigInt(group), subgroup: BigInt(subgroup), object: BigInt(object), samples: [sample] };
}

function drain(buffer: JitterBuffer, position: number, until = position): number[] {
  const frames: number[] = [];
  for (let sample = buffer.pop(position, until); sample !== undefined; sample = buffer.pop(position, until)) {
    frames.push(sample.time / FRAME);
  }
  return frames;
}

describe('the jitter buffer', () => {
  it('gives samples in order and no earlier than asked', () => {
    const buffer = new JitterBuffer('video');
    buffer.push(arrival(1, 0));
    buffer.push(arrival(0, 0));
    buffer.push(arrival(0, 1));
    expect(drain(buffer, 0, FRAME)).toEqual([0, 1]);
    buffer.endGroup(0n);
    expect(drain(buffer, 2 * FRAME)).toEqual([]);
    expect(drain(buffer, GROUP * FRAME)).toEqual([25]);
    expect(buffer.length).toBe(0);
    expect(buffer.bytes).toBe(0);
  });

  it('begins at a keyframe and drops what follows a gap', () => {
    const buffer = new JitterBuffer('video');
    for (const object of [3, 4]) {
      buffer.push(arrival(0, object));
    }
    for (const object of [0, 1, 3, 4]) {
      buffer.push(arrival(1, object));
    }
    buffer.push(arrival(2, 0));
    expect(drain(buffer, 2 * GROUP * FRAME)).toEqual([25, 26, 50]);
    expect(buffer.dropped).toBe(4);
  });

  it('takes temporal layers without calling them gaps', () => {
    const buffer = new JitterBuffer('video');
    buffer.push(arrival(0, 0));
    buffer.push(arrival(0, 1, 1));
    buffer.push(arrival(0, 2));
    buffer.push(arrival(0, 4));
    expect(drain(buffer, 1e9)).toEqual([0, 1, 2, 4]);
  });

  it('skips to the latest group that is due', () => {
    const buffer = new JitterBuffer('video');
    for (const group of [0, 1, 2, 3]) {
      for (const object of [0, 1, 2]) {
        buffer.push(arrival(group, object));
      }
    }
    expect(drain(buffer, 0, FRAME)).toEqual([0, 1]);
    expect(buffer.skipTo((2 * GROUP + 1) * FRAME)).toBe(true);
    expect(drain(buffer, 0, 2 * GROUP * FRAME)).toEqual([50]);
    expect(buffer.groupsSkipped).toBe(2);
    buffer.push(arrival(0, 3));
    expect(buffer.dropped).toBe(5);
  });

  it('is bounded: whole old groups go first', () => {
    const buffer = new JitterBuffer('video', { bytes: 1000, samples: 8 });
    for (const group of [0, 1, 2]) {
      for (let object = 0; object < 5; object += 1) {
        buffer.push(arrival(group, object));
      }
    }
    expect(buffer.length).toBeLessThanOrEqual(8);
    expect(drain(buffer, 1e9)).toEqual([50, 51, 52, 53, 54]);
    for (let object = 0; object < 5000; object += 1) {
      buffer.push(arrival(9, object));
    }
    expect(buffer.length).toBeLessThanOrEqual(8);
  });
});

describe('the choice of a rendition', () => {
  const track = (name: string, height: number, bitrate: number): CatalogTrack => ({
    name,
    kind: 'video',
    packaging: 'cmaf',
    codec: 'vp8',
    height,
    width: (height * 16) / 9,
    bitrate,
  });
  const tracks = [track('hd', 1080, 4e6), track('sd', 360, 6e5), track('md', 720, 2e6)];

  it('steps down on a stall, up after calm, and waits longer after a step too much', () => {
    const choice = new RenditionChoice(tracks, 0);
    expect(choice.current?.name).toBe('hd');
    choice.stalled(1e6);
    expect(choice.current?.name).toBe('md');
    choice.update(10e6, 1080);
    expect(choice.current?.name).toBe('md');
    choice.update(17e6, 1080);
    expect(choice.current?.name).toBe('hd');
    choice.stalled(20e6);
    choice.update(40e6, 1080);
    expect(choice.current?.name).toBe('md');
    choice.update(51e6, 1080);
    expect(choice.current?.name).toBe('hd');
  });

  it('takes no picture far larger than it is shown', () => {
    const choice = new RenditionChoice(tracks, 0);
    choice.update(1, 300);
    choice.update(2, 300);
    expect(choice.current?.name).toBe('sd');
    choice.update(60e6, 300);
    expect(choice.current?.name).toBe('sd');
    choice.update(60e6, 0);
    expect(choice.current?.name).toBe('md');
  });

  it('keeps to the viewer’s choice, and to what can be decoded', () => {
    const choice = new RenditionChoice(tracks, 0);
    choice.choose('sd', 0);
    choice.update(1e9, 1080);
    choice.stalled(1e9);
    expect([choice.current?.name, choice.automatic]).toEqual(['sd', false]);
    choice.exclude('sd');
    expect([choice.current?.name, choice.automatic]).toEqual(['md', true]);
  });
});

describe('places to connect to', () => {
  const hash = 'ab'.repeat(32);

  it('turns to the next at once, and waits when all failed', () => {
    const endpoints = new Endpoints([{ url: 'https://a/', hashes: [] }]);
    endpoints.add(
      alternatesOf([{ url: 'https://b:1/x', sha256: hash }, { url: 'http://c/' }, 7, { url: 'https://a/' }]),
    );
    expect(endpoints.all.map(({ url }) => url)).toEqual(['https://a/', 'https://b:1/']);
    expect(endpoints.all[1]?.hashes).toEqual([hash]);
    expect([endpoints.failed(), endpoints.current?.url]).toEqual([0, 'https://b:1/']);
    expect([endpoints.failed(), endpoints.current?.url]).toEqual([250, 'https://a/']);
    for (let failure = 0; failure < 40; failure += 1) {
      endpoints.failed();
    }
    expect(endpoints.failed()).toBe(5000);
    endpoints.answered();
    expect(endpoints.failed()).toBe(0);
  });

  it('looks elsewhere, at each of the others in turn, and comes back', () => {
    const endpoints = new Endpoints(['a', 'b', 'c'].map((host) => ({ url: `https://${host}/`, hashes: [] })));
    const places: string[] = [];
    for (let turn = 0; turn < 6; turn += 1) {
      endpoints.look();
      places.push(`${endpoints.current?.url} ${endpoints.elsewhere}`);
    }
    const [home, b, c] = ['https://a/ false', 'https://b/ true', 'https://c/ true'];
    expect(places).toEqual([b, home, c, home, b, home]);
    // A place that cannot be reached is a look that failed, and no reason to move on.
    endpoints.look();
    expect([endpoints.failed(), endpoints.current?.url, endpoints.elsewhere]).toEqual([0, 'https://a/', false]);
    // Where media comes, the page stays.
    endpoints.look();
    endpoints.heard();
    expect([endpoints.current?.url, endpoints.elsewhere]).toEqual(['https://b/', false]);
    expect([endpoints.failed(), endpoints.current?.url]).toEqual([0, 'https://c/']);
  });

  it('goes where a relay sends it, with the hashes that it knows', () => {
    const places = ['a', 'b', 'c'].map((host) => ({ url: `https://${host}/`, hashes: [hash] }));
    const endpoints = new Endpoints(places);
    const next = (uri: string) => {
      endpoints.sentTo(uri);
      const wait = endpoints.failed();
      endpoints.heard();
      return wait === 0 ? endpoints.current : undefined;
    };
    expect(next('https://c')).toEqual(places[2]);
    expect(next('https://c/cdn/?x=1')).toEqual({ url: 'https://c/cdn/?x=1', hashes: [hash] });
    expect(next('https://d/')).toEqual({ url: 'https://d/', hashes: [] });
    const renewed = 'b'.repeat(64);
    expect(next(`https://b/#sha256=${renewed}`)).toEqual({ url: 'https://b/', hashes: [renewed] });
    expect(next('moqt://e:4443/')).toEqual({ url: 'https://e:4443/', hashes: [] });
    // What it was sent to is no place to come back to.
    expect([next('')?.url, next('ftp://f/')?.url, next('')?.url]).toEqual(['https://b/', 'https://c/', 'https://a/']);
    expect(endpoints.all).toEqual(places);
  });

  it('is not sent to and fro for ever, nor from where it only looks', () => {
    const endpoints = new Endpoints(['a', 'b', 'c'].map((host) => ({ url: `https://${host}/`, hashes: [] })));
    const waits: number[] = [];
    const places: (string | undefined)[] = [];
    for (let move = 0; move < 6; move += 1) {
      endpoints.answered();
      endpoints.sentTo(move % 2 === 0 ? 'https://b/' : 'https://a/');
      waits.push(endpoints.failed());
      places.push(endpoints.current?.url);
    }
    const [a, b] = endpoints.all.map(({ url }) => url);
    // The fifth it does not follow, and waits as after any failure.
    expect(waits).toEqual([0, 250, 500, 1000, 0, 0]);
    expect(places).toEqual([b, a, b, a, b, a]);
  });

  it('belongs where it was sent, and not where a look leads', () => {
    const endpoints = new Endpoints(['a', 'b', 'c'].map((host) => ({ url: `https://${host}/`, hashes: [] })));
    const at = () => `${endpoints.current?.url} ${endpoints.elsewhere}`;
    endpoints.look();
    endpoints.sentTo('https://d/');
    expect([endpoints.failed(), at()]).toEqual([0, 'https://a/ false']);
    endpoints.sentTo('https://d/');
    expect([endpoints.failed(), at()]).toEqual([0, 'https://d/ false']);
    const looks = [0, 1, 2, 3].map(() => {
      endpoints.look();
      const there = at();
      endpoints.look();
      expect(at()).toBe('https://d/ false');
      return there;
    });
    // Where it came from is one of them.
    expect(looks).toEqual(['c', 'a', 'b', 'c'].map((host) => `https://${host}/ true`));
    // Unless media comes there.
    endpoints.look();
    endpoints.heard();
    expect(at()).toBe('https://a/ false');

    // What it was sent to and what died is not the next, and no other to look at.
    endpoints.sentTo('https://b/');
    expect([endpoints.failed(), at()]).toEqual([0, 'https://b/ false']);
    expect([endpoints.failed(), at()]).toEqual([0, 'https://c/ false']);
    const two = new Endpoints([{ url: 'https://a/', hashes: [] }]);
    expect(two.hasOthers).toBe(false);
    two.sentTo('https://b/');
    two.failed();
    expect(two.hasOthers).toBe(true);
    two.look();
    expect(two.current?.url).toBe('https://a/');
  });

  it('has nowhere to look without others', () => {
    const endpoints = new Endpoints([{ url: 'https://a/', hashes: [] }]);
    endpoints.look();
    expect([endpoints.current?.url, endpoints.elsewhere]).toEqual(['https://a/', false]);
  });

  it('reads hashes from the fragment, and nothing else', () => {
    const endpoint = endpointOf(`https://h:4443/live#sha256=${hash}&sha256=zz&sha256=${hash.toUpperCase()}`);
    expect(endpoint).toEqual({ url: 'https://h:4443/', hashes: [hash, hash] });
    expect(endpointOf('javascript:alert(1)')).toBeUndefined();
    expect(endpointOf('live/cam')).toBeUndefined();
    expect(alternatesOf({ url: 'https://a/' })).toEqual([]);
    expect(alternatesOf(Array.from({ length: 1000 }, () => ({ url: 'https://a/' }))).length).toBeLessThan(100);
  });
});

describe('the meter', () => {
  it('tells what came per second, of late', () => {
    const meter = new Meter();
    for (let now = 0; now <= 4e6; now += 1e5) {
      meter.add(now, 1e5);
    }
    expect(meter.rate(4e6)).toBeGreaterThan(0.9e6);
    expect(meter.rate(4e6)).toBeLessThan(1.15e6);
    expect(meter.rate(20e6)).toBe(0);
  });
});

describe('the ring of sound', () => {
  const plane = (value: number) => [new Float32Array(100).fill(value)];

  it('puts sound at its time, joins neighbours, keeps gaps silent', () => {
    const ring = new SoundRing(1000, 1000);
    ring.write(0, plane(1));
    // A rounded timestamp: two samples late, but the next one all the same.
    ring.write(102_000, plane(2));
    ring.write(400_000, plane(3));
    expect([ring.read(0, 50), ring.read(0, 150), ring.read(0, 300), ring.read(0, 450)]).toEqual([1, 2, 0, 3]);
    expect(ring.read(0, 99.5)).toBe(1.5);
    expect(ring.read(0, 600)).toBeUndefined();
    // Mono serves both ears.
    expect(ring.read(1, 50)).toBe(1);
  });

  it('forgets the oldest, and starts over when time goes back', () => {
    const ring = new SoundRing(1000, 250);
    for (let at = 0; at < 500; at += 100) {
      ring.write(at * 1000, plane(at));
    }
    expect(ring.read(0, 200)).toBeUndefined();
    expect(ring.read(0, 420)).toBe(400);
    ring.write(0, plane(7));
    expect(ring.read(0, 20)).toBe(7);
    expect(ring.read(0, 420)).toBeUndefined();
    ring.write(0, [new Float32Array(10_000)]);
    expect(ring.read(0, 20)).toBe(7);
  });
});
