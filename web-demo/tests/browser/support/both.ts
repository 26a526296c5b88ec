/// A browser and a relay for all tests of a file.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll } from 'vitest';
import { launch } from './browser';
import { type Relay, startRelay } from './relay';

/** To be called once, outside of tests; both are there while they run. */
export function browserAndRelay(): { readonly browser: Browser; readonly relay: Relay } {
  const both: { browser?: Browser; relay?: Relay } = {};
  beforeAll(async () => {
    [both.browser, both.relay] = await Promise.all([launch(), startRelay()]);
  }, 120_000);
  afterAll(async () => {
    await both.browser?.close();
    await both.relay?.stop();
  }, 60_000);
  const there = <T>(what: T | undefined): T => {
    if (what === undefined) throw new Error('only tests have a browser and a relay');
    return what;
  };
  return {
    get browser() {
      return there(both.browser);
    },
    get relay() {
      return there(both.relay);
    },
  };
}
