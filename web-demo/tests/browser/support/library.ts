/// A page with nothing but the library of `src/moqt`.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { build } from 'vite';
import { type Opened, open } from './browser';

/** A worker that runs what it is sent, and answers with what that gives. */
const WORKER = 'onmessage = async ({ data }) => postMessage(await (0, eval)(data));';

/** The library as one script that sets `moqt`. */
async function library(): Promise<string> {
  const output = await build({
    configFile: false,
    logLevel: 'error',
    build: {
      write: false,
      target: 'es2022',
      lib: { entry: join(import.meta.dirname, '../../../src/moqt/index.ts'), name: 'moqt', formats: ['iife'] },
    },
  });
  const [first] = Array.isArray(output) ? output : [output];
  if (!first || !('output' in first)) throw new Error('the library was not built');
  return first.output[0].code;
}

export interface LibraryPage extends Opened {
  stop(): Promise<void>;
}

/**
 * A page at http://localhost, a secure context, with the library in `moqt`, and a worker of it at `/worker.js`. It is really
 * served: to a page whose requests are only intercepted, the loopback address is foreign and WebTransport to it is not allowed.
 */
export async function libraryPage(browser: Browser): Promise<LibraryPage> {
  const script = `${await library()};globalThis.moqt = moqt;`;
  const server = createServer((request, response) => {
    const isScript = request.url?.endsWith('.js');
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
    if (request.url === '/worker.js') response.end(`${script}${WORKER}`);
    else response.end(isScript ? script : '<link rel="icon" href="data:,"><script src="/moqt.js"></script>');
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const opened = await open(browser, `http://localhost:${(server.address() as AddressInfo).port}/`);
  const stop = async () => {
    await opened.page.close();
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  };
  return { ...opened, stop };
}
