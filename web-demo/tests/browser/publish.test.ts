/// The publish page in a real browser, through a real relay, into an MP4 that ffmpeg reads.

import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launch, open } from './support/browser';
import { run, scratch } from './support/files';
import { Moq } from './support/moq';
import { type Relay, startRelay } from './support/relay';
import { goLive } from './support/studio';

let relay: Relay;
let browser: Browser;

beforeAll(async () => {
  [relay, browser] = await Promise.all([startRelay({ host: '127.0.0.1' }), launch()]);
}, 60_000);

afterAll(async () => {
  await browser?.close();
  await relay?.stop();
});

interface Probe {
  readonly streams: {
    readonly codec_name: string;
    readonly codec_type: string;
    readonly width?: number;
    readonly height?: number;
    readonly nb_read_frames: string;
  }[];
}

/** A recording while it grows: `moq subscribe -o`. */
function record(name: string, from = relay, ...flags: string[]): { file: string; process: Moq } {
  const file = join(scratch(), 'out.mp4');
  const url = `moqt://localhost:${from.port}/${name}`;
  return { file, process: new Moq(['subscribe', '-o', file, ...flags, url], { stateDir: from.stateDir }) };
}

/** What the recording holds; ffmpeg must decode all of it without a word. */
async function inspect(file: string): Promise<Probe> {
  const decoded = await run('ffmpeg', ['-v', 'warning', '-xerror', '-i', file, '-fps_mode', 'vfr', '-f', 'null', '-']);
  expect(decoded.stderr).toBe('');
  const { stdout } = await run('ffprobe', ['-v', 'error', '-count_frames', '-show_streams', '-of', 'json', file]);
  return JSON.parse(stdout) as Probe;
}

/** Waits until the page has encoded `count` more frames than now. */
async function framesMore(page: Page, count: number): Promise<number> {
  await page.locator('#stat-frames').waitFor();
  return page.evaluate(async (count) => {
    const node = document.getElementById('stat-frames');
    const now = () => Number(node?.textContent ?? 0);
    const shown = now();
    // What is shown is old by up to a second; the next number is not.
    let from: number | undefined;
    while (from === undefined || now() < from + count) {
      await new Promise<void>((resolve) => {
        const observer = new MutationObserver(() => {
          observer.disconnect();
          resolve();
        });
        if (node) observer.observe(node, { childList: true, characterData: true, subtree: true });
      });
      if (now() > shown) from ??= now();
    }
    return now();
  }, count);
}

