/// Notices that the relay of a session neither sends nor answers any more.

import type { Session } from '../../moqt';
import { Liveness, type Manner } from '../core/liveness';

const INTERVAL = 250;

export class Pulse {
  /// Settles when the relay is given up; never rejects.
  readonly gone: Promise<void>;
  readonly #liveness: Liveness;
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(session: Pick<Session, 'ping'>, manner?: Manner) {
    this.#liveness = new Liveness(performance.now(), manner);
    let giveUp = () => {};
    this.gone = new Promise((resolve) => {
      giveUp = resolve;
    });
    this.#timer = setInterval(() => {
      const verdict = this.#liveness.look(performance.now());
      if (verdict === 'ask') {
        session.ping().then(
          () => this.#liveness.answered(performance.now()),
          () => {
            // The session is over, which its owner hears of.
          },
        );
      } else if (verdict === 'gone') {
        this.stop();
        giveUp();
      }
    }, INTERVAL);
  }

  /// Media came from the relay.
  heard(): void {
    this.#liveness.heard(performance.now());
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
