/// The way to a relay: what it tells over HTTP, its certificate's hash and other relays to turn to, and sessions with it.

import { ConnectError, type ConnectOptions, connect, type Session } from '../../moqt';
import { certificateTrouble } from '../core/certificate';
import { alternatesOf, type Endpoint, type Endpoints } from '../core/endpoints';

/// Answers are short; more is not read.
const PATIENCE = 3000;

/// How long a page waits for a session; it has other relays to try, or tries again.
const TIMEOUT = 5000;

/// Opens a session. Where the browser does not say why it could not, the page's own relay is asked about its certificate.
export async function dial(
  endpoint: Endpoint,
  options: Pick<ConnectOptions, 'token' | 'signal'> = {},
): Promise<Session> {
  const hashes = await certificateHashes(endpoint);
  try {
    return await connect(endpoint.url, { ...options, certificateHashes: hashes, timeoutMs: TIMEOUT });
  } catch (error) {
    const unexplained = error instanceof ConnectError && (error.kind === 'refused' || error.kind === 'certificate');
    const trouble = unexplained && options.signal?.aborted !== true ? await troubleOf(endpoint) : undefined;
    throw trouble === undefined ? error : new ConnectError('certificate', trouble, { cause: error });
  }
}

/// Over https, others do not answer either if their certificate is no good.
async function troubleOf(endpoint: Endpoint): Promise<string | undefined> {
  if (!isOwn(endpoint)) {
    return undefined;
  }
  try {
    const told: unknown = JSON.parse(await get(`${location.origin}/api/v1/certificate`));
    return certificateTrouble(told, endpoint.hashes, Date.now());
  } catch {
    return undefined;
  }
}

/// The hashes of an endpoint: given ones, or those of the page's own relay, asked anew each time since certificates
/// change every few days.
async function certificateHashes(endpoint: Endpoint): Promise<Uint8Array[]> {
  if (endpoint.hashes.length > 0) {
    return endpoint.hashes.map(fromHex);
  }
  const text = await get(`${pagesOf(endpoint)}/certificates.sha256`).catch(() => '');
  const hashes = text.split(/\s+/).filter((word) => /^[0-9a-f]{64}$/i.test(word));
  return hashes.slice(0, 16).map(fromHex);
}

/// Asks a relay for others, so that they are known when it dies.
export function learnAlternates(endpoint: Endpoint, endpoints: Endpoints): void {
  void alternatesOfRelay(endpoint).then((others) => endpoints.add(others));
}

/// The others that a relay tells of; none if it does not answer over HTTP.
export async function alternatesOfRelay(endpoint: Endpoint): Promise<Endpoint[]> {
  try {
    return alternatesOf(JSON.parse(await get(`${pagesOf(endpoint)}/api/v1/alternates`)));
  } catch {
    return [];
  }
}

/// The page's own relay may serve pages without TLS; others are asked over https.
function pagesOf(endpoint: Endpoint): string {
  return isOwn(endpoint) ? location.origin : new URL(endpoint.url).origin;
}

function isOwn(endpoint: Endpoint): boolean {
  return `${new URL(endpoint.url).origin}/` === ownUrl();
}

/// Where the relay that the page came from takes sessions.
export function ownUrl(): string {
  return `${location.origin.replace(/^http:/, 'https:')}/`;
}

async function get(url: string): Promise<string> {
  const response = await fetch(url, { signal: AbortSignal.timeout(PATIENCE), cache: 'no-store' });
  if (!response.ok) {
    throw new Error(`${url} answers ${response.status}`);
  }
  return response.text();
}

function fromHex(hash: string): Uint8Array {
  return Uint8Array.from(hash.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
}
