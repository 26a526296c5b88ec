/// From browser to browser: one page publishes Chromium's fake camera and microphone, another one, of a context of its own, watches.
import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { browserAndRelay } from './support/both';
import { open, picture } from './support/browser';
import { type Seen, watchPattern } from './support/pattern';
import { drawsMore, keepGaps, longestGap, message, until } from './support/player';
import { goLive, pressLive } from './support/studio';

/** A group of the publish page lasts a second; as long again for encoders, network and the viewer's distance. Busy, thrice that. */
const BACK_MS = 6000;

const both = browserAndRelay();

/** What the player shows, made small: equal for equal pictures. */
function shown(page: Page): Promise<string> {
  return page.evaluate(() => {
    const canvas = document.querySelector('headwater-watch')?.shadowRoot?.querySelector('canvas');
    const small = new OffscreenCanvas(64, 36).getContext('2d');
    if (!canvas || !small) throw new Error('there is no picture');
    small.drawImage(canvas, 0, 0, 64, 36);
    return small.getImageData(0, 0, 64, 36).data.join();
  });
}

test.each([
  { packaging: 'cmaf', codec: 'h264' },
  { packaging: 'loc', codec: 'h264' },
  { packaging: 'cmaf', codec: 'vp8' },
])(
  'camera and microphone in $packaging and $codec, seen and heard in another page',
  { timeout: 180_000 },
  async ({ packaging, codec }) => {
    const name = `live/${packaging}-${codec}`;
    const query = `source=camera&height=360&packaging=${packaging}&codec=${codec}&name=${name}`;
    const studio = await goLive(both.browser, both.relay, query);
    const viewer = await open(both.browser, `${both.relay.page}/${name}`);
    await until(viewer.page, 'playing', ({ framesDrawn, avOffset }) => framesDrawn > 10 && avOffset !== undefined);
    const pictures = new Set<string>();
    for (let round = 0; round < 5; round += 1) {
      await drawsMore(viewer.page, 5);
      pictures.add(await shown(viewer.page));
    }
    // The fake microphone beeps, and is silent between.
    await until(viewer.page, 'a beep', ({ level }) => level > 0.02);
    const { latency, video } = await until(viewer.page, 'silence', ({ level }) => level < 0.01);
    if (packaging === 'cmaf') await picture(viewer.page, `publish-watch-${codec}`);

    expect(pictures.size).toBe(5);
    expect(video).toMatch(codec === 'vp8' ? /vp8/ : /avc1/);
    expect(latency).toBeLessThan(6000);
    expect(studio.complaints).toEqual([]);
    expect(viewer.complaints).toEqual([]);
    await Promise.all([studio.page.close(), viewer.page.close()]);
  },
);

test('the viewer goes on within a group when the publishing page is loaded anew', { timeout: 180_000 }, async ({
  annotate,
}) => {
  const query = 'source=pattern&height=360&simulcast=0&name=live/reloaded';
  const studio = await goLive(both.browser, both.relay, query);
  const viewer = await open(both.browser, `${both.relay.page}/live/reloaded`);
  await drawsMore(viewer.page, 30);
  await keepGaps(viewer.page);

  await studio.page.reload();
  await pressLive(studio.page);
  const back = Date.now();
  // The pattern tells when it was drawn, hence by which of the two pages.
  const drawnAt = ({ now, latency }: Seen) => now - latency;
  let [seen] = await watchPattern(viewer.page, 1);
  while (seen && drawnAt(seen) < back) [seen] = await watchPattern(viewer.page, 1);
  const took = (seen?.now ?? Number.NaN) - back;
  await annotate(`a picture after ${Math.round(took)} ms, ${await longestGap(viewer.page)} ms without one`);
  expect(took).toBeLessThan(BACK_MS);
  await drawsMore(viewer.page, 30);
  expect(await message(viewer.page)).toBe('');
  expect([...studio.complaints, ...viewer.complaints]).toEqual([]);
  await Promise.all([studio.page.close(), viewer.page.close()]);
});
