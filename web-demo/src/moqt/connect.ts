/// From an address to a session: which addresses to try, with which certificates, and what to say when none answers.

import { ConnectError, SessionCode } from './errors';
import { MoqtSession } from './session/session';
import { cut, ignore, type Transport } from './session/transport';
import type { ConnectOptions, Session } from './types';

/** The name of draft-18 in the sub-protocol negotiation. */
export const PROTOCOL = 'moqt-18';

const TIMEOUT_MS = 10_000;
/** Browsers give up by themselves, Chromium after four seconds, and do not say that nobody answered. */
const UNANSWERED_MS = 3000;

interface Attempt {
  readonly url: string;
  readonly pinned: boolean;
}

/** Opens a session over WebTransport. Fails with ConnectError, in clear words. */
export async function connect(url: string, options: ConnectOptions = {}): Promise<Session> {
  const unsupported = whyUnsupported();
  if (unsupported !== undefined) throw new ConnectError('unsupported', unsupported);
  let failure: ConnectError | undefined;
  for (const attempt of attempts(url, options)) {
    if (options.signal?.aborted) throw new ConnectError('refused', 'Connecting was given up.');
    const began = performance.now();
    try {
      return await dial(attempt, options);
    } catch (error) {
      const reason = toConnectError(error, attempt.url);
      const gaveUp = options.signal?.aborted === true;
      const unanswered = reason.kind === 'refused' && !gaveUp && performance.now() - began > UNANSWERED_MS;
      failure = better(failure, unanswered ? noAnswer(attempt.url) : reason);
      // Somebody answered, or nobody did for the whole time: another way will not fare better.
      if (failure.kind === 'unauthorized' || failure.kind === 'protocol' || failure.kind === 'timeout') break;
    }
  }
  throw failure ?? new ConnectError('refused', `There is no address to try for ${url}.`);
}

/** Why this browser can reach no relay, in a sentence for the user of the page; undefined if it can. */
export function whyUnsupported(): string | undefined {
  if ('WebTransport' in globalThis) return undefined;
  return globalThis.isSecureContext
    ? 'This browser has no WebTransport, which is needed to reach the relay. Use a current Chrome, Edge, Firefox or Safari.'
    : 'The relay can only be reached from a page over https:// or from http://localhost: elsewhere browsers have no WebTransport.';
}

/**
 * The ways to try, in order. A browser resolves `localhost` to one family only, where the relay need not listen; and hashes
 * are refused for certificates that live longer than two weeks, which the browser may trust by itself.
 */
export function attempts(url: string, options: ConnectOptions): Attempt[] {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw new ConnectError('refused', `${url} is no address.`);
  }
  if (parsed.protocol === 'moqt:') parsed = new URL(url.replace(/^moqt:/, 'https:'));
  if (parsed.protocol !== 'https:') throw new ConnectError('refused', `${url} does not begin with https://.`);
  parsed.hash = '';
  const hasHashes = (options.certificateHashes?.length ?? 0) > 0;
  const local = parsed.hostname === 'localhost';
  const hosts = local ? ['localhost', '127.0.0.1', '[::1]'] : [parsed.hostname];
  const urls = hosts.map((host) => {
    const candidate = new URL(parsed);
    candidate.hostname = host;
    return candidate.href;
  });
  // No authority vouches for localhost; and browsers slow down who fails to connect often.
  const pinned = hasHashes ? (local ? [true] : [true, false]) : [false];
  return pinned.flatMap((pinned) => urls.map((url) => ({ url, pinned })));
}

async function dial(attempt: Attempt, options: ConnectOptions): Promise<Session> {
  const hashes = options.certificateHashes ?? [];
  const serverCertificateHashes = hashes.map((hash) => ({ algorithm: 'sha-256', value: Uint8Array.from(hash) }));
  const transport = new WebTransport(attempt.url, {
    ...(attempt.pinned && { serverCertificateHashes }),
    protocols: [PROTOCOL],
  } as WebTransportOptions);
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  const giveUp = deadline(attempt.url, timeoutMs, options.signal);
  transport.closed.catch(ignore);
  try {
    await Promise.race([transport.ready, giveUp.promise]);
    const { protocol } = transport as { protocol?: string };
    if (protocol !== undefined && protocol !== PROTOCOL) {
      throw new ConnectError('protocol', `The server at ${attempt.url} does not speak ${PROTOCOL}.`);
    }
    // The browser's streams carry bytes; its types leave open which.
    const session = new MoqtSession(attempt.url, transport as unknown as Transport, {
      ...(options.token !== undefined && { token: options.token }),
    });
    const ready = session.ready.catch((error: unknown) => Promise.reject(setupError(error)));
    await Promise.race([ready, giveUp.promise]);
    options.signal?.addEventListener('abort', () => session.close(), { once: true });
    return session;
  } catch (error) {
    close(transport);
    throw error;
  } finally {
    giveUp.stop();
  }
}

/** Rejects when the time is over or the caller gives up. */
function deadline(
  url: string,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): { promise: Promise<never>; stop: () => void } {
  let stop: () => void = ignore;
  const promise = new Promise<never>((_resolve, reject) => {
    const timer = setTimeout(() => reject(noAnswer(url)), timeoutMs);
    const abort = () => reject(new ConnectError('refused', 'Connecting was given up.'));
    signal?.addEventListener('abort', abort, { once: true });
    stop = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    };
  });
  promise.catch(ignore);
  return { promise, stop };
}

function close(transport: WebTransport): void {
  try {
    transport.close();
  } catch {
    // It never opened.
  }
}

function toConnectError(error: unknown, url: string): ConnectError {
  if (error instanceof ConnectError) return error;
  const words = error instanceof Error ? error.message : String(error);
  if (/certificate|ERR_CERT/i.test(words)) {
    return new ConnectError('certificate', `The browser does not believe the certificate of ${url}.`, { cause: error });
  }
  const why = 'it is away, this network blocks UDP, or its certificate has expired or is another than expected';
  const said = words.replace(/\.$/, '');
  const message = `The relay at ${url} cannot be reached over QUIC: ${why} (the browser says: ${said}).`;
  return new ConnectError('refused', message, { cause: error });
}

function noAnswer(url: string): ConnectError {
  return new ConnectError('timeout', `The relay at ${url} does not answer: it is away, or this network blocks UDP.`);
}

/** Of two failures, the one that says more. */
function better(before: ConnectError | undefined, now: ConnectError): ConnectError {
  const plain = now.kind === 'refused' && before !== undefined;
  return plain ? before : now;
}

/** The error of `connect` for a session that ended before it began. */
function setupError(error: unknown): ConnectError {
  const reason = cut(error);
  if (reason.code === SessionCode.unauthorized || reason.code === SessionCode.expiredToken) {
    return new ConnectError('unauthorized', 'The relay does not let this page in without a valid token.', {
      cause: error,
    });
  }
  return new ConnectError('protocol', `The relay ended the session at once: ${reason.message}.`, { cause: error });
}
