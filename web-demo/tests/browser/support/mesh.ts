/// Relays that trust each other.
import { scratch } from './files';
import { Moq } from './moq';
import { type Relay, startRelay } from './relay';

/**
 * Two relays of one mesh. Publishers stay at the first; the pages of the second are told that they may turn to the first.
 */
export async function startMesh(): Promise<readonly [Relay, Relay]> {
  const stateDir = scratch();
  await new Moq(['mesh', 'create'], { stateDir }).ended();
  const authority = await startRelay({ stateDir });
  const invite = new Moq(['mesh', 'invite', '--address', `127.0.0.1:${authority.port}`], { stateDir });
  const [line] = await invite.says(/headwater-invite:\S+/);
  const alternate = `alternates=https://localhost:${authority.port}/#sha256=${authority.hash}`;
  const member = await startRelay({ args: ['--join', line, '--set', alternate] });
  return [authority, member];
}