/** The share of full quality that the page tells, in percent, once it is as wanted. */
async function share(page: Page, wanted: (percent: number) => boolean): Promise<number> {
  for (;;) {
    const told = (await page.locator('#stat-bitrate').textContent()) ?? '';
    const percent = Number(/\((\d+) %/.exec(told)?.[1] ?? 100);
    if (wanted(percent)) return percent;
    await framesMore(page, 1);
  }
}

const CODECS = ['h264', 'vp8', 'vp9', 'av1'] as const;
const PACKAGINGS = ['cmaf', 'loc'] as const;

describe('the publish page', () => {
  test.each(PACKAGINGS.flatMap((packaging) => CODECS.map((codec) => [codec, packaging] as const)))(
    'sends the test pattern in %s as %s, and moq subscribe writes all of it',
    async (codec, packaging) => {
      const name = `live/pattern-${codec}-${packaging}`;
      const query = `source=pattern&height=360&codec=${codec}&packaging=${packaging}&name=${name}`;
      const { page, complaints } = await goLive(browser, relay, query);
      const recording = record(name);
      await recording.process.says(/audio audio0/);
      await framesMore(page, 90);
      await page.getByRole('button', { name: 'Stop' }).click();
      await page.getByText('Not live any more.').waitFor();
      await recording.process.end('SIGINT');
      const { streams } = await inspect(recording.file);
      const [video, audio] = ['video', 'audio'].map((kind) => streams.find((stream) => stream.codec_type === kind));
      expect(video).toMatchObject({ codec_name: codec, width: 640, height: 360 });
      expect(audio?.codec_name).toBe('opus');
      expect(Number(video?.nb_read_frames)).toBeGreaterThanOrEqual(90);
      expect(Number(audio?.nb_read_frames)).toBeGreaterThan(50);
      expect(complaints).toEqual([]);
      await page.close();
    },
    60_000,
  );

  test('sends camera and microphone, with a smaller picture beside', async () => {
    const { page, complaints } = await goLive(browser, relay, 'source=camera&height=360&name=live/camera');
    const best = record('live/camera');
    const small = record('live/camera', relay, '--video', 'video1');
    await Promise.all([best.process.says(/audio audio0/), small.process.says(/audio audio0/)]);
    await framesMore(page, 60);
    await page.getByText('3 of 3 tracks').waitFor();
    await page.screenshot({ path: join(scratch(), 'publish.png') });
    await page.getByRole('button', { name: 'Stop' }).click();
    await Promise.all([best.process.end('SIGINT'), small.process.end('SIGINT')]);
    const [large, half] = await Promise.all([inspect(best.file), inspect(small.file)]);
    const picture = (probe: Probe) => probe.streams.find((stream) => stream.codec_type === 'video');
    expect(picture(half)?.height).toBe((picture(large)?.height ?? 0) / 2);
    expect(Number(picture(large)?.nb_read_frames)).toBeGreaterThan(20);
    expect(complaints).toEqual([]);
    await page.close();
  }, 60_000);

  test('sends temporal layers as subgroups, which are put together again', async () => {
    const { page } = await goLive(browser, relay, 'source=pattern&height=360&simulcast=0&layers=1&name=live/layers');
    const recording = record('live/layers');
    await recording.process.says(/audio audio0/);
    await framesMore(page, 60);
    await page.getByRole('button', { name: 'Stop' }).click();
    expect(await recording.process.ended()).toBe(0);
    const { streams } = await inspect(recording.file);
    const video = streams.find((stream) => stream.codec_type === 'video');
    expect(Number(video?.nb_read_frames)).toBeGreaterThanOrEqual(60);
    await page.close();
  }, 60_000);

  test('goes on after the relay was started again, without a reload', async () => {
    const own = await startRelay({ host: '127.0.0.1' });
    const { page } = await open(browser, `${own.page}/-/publish?source=pattern&height=360&simulcast=0&name=live/again`);
    await page.getByRole('button', { name: 'Go live' }).click();
    await page.getByText(/^Live at /).waitFor();
    await own.process.end('SIGKILL');
    await page.getByText('The connection was lost. Connecting again…').waitFor({ timeout: 60_000 });
    const again = await startRelay({ host: '127.0.0.1', port: own.port, stateDir: own.stateDir });
    const recording = record('live/again', again);
    await recording.process.says(/audio audio0/);
    await page.getByText(/^Live at /).waitFor();
    await framesMore(page, 60);
    await page.getByRole('button', { name: 'Stop' }).click();
    expect(await recording.process.ended()).toBe(0);
    const { streams } = await inspect(recording.file);
    expect(Number(streams.find((stream) => stream.codec_type === 'video')?.nb_read_frames)).toBeGreaterThanOrEqual(60);
    await page.close();
    await again.stop();
    await own.stop();
  }, 120_000);

  test('sends less while the network takes nothing, and more again when it does', async () => {
    const own = await startRelay({ host: '127.0.0.1' });
    const { page, complaints } = await goLive(browser, own, 'source=pattern&height=720&simulcast=0&name=live/slow');
    const viewer = new Moq([
      'subscribe',
      '--insecure',
      '-o',
      join(scratch(), 'out.mp4'),
      `moqt://localhost:${own.port}/live/slow`,
    ]);
    await viewer.says(/audio audio0/);
    await framesMore(page, 30);
    expect(await share(page, () => true)).toBe(100);
    // Nothing leaves any more, as on a way that has broken down.
    own.process.signal('SIGSTOP');
    const low = await share(page, (percent) => percent < 80);
    own.process.signal('SIGCONT');
    await share(page, (percent) => percent > low + 5);
    expect(complaints).toEqual([]);
    await page.close();
    await viewer.stop();
    await own.stop();
  }, 120_000);

  test('says in words what is wrong with a name, and when there is nothing to show', async () => {
    const { page } = await open(browser, `${relay.page}/-/publish?name=a//b`);
    await page.getByRole('button', { name: 'Go live' }).click();
    await page.getByRole('alert').getByText('empty part').waitFor();
    await page.getByLabel('Name', { exact: true }).fill('<img src=x onerror=alert(1)>');
    await page.getByRole('button', { name: 'Go live' }).click();
    await page.getByRole('alert').getByText('Choose what to show first').waitFor();
    expect(await page.locator('img').count()).toBe(0);
    await page.close();
  }, 30_000);
});
