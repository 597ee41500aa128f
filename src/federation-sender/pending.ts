/**
 * What waits to be sent to one server: the last receipt of each (room, user, thread), the longest waiting first.
 *
 * A later receipt takes the place of an earlier one, so a server that was away for a day gets where everybody is, not
 * how they came there. What was handed out stays until it is settled, and what has changed meanwhile stays for the next time.
 */
import { EDUS_PER_TRANSACTION_MAX } from "../limits.ts";
import { type FederatedReceipt, packEdus, type ReceiptEdu, receiptKey, receiptsIn } from "../matrix/receipt-edu.ts";

interface Waiting {
  readonly receipt: FederatedReceipt;
  /** Of the message that brought it. */
  readonly sequence: number;
}

/** Part of what waits: at most `EDUS_PER_TRANSACTION_MAX` EDUs. */
export interface Load {
  readonly edus: readonly ReceiptEdu[];
  readonly waiting: readonly Waiting[];
}

export class PendingReceipts {
  readonly #waiting = new Map<string, Waiting>();

  get size(): number {
    return this.#waiting.size;
  }

  /** Takes in the EDU that the message with this sequence brought. */
  add(edu: ReceiptEdu, sequence: number): void {
    for (const receipt of receiptsIn(edu)) {
      const key = receiptKey(receipt);
      this.#waiting.delete(key); // so that it waits from now on: the oldest come first
      this.#waiting.set(key, { receipt, sequence });
    }
  }

  load(): Load {
    const bySent = new Map<FederatedReceipt, Waiting>();
    for (const waiting of this.#waiting.values()) bySent.set(waiting.receipt, waiting);
    const packed = packEdus(bySent.keys()).slice(0, EDUS_PER_TRANSACTION_MAX);
    return {
      edus: packed.map(({ edu }) => edu),
      waiting: packed.flatMap(({ receipts }) => receipts.map((receipt) => bySent.get(receipt)!)),
    };
  }

  /** Forgets what was sent, unless something later has taken its place. */
  settle({ waiting }: Load): void {
    for (const sent of waiting) {
      const key = receiptKey(sent.receipt);
      if (this.#waiting.get(key) === sent) this.#waiting.delete(key);
    }
  }

  /** The sequence of the oldest message that something still waits of; undefined when nothing does. */
  oldest(): number | undefined {
    for (const { sequence } of this.#waiting.values()) return sequence;
    return undefined;
  }
}
