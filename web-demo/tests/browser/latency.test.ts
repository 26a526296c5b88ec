/// From browser to browser: how late the picture is, measured from the clock that is drawn in it, and that it keeps the
/// distance that the viewer sets. In both packagings.
import { expect, test } from 'vitest';
import { browserAndRelay } from './support/both';
import { open, picture } from './support/browser';
import { median, watchPattern } from './support/pattern';
import { drawsMore, stats, until } from './support/player';
import { goLive } from './support/studio';

/** Frames per second of the test pattern. */
const RATE = 30;
/** What capture, encoder, network and a busy machine may add. */
const SLACK_MS = 800;

const both = browserAndRelay();

test.each(['cmaf', 'loc'])('a test pattern sent as %s is seen in time', { timeout: 240_000 }, async (packaging) => {
  const name = `live/clock-${packaging}`;
  const query = `source=pattern&height=360&simulcast=0&packaging=${packaging}&name=${name}`;
  const publisher = await goLive(both.browser, both.relay, query);

  const { page, complaints } = await open(both.browser, `${both.relay.page}/${name}`);
  await drawsMore(page, RATE);
  /** The player says that it is about `target` behind (it keeps more distance after stalls); then the picture is looked at. */
  const lateness = async (target: number) => {
    await page.getByRole('slider', { name: 'Distance from live' }).fill(String(target));
    await until(page, `${target} ms behind`, ({ latency = 0, rate }) => {
      return rate > 0 && latency > target - 100 && latency < target + SLACK_MS / 2;
    });
    const seen = await watchPattern(page, 2 * RATE);
    return { seen, latency: median(seen.map(({ latency }) => latency)) };
  };

  const near = await lateness(200);
  const far = await lateness(1000);
  await picture(page, `latency-${packaging}`);
  const again = await lateness(200);

  for (const { latency, target } of [
    { ...near, target: 200 },
    { ...far, target: 1000 },
    { ...again, target: 200 },
  ]) {
    expect(latency).toBeGreaterThan(target - 100);
    expect(latency).toBeLessThan(target + SLACK_MS);
  }
  expect(far.latency - near.latency).toBeGreaterThan(200);
  expect(far.latency - again.latency).toBeGreaterThan(200);

  const [first, last] = [far.seen[0], far.seen.at(-1)];
  const frames = (last?.frame ?? 0) - (first?.frame ?? 0);
  const seconds = ((last?.now ?? 0) - (first?.now ?? 0)) / 1000;
  expect(Math.abs(frames / RATE / seconds - 1)).toBeLessThan(0.15);

  const { video, audio } = (await stats(page)) ?? {};
  expect(video).toContain(packaging);
  expect(audio).toContain(packaging);
  await until(page, 'a beep', ({ level }) => level > 0.05);
  await until(page, 'in step', ({ avOffset }) => Math.abs(avOffset ?? Number.NaN) < 100);
  expect(complaints).toEqual([]);
  expect(publisher.complaints).toEqual([]);
  await page.close();
  await publisher.page.close();
});
