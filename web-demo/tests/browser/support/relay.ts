/// Relays, and the demo that runs several.
import { Moq, type MoqOptions } from './moq';

export interface RelayOptions extends MoqOptions {
  /** Both families, or one alone: at `localhost`, browsers look for `::1` only. */
  readonly host?: '[::]' | '127.0.0.1';
  /** Default: the kernel chooses. */
  readonly port?: number;
  /** More arguments. */
  readonly args?: readonly string[];
}

export interface Relay {
  readonly process: Moq;
  readonly port: number;
  /** Where its pages are, without a slash at the end. */
  readonly page: string;
  /** SHA-256 of its certificate, 64 hexadecimal digits. */
  readonly hash: string;
  readonly stateDir: string;
  /** Ends it, and takes its state away if that is its own. */
  stop(): Promise<void>;
}

/** A relay that is ready. */
export async function startRelay(options: RelayOptions = {}): Promise<Relay> {
  const { host = '[::]', port: wanted = 0, args = [] } = options;
  const process = new Moq(
    ['relay', '--listen', `${host}:${wanted}`, '--admin', 'off', '--set', 'drain=1s', ...args],
    options,
  );
  const [, found] = await process.says(/relay on \S+:(\d+)/);
  const port = Number(found);
  const page = `http://${host === '[::]' ? 'localhost' : host}:${port}`;
  const hash = (await (await fetch(`${page}/certificate.sha256`)).text()).trim();
  return { process, port, page, hash, stateDir: process.stateDir, stop: () => process.stop() };
}

/** The demo, and the page that it says to open. */
export async function startDemo(...args: string[]): Promise<{
  readonly process: Moq;
  readonly page: string;
  stop(): Promise<void>;
}> {
  const process = new Moq(['demo', '--listen', '127.0.0.1:0', ...args]);
  const [, page = ''] = await process.says(/open: +(http:\S+)/);
  return { process, page, stop: () => process.stop() };
}

/** A publisher of `file` (or of what its stdin gets) under `name` at `relay`; more arguments go before them. */
export function startPublisher(
  relay: Pick<Relay, 'port'>,
  name: string,
  args: readonly string[],
  options: MoqOptions = {},
): Moq {
  return new Moq(['publish', '--insecure', `https://localhost:${relay.port}/${name}`, ...args], options);
}
