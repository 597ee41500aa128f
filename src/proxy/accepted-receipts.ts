/**
 * Tells Tidemark of receipts that a homeserver has accepted from a client.
 *
 *     client ──receipt──▶ homeserver ──200──┬──▶ client
 *                                           └──▶ whose is it? ──▶ `tidemark.in.receipt.<room>`   (tried again a few times)
 *
 * - Nobody waits for it: what the client gets is the homeserver's answer, whatever becomes of the receipt here.
 * - The thread is the one that the client named, and the homeserver has judged it: `accepted` (F6). `m.fully_read` is told
 *   without that, because a homeserver may keep a newer marker and answer 200 all the same: it only moves forward (F7).
 * - What waits is bounded. A receipt that could not be told is counted.
 */
import { setMaxListeners } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { TidemarkError } from "../errors.ts";
import { PROXY_RECEIPT_ATTEMPTS_MAX, PROXY_RECEIPT_RETRY_MS, PROXY_RECEIPTS_WAITING_MAX } from "../limits.ts";
import type { RoomId, UserId } from "../matrix/ids.ts";
import { FULLY_READ } from "../matrix/receipt-types.ts";
import type { Asker, Askers } from "./askers.ts";
import type { PostedReceipt } from "./posted-receipts.ts";

export interface ToldReceipt extends PostedReceipt {
  readonly user_id: UserId;
  readonly ts: number;
  readonly accepted?: true;
}

/** Tells ingress. Rejects with a `TidemarkError` that says whether another attempt makes sense. */
export type TellReceipts = (room: RoomId, receipts: readonly ToldReceipt[]) => Promise<unknown>;

/** `told`, `refused` (by ingress, or nobody knows whose it is), or `lost`: too many wait, or every attempt failed. */
export type ReceiptOutcome = "told" | "refused" | "lost";

interface AcceptedReceiptsOptions {
  readonly askers: Pick<Askers, "deviceOf">;
  /** Called with numbers of receipts. `error`: of the last attempt. */
  readonly onDone: (outcome: ReceiptOutcome, receipts: number, error?: unknown) => void;
  /** The first pause between attempts; each further one is twice as long. Default: `PROXY_RECEIPT_RETRY_MS`. */
  readonly retryMs?: number;
}

interface Accepted {
  readonly room: RoomId;
  readonly receipts: readonly PostedReceipt[];
  /** When the homeserver accepted them, Unix time in ms. */
  readonly ts: number;
}

export class AcceptedReceipts {
  readonly #options: AcceptedReceiptsOptions;
  readonly #waiting = new Set<Promise<void>>();
  readonly #closing = new AbortController();
  #tell: TellReceipts | undefined;

  constructor(options: AcceptedReceiptsOptions) {
    this.#options = options;
    setMaxListeners(0, this.#closing.signal); // As many as wait. Node warns of more than ten.
  }

  /** Tidemark can be told from now on. */
  connect(tell: TellReceipts): void {
    this.#tell = tell;
  }

  accept(asker: Asker, room: RoomId, receipts: readonly PostedReceipt[]): void {
    if (this.#waiting.size >= PROXY_RECEIPTS_WAITING_MAX) {
      this.#options.onDone("lost", receipts.length);
      return;
    }
    const told = this.#tellOf(asker, { room, receipts, ts: Date.now() }).finally(() => this.#waiting.delete(told));
    this.#waiting.add(told);
  }

  /** Ends the pauses between attempts. Resolves when nothing waits any more. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#waiting);
  }

  /** Never rejects. */
  async #tellOf(asker: Asker, accepted: Accepted): Promise<void> {
    const { onDone, retryMs = PROXY_RECEIPT_RETRY_MS } = this.#options;
    const { length } = accepted.receipts;
    for (let attempt = 1; ; attempt++) {
      try {
        onDone(await this.#attempt(asker, accepted), length);
        return;
      } catch (error) {
        const isFinal = error instanceof TidemarkError && !error.shouldRetry();
        if (isFinal || attempt === PROXY_RECEIPT_ATTEMPTS_MAX || this.#closing.signal.aborted) {
          onDone(isFinal ? "refused" : "lost", length, error);
          return;
        }
        await delay(retryMs * 2 ** (attempt - 1), undefined, { signal: this.#closing.signal }).catch(() => {});
      }
    }
  }

  async #attempt(asker: Asker, { room, receipts, ts }: Accepted): Promise<"told" | "refused"> {
    const device = await this.#options.askers.deviceOf(asker);
    if (device === undefined) return "refused";
    if (this.#tell === undefined) throw new TidemarkError("BUS_UNAVAILABLE", "there is no broker yet");
    const told = receipts.map((receipt) => ({
      ...receipt,
      user_id: device.user,
      ts,
      ...(receipt.receipt_type !== FULLY_READ && { accepted: true as const }),
    }));
    await this.#tell(room, told);
    return "told";
  }
}
