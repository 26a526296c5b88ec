/// The installed Chromium without a window, and pages whose complaints are kept.
import { mkdir } from 'node:fs/promises';
import { type Browser, chromium, type Page } from 'playwright-core';

/** Where pictures of pages go, to be looked at. */
const PICTURES = new URL('../../../dist-tests/', import.meta.url).pathname;

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--autoplay-policy=no-user-gesture-required',
  '--use-fake-device-for-media-stream',
  '--use-fake-ui-for-media-stream',
];

/** A word of the relay's policy that W3C WebTransport asks for, and which Chromium 156 calls invalid and ignores. */
const NOT_KNOWN_YET = "an invalid source: ''unsafe-webtransport-hashes''";

export function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: process.env['HARNESS_CHROMIUM'] ?? '/usr/bin/chromium', args: FLAGS });
}

/** A page, and everything that a console would show of errors: exceptions, refusals of the policy, missing files. */
export async function open(browser: Browser, url: string, size = { width: 1280, height: 800 }) {
  const page = await browser.newPage({ viewport: size });
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error' && !message.text().includes(NOT_KNOWN_YET)) complaints.push(message.text());
  });
  await page.goto(url);
  return { page, complaints };
}

/** Keeps a picture of the page as it is. */
export async function picture(page: Page, name: string): Promise<void> {
  await mkdir(PICTURES, { recursive: true });
  await page.screenshot({ path: `${PICTURES}${name}.png` });
}
