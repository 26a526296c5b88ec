/// A broadcast of which some renditions are no good: the others play, and the menu changes between them.
import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import type * as Moqt from '../../src/moqt';
import { browserAndRelay } from './support/both';
import { open, picture } from './support/browser';
import { libraryPage } from './support/library';
import { drawsMore, message, PATIENCE, until } from './support/player';

const both = browserAndRelay();

/**
 * What the broadcast lists, from the richest to the poorest; its tracks are LOC, a group each second. All are smaller than the
 * player on the page, so that none is passed over for its size.
 */
const LISTED = [
  { name: 'unknown', codec: 'zzzz.1', height: 288 },
  { name: 'missing', codec: 'vp8', height: 270 },
  { name: 'garbage-hd', codec: 'vp8', height: 252 },
  { name: 'good-md', codec: 'vp8', height: 216 },
  { name: 'good-ld', codec: 'vp8', height: 144 },
  { name: 'garbage-ld', codec: 'vp8', height: 90 },
] as const;

/** Publishes it from a page until that is closed. */
async function publish(page: Page): Promise<void> {
  await page.evaluate(
    async ({ url, hash, listed }) => {
      const { moqt } = globalThis as unknown as { moqt: typeof Moqt };
      const rate = 25;
      const bytes = Uint8Array.from(hash.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
      const session = await moqt.connect(url, { certificateHashes: [bytes] });

      /** One second of pictures, the first of them a keyframe. */
      const encode = async (height: number): Promise<Uint8Array[]> => {
        const chunks: Uint8Array[] = [];
        const output = (chunk: EncodedVideoChunk) => {
          const data = new Uint8Array(chunk.byteLength);
          chunk.copyTo(data);
          chunks.push(data);
        };
        const encoder = new VideoEncoder({ output, error: () => {} });
        const width = (height * 16) / 9;
        encoder.configure({ codec: 'vp8', width, height, bitrate: 500_000, latencyMode: 'realtime' });
        const canvas = new OffscreenCanvas(width, height);
        const context = canvas.getContext('2d');
        for (let index = 0; index < rate; index += 1) {
          if (context) context.fillStyle = `hsl(${(index * 360) / rate} 80% 50%)`;
          context?.fillRect(0, 0, width, height);
          const frame = new VideoFrame(canvas, { timestamp: (index * 1e6) / rate });
          encoder.encode(frame, { keyFrame: index === 0 });
          frame.close();
        }
        await encoder.flush();
        return chunks;
      };
      const noise = Array.from({ length: rate }, (_, at) => new Uint8Array(200).fill(255 - at));
      const tracks: { track: Moqt.PublishedTrack; name: string; chunks: Uint8Array[] }[] = [];
      for (const { name, height } of listed) {
        if (name === 'unknown' || name === 'missing') continue;
        const chunks = name.startsWith('good') ? await encode(height) : noise;
        tracks.push({ track: new moqt.PublishedTrack({ subgroups: 'single' }), name, chunks });
      }
      const catalog = new moqt.PublishedTrack({ subgroups: 'single' });
      const text = JSON.stringify({
        version: 'draft-01',
        tracks: listed.map(({ name, codec, height }) => {
          const size = { width: (height * 16) / 9, height, framerate: rate, bitrate: height * 10_000 };
          return { name, codec, packaging: 'loc', role: 'video', isLive: true, ...size };
        }),
      });
      const serves = new Map([['catalog', catalog], ...tracks.map(({ name, track }) => [name, track] as const)]);
      await session.publishNamespace(['live', 'odd'], (name) => serves.get(name));

      const began = performance.now();
      let sent = 0;
      let groups: ReturnType<Moqt.PublishedTrack['beginGroup']>[] = [];
      const send = () => {
        for (; sent < ((performance.now() - began) * rate) / 1000; sent += 1) {
          const at = sent % rate;
          if (at === 0) {
            for (const group of groups) group.end();
            const id = BigInt(Math.floor(sent / rate));
            const listing = catalog.beginGroup(id);
            listing.write(new TextEncoder().encode(text));
            listing.end();
            groups = tracks.map(({ track }) => track.beginGroup(id));
          }
          const properties = new Map([[0x10n, BigInt(Math.round((sent * 1e6) / rate))]]);
          for (const [index, { chunks }] of tracks.entries()) {
            groups[index]?.write(chunks[at] ?? new Uint8Array(1), { properties });
          }
        }
      };
      send();
      setInterval(send, 1000 / rate);
    },
    { url: `https://localhost:${both.relay.port}/`, hash: both.relay.hash, listed: LISTED },
  );
}

test('renditions that are no good are left out, and the others play', { timeout: 240_000 }, async () => {
  const source = await libraryPage(both.browser);
  await publish(source.page);
  const { page, complaints } = await open(both.browser, `${both.relay.page}/live/odd`);
  const menu = page.getByRole('combobox', { name: 'Quality' });
  const offered = () => menu.locator('option').allTextContents();

  // What is richest does not exist, what comes next does not decode.
  await until(page, 'in the middle', ({ video, framesDrawn }) => video.includes('384 × 216') && framesDrawn > 25);
  expect(await message(page)).toBe('');
  const bits = (height: number) => `${height}p, ${(height / 100).toFixed(1)} Mbit/s`;
  await expect.poll(offered, { timeout: PATIENCE }).toEqual([`Auto (${bits(216)})`, bits(216), bits(144), bits(90)]);

  await menu.selectOption({ label: bits(144) });
  await until(page, 'the poorer one', ({ video }) => video.includes('256 × 144'));
  await drawsMore(page, 25);
  await menu.selectOption({ label: bits(216) });
  await until(page, 'the richer one', ({ video }) => video.includes('384 × 216'));
  await drawsMore(page, 25);

  // The poorest is garbage: the one above it plays, and the menu no longer offers it.
  await menu.selectOption({ label: bits(90) });
  await until(page, 'back', ({ video }) => video.includes('256 × 144'));
  await drawsMore(page, 25);
  await expect.poll(offered, { timeout: PATIENCE }).toEqual([`Auto (${bits(144)})`, bits(216), bits(144)]);
  const notes = page.locator('headwater-watch .notes');
  await notes.locator('summary').click();
  await picture(page, 'renditions');
  const said = await notes.locator('li').allTextContents();
  expect(said).toHaveLength(4);
  for (const words of [/^unknown: .*zzzz\.1/, /^missing: /, /^garbage-hd: .*decoded/, /^garbage-ld: .*decoded/]) {
    expect(said.some((line) => words.test(line))).toBe(true);
  }
  expect(complaints).toEqual([]);
  await page.close();
  await source.stop();
});
