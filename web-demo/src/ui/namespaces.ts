/// The broadcasts of the relay that a page came from, as they come and go, through lost connections.

import { Endpoints, hashesOf } from '../media/core/endpoints';
import { certificateHashes } from '../media/io/relay';
import { connect } from '../moqt';

export interface NamespaceListener {
  /** A new connection: what is there is told from the beginning. */
  begin(): void;
  /** The next one is told when this one is taken. */
  change(namespace: readonly string[], active: boolean): void | Promise<void>;
  /** Why nothing can be told for now, in words for the page. */
  problem(words: string): void;
}

/** Goes on for as long as the page is open. */
export async function followNamespaces(listener: NamespaceListener): Promise<never> {
  const own = { url: `${location.origin.replace(/^http:/, 'https:')}/`, hashes: hashesOf(location.hash) };
  const endpoints = new Endpoints([own]);
  for (;;) {
    try {
      const session = await connect(own.url, { certificateHashes: await certificateHashes(own) });
      endpoints.connected();
      listener.begin();
      for await (const { namespace, active } of session.namespaces([])) await listener.change(namespace, active);
      session.close();
      listener.problem('The relay is gone; looking again …');
    } catch (error) {
      listener.problem(error instanceof Error ? error.message : 'The relay cannot be reached.');
    }
    await new Promise((resolve) => setTimeout(resolve, endpoints.failed()));
  }
}
