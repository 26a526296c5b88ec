/// The catalog of a broadcast as it changes: reads its track from the first object to the end.

import { type Catalog, CatalogError, sameCatalog } from './model';
import type { CatalogReader } from './open';

export interface FeedEvents {
  /// There is a catalog, but nothing in it can be played; or it cannot be read, and there was none before.
  unusable(why: string, catalog: Catalog | undefined): void;
  /// A catalog that cannot be read came after one that could, which still holds.
  left(why: string): void;
}

export class CatalogFeed {
  #latest: Catalog | undefined;
  #ended = false;
  #error: unknown;
  #wake: () => void = () => {};
  #news: Promise<void> = Promise.resolve();

  constructor(
    private readonly reader: CatalogReader,
    private readonly events: FeedEvents,
  ) {
    this.#expect();
    this.#read()
      .catch((error: unknown) => {
        this.#error = error;
      })
      .finally(() => {
        this.#ended = true;
        this.#wake();
      });
  }

  /// The catalog as it is, as soon as it lists a track; undefined if it ends before. Throws as its track does.
  async playable(): Promise<Catalog | undefined> {
    for (;;) {
      if (this.#latest !== undefined && this.#latest.tracks.length > 0) {
        return this.#latest;
      }
      if (this.#ended) {
        if (this.#error !== undefined) {
          throw this.#error;
        }
        return undefined;
      }
      await this.#news;
    }
  }

  /// Resolves with true when something else than `catalog` is offered, with false when the catalog's track ends.
  async changed(catalog: Catalog): Promise<boolean> {
    for (;;) {
      if (this.#latest !== undefined && !sameCatalog(this.#latest, catalog)) {
        return true;
      }
      if (this.#ended) {
        return false;
      }
      await this.#news;
    }
  }

  #expect(): void {
    this.#news = new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  async #read(): Promise<void> {
    for (;;) {
      const object = await this.reader.subscription.next();
      if (object === undefined) {
        return;
      }
      if (object.status !== 'normal') {
        continue;
      }
      try {
        const catalog = this.reader.read(object);
        if (catalog === undefined) {
          continue;
        }
        this.#latest = catalog;
        if (catalog.tracks.length === 0) {
          this.events.unusable('The broadcast has nothing that can be played here, yet.', catalog);
        }
      } catch (error) {
        if (!(error instanceof CatalogError)) {
          throw error;
        }
        if (this.#latest === undefined) {
          this.events.unusable(`The broadcast cannot be played: ${error.message}.`, undefined);
        } else {
          this.events.left(error.message);
        }
      }
      const wake = this.#wake;
      this.#expect();
      wake();
    }
  }
}
