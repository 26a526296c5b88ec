/// Relays that trust each other.
import { scratch } from './files';
import { Link } from './link';
import { Moq } from './moq';
import { type Relay, startRelay } from './relay';

/** How much longer the way from the third to the first is that does without the second, each way. */
const LONGER_MS = 60;

/**
 * Two relays of one mesh. Publishers stay at the first; the pages of the second are told that they may turn to the first.
 */
export async function startMesh(): Promise<readonly [Relay, Relay]> {
  const stateDir = scratch();
  await new Moq(['mesh', 'create'], { stateDir }).ended();
  const authority = await startRelay({ stateDir });
  const line = await invite(stateDir, authority.port);
  const alternate = `alternates=https://localhost:${authority.port}/#sha256=${authority.hash}`;
  const member = await startRelay({ args: ['--join', line, '--set', alternate] });
  return [authority, member];
}

/** Relays called "relay 1" to "relay 3" in a line, and a longer link from the last to the first. All show the mesh. */
export async function startLine(): Promise<{
  readonly relays: readonly [Relay, Relay, Relay];
  stop(): Promise<void>;
}> {
  const stateDir = scratch();
  await new Moq(['mesh', 'create'], { stateDir }).ended();
  const args = (number: number, ...more: string[]) => ['--public-overlay', '--name', `relay ${number}`, ...more];
  const first = await startRelay({ stateDir, args: args(1) });
  const second = await startRelay({ args: args(2, '--join', await invite(stateDir, first.port)) });
  const longer = await Link.start(first.port, { delayMs: LONGER_MS });
  const near = ['--peer', `127.0.0.1:${second.port}`];
  const third = await startRelay({ args: args(3, '--join', await invite(stateDir, longer.port), ...near) });
  const relays = [first, second, third] as const;
  const stop = async () => {
    await Promise.all(relays.map((relay) => relay.stop()));
    await longer.stop();
  };
  return { relays, stop };
}

/** An invite into the mesh of `stateDir`, whose authority is at this port. */
async function invite(stateDir: string, port: number): Promise<string> {
  const address = ['--address', `127.0.0.1:${port}`];
  const [line] = await new Moq(['mesh', 'invite', ...address], { stateDir }).says(/headwater-invite:\S+/);
  return line;
}
