/// The broadcasts of the relay that a page came from, as they come and go, through lost connections.

import { Endpoints, hashesOf } from '../media/core/endpoints';
import { Pulse } from '../media/io/pulse';
import { dial, ownUrl } from '../media/io/relay';
import type { Session } from '../moqt';

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
  const own = { url: ownUrl(), hashes: hashesOf(location.hash) };
  const endpoints = new Endpoints([own]);
  for (;;) {
    try {
      const session = await dial(own);
      // One that accepts and ends at once is not asked again at once.
      session.ping().then(
        () => endpoints.answered(),
        () => undefined,
      );
      listener.begin();
      await follow(session, listener);
      listener.problem('The relay is gone; looking again …');
    } catch (error) {
      listener.problem(error instanceof Error ? error.message : 'The relay cannot be reached.');
    }
    await new Promise((resolve) => setTimeout(resolve, endpoints.failed()));
  }
}

/** Until the session ends, or the relay neither sends nor answers any more. */
async function follow(session: Session, listener: NamespaceListener): Promise<void> {
  const pulse = new Pulse(session);
  const changes = session.namespaces([]);
  void pulse.gone.then(() => session.close());
  // A session that is closed at a silent relay keeps its streams for a while.
  void session.closed.then(() => changes.cancel());
  try {
    for await (const { namespace, active } of changes) {
      pulse.heard();
      await listener.change(namespace, active);
    }
  } finally {
    pulse.stop();
    session.close();
  }
}
