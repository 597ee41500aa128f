/**
 * Batches receipts: those of one room that arrive in the same turn of the event loop are sent as one request. An idle
 * gateway adds no delay, and a busy one sends few requests.
 */
import type { Frontend } from "../frontend/frontend.ts";
import type { EventId, RoomId, ThreadId, UserId } from "../matrix/ids.ts";
import type { ReceiptType } from "../matrix/receipt-types.ts";

/** Receipts that a gateway sends in one request. */
export const RECEIPTS_PER_REQUEST_MAX = 256;

interface Receipt {
  readonly user_id: UserId;
  readonly receipt_type: ReceiptType;
  readonly event_id: EventId;
  readonly thread_id?: ThreadId;
}

interface Batch {
  readonly receipts: Receipt[];
  readonly sent: Promise<unknown>;
}

export class ReceiptBatches {
  readonly #frontend: Frontend;
  readonly #open = new Map<RoomId, Batch>();
  /** Senders of the batches, called at the end of this turn. */
  #due: (() => void)[] = [];

  constructor(frontend: Frontend) {
    this.#frontend = frontend;
  }

  /** Resolves once the receipts are in the log. If the request fails, it fails for every receipt of the batch. */
  async send(room: RoomId, receipts: readonly Receipt[]): Promise<void> {
    let batch = this.#open.get(room);
    if (batch === undefined || batch.receipts.length + receipts.length > RECEIPTS_PER_REQUEST_MAX) {
      batch = this.#begin(room);
    }
    batch.receipts.push(...receipts);
    await batch.sent;
  }

  #begin(room: RoomId): Batch {
    const receipts: Receipt[] = [];
    const sent = new Promise((resolve) => {
      this.#due.push(() => resolve(this.#frontend.send("receipt", room, receipts)));
    });
    if (this.#due.length === 1) setImmediate(() => this.#sendAll());
    const batch = { receipts, sent };
    this.#open.set(room, batch);
    return batch;
  }

  #sendAll(): void {
    const due = this.#due;
    this.#due = [];
    this.#open.clear();
    for (const send of due) send();
  }
}
