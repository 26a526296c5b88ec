/// The publish page, live.
import type { Browser, Page } from 'playwright-core';
import { type Opened, open } from './browser';
import type { Relay } from './relay';

/** Goes live at `relay` with what the page's address may say: name, source, codec and so on. */
export async function goLive(browser: Browser, relay: Relay, query: string): Promise<Opened> {
  const opened = await open(browser, `${relay.page}/-/publish?${query}`);
  await pressLive(opened.page);
  return opened;
}

/** Goes live on a publish page with what is chosen there. */
export async function pressLive(page: Page): Promise<void> {
  // A camera's first picture tells that the browser has handed it out. (The policy forbids waitForFunction.)
  await page.evaluate(async () => {
    const source = document.querySelector<HTMLInputElement>('input[name=source]:checked')?.value;
    const preview = document.querySelector('video');
    if (source !== 'camera' || !preview || preview.videoWidth > 0) return;
    await new Promise((resolve) => preview.addEventListener('loadeddata', resolve, { once: true }));
  });
  await page.getByRole('button', { name: 'Go live' }).click();
  await page.getByText(/^Live at /).waitFor();
}
