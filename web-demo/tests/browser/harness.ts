/// A relay on one address family only, publishers and subscribers with stdin and stdout, and a page with the library alone.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Browser, Page } from 'playwright-core';
import { build } from 'vite';

/** The `moq` binary under test. */
export function moqBinary(): string {
  const binary = process.env['HARNESS_MOQ'];
  if (!binary) throw new Error('HARNESS_MOQ does not name the moq binary');
  return binary;
}

/** A running `moq`: its lines, and its end. */
export class Moq {
  readonly #child: ChildProcess;
  readonly lines: string[] = [];
  #waiting: (() => void)[] = [];

  constructor(args: readonly string[]) {
    this.#child = spawn(moqBinary(), [...args], { stdio: ['pipe', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      if (!stream) continue;
      createInterface({ input: stream }).on('line', (line) => {
        this.lines.push(line);
        for (const wake of this.#waiting.splice(0)) wake();
      });
    }
  }

  write(text: string): void {
    this.#child.stdin?.write(text);
  }

  /** The first line that `wanted` matches. */
  async line(wanted: RegExp, timeoutMs = 15_000): Promise<string> {
    const until = Date.now() + timeoutMs;
    for (;;) {
      const found = this.lines.find((line) => wanted.test(line));
      if (found !== undefined) return found;
      const left = until - Date.now();
      if (left <= 0 || this.#child.exitCode !== null) {
        throw new Error(`no line matches ${wanted}; there are:\n${this.lines.join('\n')}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(left, 500));
        this.#waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  /** SIGTERM, and the end. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const over = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGTERM');
    await over;
  }
}

export interface Relay {
  readonly process: Moq;
  readonly port: number;
  readonly stateDir: string;
  /** SHA-256 of the certificate, 64 hex digits. */
  readonly hash: string;
  stop(): Promise<void>;
}

export async function startRelay(args: readonly string[] = []): Promise<Relay> {
  const stateDir = mkdtempSync(join(tmpdir(), 'headwater-web-'));
  const port = await freePort();
  const admin = await freePort();
  const listen = ['--listen', `127.0.0.1:${port}`, '--admin', `127.0.0.1:${admin}`];
  const relay = new Moq(['relay', ...listen, '--state-dir', stateDir, ...args]);
  const hash = await certificateHash(port);
  const stop = async () => {
    await relay.stop();
    rmSync(stateDir, { recursive: true, force: true });
  };
  return { process: relay, port, stateDir, hash, stop };
}

/** What the relay's page says of its certificate, once it answers at all. */
async function certificateHash(port: number): Promise<string> {
  const until = Date.now() + 15_000;
  for (;;) {
    try {
      const answer = await fetch(`http://127.0.0.1:${port}/certificate.sha256`);
      if (answer.ok) return (await answer.text()).trim();
    } catch (error) {
      if (Date.now() > until) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() =>
        typeof address === 'object' && address ? resolve(address.port) : reject(new Error('no port')),
      );
    });
  });
}

/** The library as one script that sets `globalThis.moqt`. */
async function library(): Promise<string> {
  const output = await build({
    configFile: false,
    logLevel: 'error',
    build: {
      write: false,
      target: 'es2022',
      lib: { entry: join(import.meta.dirname, '../../src/moqt/index.ts'), name: 'moqt', formats: ['iife'] },
    },
  });
  const [first] = Array.isArray(output) ? output : [output];
  if (!first || !('output' in first)) throw new Error('the library was not built');
  return first.output[0].code;
}

/** A worker that runs what it is sent, and answers with what that gives. */
const WORKER = 'onmessage = async ({ data }) => postMessage(await (0, eval)(data));';

export interface LibraryPage {
  readonly page: Page;
  stop(): Promise<void>;
}

/**
 * A page at http://localhost, a secure context, with the library in `moqt`. It is really served: to a page whose requests are
 * only intercepted, the loopback address is foreign and WebTransport to it is not allowed.
 */
export async function libraryPage(browser: Browser): Promise<LibraryPage> {
  const script = `${await library()};globalThis.moqt = moqt;`;
  const server = createHttpServer((request, response) => {
    const isScript = request.url?.endsWith('.js');
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
    if (request.url === '/worker.js') response.end(`${script}${WORKER}`);
    else response.end(isScript ? script : '<script src="/moqt.js"></script>');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (typeof address !== 'object' || !address) throw new Error('the page has no port');
  const page = await browser.newPage();
  page.on('pageerror', (error) => process.stderr.write(`page: ${error.stack ?? error.message}\n`));
  await page.goto(`http://localhost:${address.port}/`);
  const stop = async () => {
    await page.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { page, stop };
}
