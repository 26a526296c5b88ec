/// What browser tests stand on: a relay, a Chromium, and processes that end with the test.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { promisify } from 'node:util';
import { type Browser, chromium, type Page } from 'playwright-core';

const DIST = join(import.meta.dirname, '../../dist');
const TYPES: Record<string, string> = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css' };

export function moqBinary(): string {
  const path = process.env['HARNESS_MOQ'];
  if (!path) throw new Error('set HARNESS_MOQ to a moq binary: make test does');
  return path;
}

export const run = promisify(execFile);

export function scratch(): string {
  return mkdtempSync(join(tmpdir(), 'headwater-web-'));
}

/** A process of ours and what it says. */
export class Process {
  readonly child: ChildProcess;
  readonly #gone: Promise<unknown>;
  #said = '';
  #waiting: (() => void)[] = [];

  constructor(binary: string, args: readonly string[]) {
    this.child = spawn(binary, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#gone = new Promise((resolve) => this.child.once('exit', resolve));
    const hear = (text: Buffer) => {
      this.#said += text.toString();
      for (const wake of this.#waiting.splice(0)) wake();
    };
    this.child.stdout?.on('data', hear);
    this.child.stderr?.on('data', hear);
    this.child.on('exit', () => hear(Buffer.from('\n[ended]\n')));
  }

  get said(): string {
    return this.#said;
  }

  /** Waits until it has said something that matches. */
  async hears(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.#said);
      if (match) return match;
      if (this.#said.endsWith('[ended]\n')) throw new Error(`ended before it said ${pattern}:\n${this.#said}`);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Waits until it ends by itself; gives its exit code. */
  async ended(): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) await this.#gone;
    return this.child.exitCode;
  }

  async end(signal: NodeJS.Signals = 'SIGINT'): Promise<void> {
    this.child.kill(signal);
    await this.ended();
  }
}

export interface Relay {
  readonly process: Process;
  readonly stateDir: string;
  readonly port: number;
  /** Where pages come from if not from the relay. */
  pages?: string;
}

/** A relay on 127.0.0.1, where pages come from as well: from `localhost` browsers try `::1` alone. Port 0: the kernel chooses. */
export async function startRelay(port = 0, stateDir = scratch()): Promise<Relay> {
  const listen = ['--listen', `127.0.0.1:${port}`, '--admin', '127.0.0.1:0', '--state-dir', stateDir];
  const process = new Process(moqBinary(), ['relay', ...listen]);
  const [, found] = await process.hears(/relay on 127\.0\.0\.1:(\d+)/);
  return { process, stateDir, port: Number(found) };
}

export async function startBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env['HARNESS_CHROMIUM'] ?? '/usr/bin/chromium',
    headless: true,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--autoplay-policy=no-user-gesture-required',
      '--use-fake-device-for-media-stream',
      '--use-fake-ui-for-media-stream',
    ],
  });
}

/** A page whose errors end up in `errors`. */
export async function openPage(
  browser: Browser,
  relay: Relay,
  path: string,
): Promise<{ page: Page; errors: string[] }> {
  const page = await browser.newPage();
  const errors: string[] = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('console', (message) => {
    // The policy names a keyword that browsers before it do not know.
    const isPolicy = message.text().includes('unsafe-webtransport-hashes');
    if (message.type() === 'error' && !isPolicy) errors.push(`${message.text()} ${message.location().url}`);
  });
  await page.goto(`${await originOf(relay)}${path}`);
  return { page, errors };
}

/** The relay itself if it carries the pages that were built last, else a server of `dist` before it. */
async function originOf(relay: Relay): Promise<string> {
  const origin = `http://127.0.0.1:${relay.port}`;
  const [carried, built] = await Promise.all([
    fetch(`${origin}/-/publish`).then((response) => response.text()),
    readFile(join(DIST, 'publish.html'), 'utf8'),
  ]);
  if (carried === built) return origin;
  relay.pages ??= await servePages(origin, relay.port);
  return relay.pages;
}

/** Serves `dist` as the relay would, and hands everything else on to the relay; addresses of pages name the relay. */
async function servePages(relay: string, port: number): Promise<string> {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url ?? '/', relay);
    if (pathname.startsWith('/-/')) {
      const name = pathname.slice('/-/'.length);
      const file = extname(name) === '' ? `${name}.html` : name;
      const body = await readFile(join(DIST, file)).catch(() => undefined);
      const page =
        extname(name) === '' ? body?.toString().replace('<html ', `<html data-relay="127.0.0.1:${port}" `) : body;
      response.setHeader('Content-Type', TYPES[extname(file)] ?? 'application/octet-stream');
      response.writeHead(body ? 200 : 404).end(page);
    } else {
      const answer = await fetch(`${relay}${pathname}`).catch(() => undefined);
      response.writeHead(answer?.status ?? 502).end(await answer?.text());
    }
  });
  server.unref();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
