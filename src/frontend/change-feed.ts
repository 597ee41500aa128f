/**
 * What follows changes of something: listeners, and iterators that begin with a `snapshot`, the state as it is. An iterator whose
 * reader falls far behind gets one `snapshot` in place of the changes that wait.
 */
import { ROOM_CHANGES_MAX } from "../limits.ts";

interface Snapshot {
  readonly kind: "snapshot";
}

const SNAPSHOT: Snapshot = { kind: "snapshot" };

export class ChangeFeed<Change> {
  readonly #listeners = new Set<(change: Change | Snapshot) => void>();
  readonly #closings = new Set<() => void>();
  #closed = false;

  get closed(): boolean {
    return this.#closed;
  }

  notify(change: Change | Snapshot): void {
    for (const listener of this.#listeners) listener(change);
  }

  /** Returns a function that unsubscribes the listener. */
  subscribe(listener: (change: Change | Snapshot) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async *iterate(): AsyncGenerator<Change | Snapshot, void, undefined> {
    let changes: (Change | Snapshot)[] = this.#closed ? [] : [SNAPSHOT];
    let wake = () => {};
    const unsubscribe = this.subscribe((change) => {
      if (changes.length < ROOM_CHANGES_MAX) changes.push(change);
      else changes = [SNAPSHOT];
      wake();
    });
    const closing = () => wake();
    this.#closings.add(closing);
    try {
      while (!this.#closed || changes.length > 0) {
        const change = changes.shift();
        if (change !== undefined) yield change;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      unsubscribe();
      this.#closings.delete(closing);
    }
  }

  /** Ends the iterators once they have yielded what waits. */
  close(): void {
    this.#closed = true;
    for (const closing of this.#closings) closing();
  }
}
