/**
 * Notices receipts that were set past the proxy, by users who also come through it. A homeserver pushes them without their thread.
 *
 *     pushed ──by a user who comes through──▶ waits for a moment ──▶ has Tidemark its thread now? ──yes─────────────▶ nothing to do
 *                                                                                               ──no, or no answer──▶ `onFound`
 *
 * - The wait is for those that did come through: a homeserver may push them before Tidemark is told of them. And it gathers: whatever a user
 *   reads meanwhile is asked about once.
 * - One that a marker of known thread covers is left alone: it says nothing new about what is read.
 * - Pushes that come to another process are not seen here.
 */
import { eachAtOnce } from "../at-once.ts";
import type { PushedReceipt, PushedReceipts } from "../homeserver/transaction.ts";
import { ENTRIES_PER_RECORD_MAX, PROXY_PUSHED_RECEIPT_MS, PROXY_PUSHED_RECEIPTS_MAX } from "../limits.ts";
import type { RoomId, UserId } from "../matrix/ids.ts";

interface UnknownThreadsOptions {
  /** Whether this user comes through the proxy. */
  readonly isFollowed: (user: UserId) => boolean;
  /** Returns those whose thread Tidemark doesn't know; all, when nobody answers. Never rejects. */
  readonly withoutThread: (room: RoomId, receipts: readonly PushedReceipt[]) => Promise<readonly PushedReceipt[]>;
  /** Called with each user whose markers should be read. */
  readonly onFound: (user: UserId) => void;
  /** Default: `PROXY_PUSHED_RECEIPT_MS`. */
  readonly afterMs?: number;
}

const ROOMS_AT_ONCE = 8;

export class UnknownThreads {
  readonly #options: UnknownThreadsOptions;
  #waiting = new Map<RoomId, PushedReceipt[]>();
  #count = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: UnknownThreadsOptions) {
    this.#options = options;
  }

  /** Receipts were pushed that Tidemark didn't have. */
  pushed(rooms: PushedReceipts): void {
    const { isFollowed, onFound, afterMs = PROXY_PUSHED_RECEIPT_MS } = this.#options;
    for (const [room, receipts] of rooms) {
      for (const receipt of receipts) {
        if (receipt.thread_known !== false || !isFollowed(receipt.user_id)) continue;
        if (this.#count >= PROXY_PUSHED_RECEIPTS_MAX) onFound(receipt.user_id);
        else this.#wait(room, receipt);
      }
    }
    if (this.#count > 0) this.#timer ??= setTimeout(() => void this.#check(), afterMs).unref();
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #wait(room: RoomId, receipt: PushedReceipt): void {
    const receipts = this.#waiting.get(room);
    if (receipts === undefined) this.#waiting.set(room, [receipt]);
    else receipts.push(receipt);
    this.#count++;
  }

  async #check(): Promise<void> {
    const { withoutThread, onFound } = this.#options;
    const waiting = this.#waiting;
    this.#waiting = new Map();
    this.#count = 0;
    this.#timer = undefined;
    const users = new Set<UserId>();
    await eachAtOnce(waiting, ROOMS_AT_ONCE, async ([room, receipts]) => {
      for (let from = 0; from < receipts.length; from += ENTRIES_PER_RECORD_MAX) {
        const unknown = await withoutThread(room, receipts.slice(from, from + ENTRIES_PER_RECORD_MAX));
        for (const { user_id: user } of unknown) users.add(user);
      }
    });
    for (const user of users) onFound(user);
  }
}
