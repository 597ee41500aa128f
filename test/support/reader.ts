/**
 * A reader of one room's deltas that does what docs/design.md#what-is-published says, and no more: it drops a message
 * whose position it has, counts one that leaves a gap, and applies the rest. It knows only the orders in these deltas.
 */
import * as assert from "uvu/assert";

interface ReceiptContent {
  readonly [event: string]: {
    readonly [type: string]: { readonly [user: string]: { readonly order: number; readonly thread_id?: string } };
  };
}

interface Message {
  readonly position: number;
  readonly previous: number;
  readonly user_id?: string;
  readonly events?: readonly { readonly event_id: string; readonly unsigned: { readonly order: number } }[];
  readonly event?: { readonly content: ReceiptContent };
  readonly erased?: Readonly<Record<string, readonly string[]>>;
  readonly fully_read?: { readonly event_id: string; readonly order: number };
}

interface Known {
  readonly user: string;
  readonly type: string;
  readonly thread: string | null;
  readonly event: string;
  readonly order: number;
  /** The message's. */
  readonly position: number;
}

export class DeltaReader {
  /** By event id. */
  readonly orders = new Map<string, number>();
  /** How many messages had a `previous` after the last position. */
  gaps = 0;
  /**
   * How many messages had a `previous` before the last position, as after a change of owner. There, a reader would not
   * notice that it missed a message.
   */
  overlaps = 0;
  readonly #markers = new Map<string, Known>();
  readonly #positions = new Map<string, number>();

  receive(subject: string, payload: unknown): void {
    const message = payload as Message;
    if (subject.startsWith("tidemark.rejected.")) return;
    if (subject.startsWith("tidemark.client.")) {
      const had = this.#positions.get(subject) ?? 0;
      if (message.position <= had) return;
      if (message.previous > had) this.gaps++;
      if (message.previous < had) this.overlaps++;
      this.#positions.set(subject, message.position);
    }
    for (const { event_id, unsigned } of message.events ?? []) this.orders.set(event_id, unsigned.order);
    const { position } = message;
    for (const [key, { user }] of this.#markers) if (message.erased?.[user]) this.#markers.delete(key);
    if (message.event !== undefined) this.#receipts(message.event.content, position);
    if (message.fully_read !== undefined) {
      const { event_id: event, order } = message.fully_read;
      this.#learn({ user: message.user_id!, type: "m.fully_read", thread: null, event, order, position });
    }
  }

  /** Sorted lines, without the threaded markers that an unthreaded one of the same user and type covers (MSC4102). */
  markers(): string[] {
    const all = [...this.#markers.values()];
    return all
      .filter(({ user, type, thread, order }) => {
        if (thread === null) return true;
        const whole = all.find((other) => other.user === user && other.type === type && other.thread === null);
        return whole === undefined || order > whole.order;
      })
      .map(({ user, type, thread, event, order }) => JSON.stringify([user, type, thread, event, order]))
      .sort();
  }

  #receipts(content: ReceiptContent, position: number): void {
    for (const [event, types] of Object.entries(content)) {
      // A marker is never published before its event.
      assert.ok(this.orders.has(event), `the order of ${event} is not known yet`);
      for (const [type, users] of Object.entries(types)) {
        for (const [user, { order, thread_id: thread = null }] of Object.entries(users)) {
          this.#learn({ user, type, thread, event, order, position });
        }
      }
    }
  }

  /**
   * Markers on events with negative orders all have order 0. Of those, the last one received counts. `m.fully_read` may move back: the
   * one of the greater position counts.
   */
  #learn(marker: Known): void {
    const key = JSON.stringify([marker.user, marker.type, marker.thread]);
    const known = this.#markers.get(key);
    const by = marker.type === "m.fully_read" ? "position" : "order";
    if (known === undefined || marker[by] >= known[by]) this.#markers.set(key, marker);
  }
}
