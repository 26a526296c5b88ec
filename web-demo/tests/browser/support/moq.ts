/// Runs the `moq` binary that HARNESS_MOQ names, with a state directory of its own, until the test is over.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const STARTED_MS = 60_000;
const STOPPED_MS = 15_000;

export interface Running {
  /** What it has said on stderr so far. */
  said(): string;
  /** What stands behind `words` in what it says, when it says it; fails if it ends before. */
  says(words: RegExp): Promise<RegExpMatchArray>;
  /** Ends it and takes its state away. */
  stop(): Promise<void>;
}

/** A relay on a port of its own, and where its pages are. */
export async function relay(...more: string[]): Promise<Running & { port: number; page: string }> {
  const running = await moq('relay', '--listen', '[::]:0', '--admin', 'off', ...more);
  const [, port] = await running.says(/relay on \S+:(\d+)/);
  return { ...running, port: Number(port), page: `http://localhost:${port}` };
}

/** The demo, and the page that it says to open. */
export async function demo(...more: string[]): Promise<Running & { page: string }> {
  const running = await moq('demo', '--listen', '127.0.0.1:0', ...more);
  const [, page] = await running.says(/open: +(http:\S+)/);
  return { ...running, page: page ?? '' };
}

/** Any command. */
export async function moq(command: string, ...more: string[]): Promise<Running> {
  const program = process.env['HARNESS_MOQ'];
  if (program === undefined) throw new Error('HARNESS_MOQ must name the moq binary (make test sets it)');
  const state = await mkdtemp(join(tmpdir(), 'headwater-web-'));
  const env = { ...process.env, HEADWATER_STATE_DIR: state };
  const child = spawn(program, [command, ...more], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const ended = new Promise<void>((done) => {
    child
      .once('exit', () => done())
      .once('error', (error) => {
        said += error;
        done();
      });
  });
  return {
    said: () => said,
    says: (words) => waitFor(child, ended, () => said, words),
    stop: async () => {
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), STOPPED_MS);
      await ended;
      clearTimeout(late);
      await rm(state, { recursive: true, force: true });
    },
  };
}

function waitFor(child: ChildProcess, ended: Promise<void>, said: () => string, words: RegExp) {
  return new Promise<RegExpMatchArray>((found, failed) => {
    const look = () => {
      const match = said().match(words);
      if (match === null) return;
      over();
      found(match);
    };
    const fail = (why: string) => {
      over();
      failed(new Error(`${why} before it said ${words}: ${said()}`));
    };
    const late = setTimeout(() => fail('a minute passed'), STARTED_MS);
    const over = () => {
      clearTimeout(late);
      child.stderr?.off('data', look);
    };
    child.stderr?.on('data', look);
    look();
    ended.then(() => fail('it ended'));
  });
}
