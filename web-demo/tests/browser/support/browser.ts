/// The installed Chromium without a window, and pages whose complaints are kept.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { atEnd, scratch } from './files';
import { replacePages } from './pages';

/** Where pictures of pages go, to be looked at. */
const PICTURES = new URL('../../../dist-tests/', import.meta.url).pathname;

const PAINTED_MS = 90_000;

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
  return chromium.launch({ executablePath: chromiumPath(), args: FLAGS });
}

/** One window with tabs, as people have it: the tabs behind the front one are hidden. (Pages of `launch` are shown, always.) */
export async function launchWindow(): Promise<{ readonly tabs: BrowserContext; stop(): Promise<void> }> {
  const flags = ['--headless', '--remote-debugging-port=0', `--user-data-dir=${scratch()}`, ...FLAGS];
  const child = spawn(chromiumPath(), flags, { stdio: ['ignore', 'ignore', 'pipe'] });
  atEnd(() => child.kill('SIGKILL'));
  const over = once(child, 'exit');
  const address = await new Promise<string>((found, failed) => {
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      const match = /DevTools listening on (ws:\S+)/.exec(said);
      if (match?.[1]) found(match[1]);
    });
    over.then(() => failed(new Error(`Chromium ended: ${said}`)), failed);
  });
  const browser = await chromium.connectOverCDP(address, { noDefaults: true });
  const [tabs] = browser.contexts();
  if (!tabs) throw new Error('Chromium has no window');
  const stop = async () => {
    await browser.close();
    child.kill();
    await over;
  };
  return { tabs, stop };
}

function chromiumPath(): string {
  return process.env['HARNESS_CHROMIUM'] ?? '/usr/bin/chromium';
}

export interface Opened {
  readonly page: Page;
  /** Everything that a console would show of errors: exceptions, refusals of the policy, missing files. */
  readonly complaints: string[];
}

/** A page of its own context: closing it is enough. */
export async function open(browser: Browser, url: string, size = { width: 1280, height: 800 }): Promise<Opened> {
  return visit(await browser.newPage({ viewport: size }), url);
}

/** The same in a tab that is there already. */
export async function visit(page: Page, url: string): Promise<Opened> {
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

/** Of each connection that it could not make the browser writes a line of its own; the page has words for it where it matters. */
const NOT_CONNECTED = ['Failed to establish a connection to https://', 'Failed to load resource: net::ERR_'];

/** Complaints without those. */
export function exceptions(complaints: readonly string[]): string[] {
  return complaints.filter((text) => !NOT_CONNECTED.some((start) => text.startsWith(start)));
}

/** Keeps a picture of the page as it is. */
export async function picture(page: Page, name: string): Promise<void> {
  await mkdir(PICTURES, { recursive: true });
  // A machine that is busy with other tests may take its time to paint.
  await page.screenshot({ path: `${PICTURES}${name}.png`, timeout: PAINTED_MS });
}
