/// The installed Chromium without a window, and pages whose complaints are kept.
import { mkdir } from 'node:fs/promises';
import { type Browser, chromium, type Page } from 'playwright-core';
import { replacePages } from './pages';

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

export interface Opened {
  readonly page: Page;
  /** Everything that a console would show of errors: exceptions, refusals of the policy, missing files. */
  readonly complaints: string[];
}

/** A page of its own context: closing it is enough. */
export async function open(browser: Browser, url: string, size = { width: 1280, height: 800 }): Promise<Opened> {
  const page = await browser.newPage({ viewport: size });
  await replacePages(page.context());
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(error.stack ?? String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error' && !message.text().includes(NOT_KNOWN_YET)) {
      complaints.push(`${message.text()} ${message.location().url}`);
    }
  });
  await page.goto(url);
  return { page, complaints };
}

/** Complaints without the browser's own line for each connection that it could not make, where the page has words for it. */
export function exceptions(complaints: readonly string[]): string[] {
  return complaints.filter((text) => !text.startsWith('Failed to establish a connection to https://'));
}

/** Keeps a picture of the page as it is. */
export async function picture(page: Page, name: string): Promise<void> {
  await mkdir(PICTURES, { recursive: true });
  await page.screenshot({ path: `${PICTURES}${name}.png` });
}
