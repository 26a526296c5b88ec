/// The hash by which a relay tells of a namespace without naming it: `docs/gossip.md`, STATUS_PULLS.
import { utf8, Writer } from '../moqt/wire/bytes';
import { namespaceBytes, writeNamespace } from '../moqt/wire/name';

const LABEL = utf8('headwater pull 1\0');
const BYTES = 8;

/** In hex. Throws for what is no namespace, and where the page is not a secure context. */
export async function namespaceHash(namespace: readonly string[]): Promise<string> {
  const wire = new Writer().bytes(LABEL);
  writeNamespace(wire, namespaceBytes(namespace));
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', wire.take()));
  return [...hash.subarray(0, BYTES)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
