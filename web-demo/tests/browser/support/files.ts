/// What goes when the tests of a file are over, folders among it; and programs that end by themselves.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll } from 'vitest';

/** Runs a program to its end; rejects with what it said if it fails. */
export const run = promisify(execFile);

// Registered before all of the test's own hooks, hence called after them; a worker of vitest has no exit to listen to.
const endings: (() => void)[] = [];
afterAll(() => {
  for (const end of endings.splice(0).reverse()) end();
});

/** To be done when the tests of this file are over, even if they failed; what came last goes first. */
export function atEnd(end: () => void): void {
  endings.push(end);
}

/** An empty folder, removed when the tests of this file are over. */
export function scratch(): string {
  const folder = mkdtempSync(join(tmpdir(), 'headwater-web-'));
  atEnd(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}
