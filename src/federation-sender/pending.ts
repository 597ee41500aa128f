/**
 * The receipts that wait to be sent to one server: the last one of each (room, user, thread), longest waiting first.
 *
 * A later receipt replaces an earlier one, so a server that was down for a day gets everybody's current position, not the
 * history. A receipt stays pending until its load is settled; one that was replaced after it was loaded stays pending after that.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { EDUS_PER_TRANSACTION_MAX } from "../limits.ts";
import { EduPacker, type FederatedReceipt, type ReceiptEdu, receiptKey, receiptsIn } from "../matrix/receipt-edu.ts";

/** Receipts that are packed in one turn of the event loop. */
const SLICE_RECEIPTS = 1_024;

interface Waiting {
  readonly receipt: FederatedReceipt;
  /** Stream sequence of its message. */
  readonly sequence: number;
}

/** The content of one transaction: at most `EDUS_PER_TRANSACTION_MAX` EDUs. */
export interface Load {
  readonly edus: readonly ReceiptEdu[];
  readonly waiting: readonly Waiting[];
}

export class PendingReceipts {
  readonly #waiting = new Map<string, Waiting>();

  get size(): number {
    return this.#waiting.size;
  }

  /** Adds the receipts of an EDU. `sequence` is that of its message in the stream. */
  add(edu: ReceiptEdu, sequence: number): void {
    for (const receipt of receiptsIn(edu)) {
      const key = receiptKey(receipt);
      this.#waiting.delete(key); // Moves it to the end: insertion order is waiting order.
      this.#waiting.set(key, { receipt, sequence });
    }
  }

  /** In slices, so that no turn of the event loop is long. What is added or replaced meanwhile stays pending. */
  async load(): Promise<Load> {
    const packer = new EduPacker(EDUS_PER_TRANSACTION_MAX);
    const loaded: Waiting[] = [];
    let packed = 0;
    for (const waiting of [...this.#waiting.values()]) {
      if (packer.isFull) break;
      if (packer.add(waiting.receipt)) loaded.push(waiting);
      if (++packed % SLICE_RECEIPTS === 0) await nextTurn();
    }
    return { edus: packer.packed.map(({ edu }) => edu), waiting: loaded };
  }

  /** Removes the receipts of a load that was sent, except those that were replaced since. */
  settle({ waiting }: Load): void {
    for (const sent of waiting) {
      const key = receiptKey(sent.receipt);
      if (this.#waiting.get(key) === sent) this.#waiting.delete(key);
    }
  }

  /** The smallest sequence among the pending receipts; undefined when there are none. */
  oldest(): number | undefined {
    for (const { sequence } of this.#waiting.values()) return sequence;
    return undefined;
  }
}
