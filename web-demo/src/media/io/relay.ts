/// What a relay tells over HTTP: its certificate's hash, and other relays to turn to.

import { alternatesOf, type Endpoint, type Endpoints } from '../core/endpoints';

/// Answers are short; more is not read.
const PATIENCE = 3000;

/// The hashes of an endpoint: given ones, or those of the page's own relay, asked anew each time since certificates
/// change every few days.
export async function certificateHashes(endpoint: Endpoint): Promise<Uint8Array[]> {
  if (endpoint.hashes.length > 0) {
    return endpoint.hashes.map(fromHex);
  }
  const text = await get(`${pagesOf(endpoint)}/certificates.sha256`).catch(() => '');
  const hashes = text.split(/\s+/).filter((word) => /^[0-9a-f]{64}$/i.test(word));
  return hashes.slice(0, 16).map(fromHex);
}

/// Asks a relay for others, so that they are known when it dies.
export function learnAlternates(endpoint: Endpoint, endpoints: Endpoints): void {
  get(`${pagesOf(endpoint)}/api/v1/alternates`)
    .then((text) => endpoints.add(alternatesOf(JSON.parse(text))))
    .catch(() => {
      // A relay without others, or one that does not answer over HTTP: what is known stays.
    });
}

/// The page's own relay may serve pages without TLS; others are asked over https.
function pagesOf(endpoint: Endpoint): string {
  const own = endpoint.url === `${location.origin.replace(/^http:/, 'https:')}/`;
  return own ? location.origin : new URL(endpoint.url).origin;
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
