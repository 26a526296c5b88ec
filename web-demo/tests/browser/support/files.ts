/// Folders that go with the test, and programs that end by themselves.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** Runs a program to its end; rejects with what it said if it fails. */
export const run = promisify(execFile);

const made = new Set<string>();
process.once('exit', () => {
  for (const folder of made) rmSync(folder, { recursive: true, force: true });
});

/** An empty folder, removed when the tests of this file are over. */
export function scratch(): string {
  const folder = mkdtempSync(join(tmpdir(), 'headwater-web-'));
  made.add(folder);
  return folder;
}
