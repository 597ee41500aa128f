/**
 * Leaves out receipts that Tidemark has already, so that the log grows by one entry a receipt: one that a client has sent through
 * the proxy is pushed as well, and a proxy that was started again reads all markers of its users.
 *
 * The owner of the room is asked. One that is on its way to the log is new to it, and is then stored twice: the second is `stale`.
 * When nobody answers, all are new, and for a moment nobody is asked.
 */
import type { Bus } from "../bus/client/connection.ts";
import { ask } from "../bus/client/request.ts";
import type { Asked } from "../bus/contract/questions.ts";
import { TOLD_ANSWER_MS, TOLD_RETRY_MS } from "../limits.ts";
import type { RoomId } from "../matrix/ids.ts";
import { within } from "../within.ts";

type AskedReceipt = Asked<"told">["receipts"][number];

/** Returns of each receipt whether it would add nothing. */
type AskTold = (room: RoomId, receipts: AskedReceipt[]) => Promise<readonly boolean[]>;

export class NewReceipts {
  readonly #ask: AskTold;
  #askAgainAt = Number.NEGATIVE_INFINITY;

  constructor(ask: AskTold) {
    this.#ask = ask;
  }

  /** `inferred: false`: what Tidemark has without its thread is new. */
  static over(nc: Bus, options: Pick<Asked<"told">, "inferred"> = {}): NewReceipts {
    return new NewReceipts(async (room, receipts) => (await ask(nc, room, { op: "told", receipts, ...options })).told);
  }

  /** Never rejects. At most as many as a request may have. */
  async of<Receipt extends AskedReceipt>(room: RoomId, receipts: readonly Receipt[]): Promise<readonly Receipt[]> {
    if (performance.now() < this.#askAgainAt) return receipts;
    try {
      const told = await within(TOLD_ANSWER_MS, this.#ask(room, receipts.map(askedReceipt)));
      return receipts.filter((_, i) => told[i] !== true);
    } catch {
      this.#askAgainAt = performance.now() + TOLD_RETRY_MS;
      return receipts;
    }
  }
}

function askedReceipt(receipt: AskedReceipt): AskedReceipt {
  const { user_id, receipt_type, event_id, thread_id, thread_known, accepted, remote } = receipt;
  return { user_id, receipt_type, event_id, thread_id, thread_known, accepted, remote };
}
