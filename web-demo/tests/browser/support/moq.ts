/// The `moq` binary that HARNESS_MOQ names, as a process that ends with the test.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { atEnd, scratch } from './files';

const SAID_MS = 60_000;
const STOPPED_MS = 15_000;

export interface MoqOptions {
  /** Where its keys are; if not given, a folder of its own, which `stop` takes away. */
  readonly stateDir?: string;
}

export class Moq {
  readonly stateDir: string;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #over: Promise<unknown>;
  readonly #keepsState: boolean;
  readonly #said = { stdout: '', stderr: '' };
  #waiting: (() => void)[] = [];
  #isOver = false;

  /** Begins at once: `new Moq(['publish', …])`. */
  constructor(args: readonly string[], { stateDir }: MoqOptions = {}) {
    this.#keepsState = stateDir !== undefined;
    this.stateDir = stateDir ?? scratch();
    const env = { ...process.env, HEADWATER_STATE_DIR: this.stateDir };
    this.#child = spawn(moqBinary(), args, { env, stdio: 'pipe' });
    for (const name of ['stdout', 'stderr'] as const) {
      this.#child[name].setEncoding('utf8').on('data', (text: string) => {
        this.#said[name] += text;
        this.#wake();
      });
    }
    // What is written to one that has ended is lost, and its end is seen elsewhere.
    this.#child.stdin.on('error', () => {});
    atEnd(() => this.signal('SIGKILL'));
    this.#over = new Promise<void>((over) => {
      this.#child
        .once('close', () => over())
        .once('error', (error) => {
          this.#said.stderr += error.message;
          over();
        });
    }).then(() => {
      this.#isOver = true;
      this.#wake();
    });
  }

  /** All that it has said, on stderr and on stdout. */
  get said(): string {
    return `${this.#said.stderr}${this.#said.stdout}`;
  }

  /** What matches in what it says on either stream, once it does; fails if it ends before, or keeps silent for a minute. */
  async says(words: RegExp): Promise<RegExpExecArray> {
    const until = Date.now() + SAID_MS;
    for (;;) {
      const match = words.exec(this.#said.stderr) ?? words.exec(this.#said.stdout);
      if (match) return match;
      const left = until - Date.now();
      if (this.#isOver) throw new Error(`moq ended before it said ${words}:\n${this.said}`);
      if (left <= 0) throw new Error(`moq never said ${words}:\n${this.said}`);
      const late = setTimeout(() => this.#wake(), left);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
      clearTimeout(late);
    }
  }

  write(text: string): void {
    this.#child.stdin.write(text);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Waits until it ends by itself; gives its exit code. */
  async ended(): Promise<number | null> {
    await this.#over;
    return this.#child.exitCode;
  }

  /** Ends it; gives its exit code. Its state stays, so that another one may go on with it. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    this.signal(signal);
    // One that was stopped with SIGSTOP hears of nothing else.
    this.signal('SIGCONT');
    const late = setTimeout(() => this.signal('SIGKILL'), STOPPED_MS);
    await this.#over;
    clearTimeout(late);
    return this.#child.exitCode;
  }

  /** Ends it, and takes its state away if that is its own. */
  async stop(): Promise<void> {
    await this.end();
    if (!this.#keepsState) rmSync(this.stateDir, { recursive: true, force: true });
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

function moqBinary(): string {
  const path = process.env['HARNESS_MOQ'];
  if (!path) throw new Error('HARNESS_MOQ must name the moq binary: make test sets it');
  return path;
}
