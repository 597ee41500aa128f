/**
 * Notices markers that were set past the proxy, by users who also come through it. A homeserver pushes their receipts without their
 * thread, if it can, and shows all of their markers in their own `/sync`.
 *
 *     pushed, or shown ──of a user who comes through──▶ waits for a moment ──▶ does Tidemark have it now? ──yes─────────────▶ nothing to do
 *                                                                                                    ──no, or no answer──▶ `onMissed`
 *
 * - The wait is for those that did come through: a homeserver may push or show them before Tidemark is told of them. And it gathers:
 *   whatever a user reads meanwhile is asked about once.
 * - A receipt that a marker of known thread covers is left alone: it says nothing new about what is read.
 * - Pushes that come to another process are not seen here.
 */
import { eachAtOnce } from "../at-once.ts";
import type { PushedReceipt, PushedReceipts } from "../homeserver/transaction.ts";
import { ENTRIES_PER_RECORD_MAX, PROXY_MISSED_MARKER_MS, PROXY_MISSED_MARKERS_MAX } from "../limits.ts";
import { isEventId, isRoomId, MAIN } from "../matrix/id-grammar.ts";
import type { EventId, RoomId, ThreadId, UserId } from "../matrix/ids.ts";
import { FULLY_READ } from "../matrix/receipt-types.ts";
import type { ShownMarker } from "./shown-markers.ts";

interface MissedMarkersOptions {
  /** Whether this user comes through the proxy. */
  readonly isFollowed: (user: UserId) => boolean;
  /** Called with each user whose markers should be read. */
  readonly onMissed: (user: UserId) => void;
  /** Default: `PROXY_MISSED_MARKER_MS`. */
  readonly afterMs?: number;
}

/** Returns those that Tidemark doesn't have, receipts with their thread; all, when nobody answers. Never rejects. */
type MissingOf = (room: RoomId, markers: readonly PushedReceipt[]) => Promise<readonly PushedReceipt[]>;

const ROOMS_AT_ONCE = 8;

export class MissedMarkers {
  readonly #options: MissedMarkersOptions;
  #missingOf: MissingOf | undefined;
  #waiting = new Map<RoomId, Map<string, PushedReceipt>>();
  #count = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: MissedMarkersOptions) {
    this.#options = options;
  }

  /** Tidemark can be asked from now on. Before, nothing is missed: the markers of all users are still to be read. */
  connect(missingOf: MissingOf): void {
    this.#missingOf = missingOf;
  }

  /** Receipts were pushed that Tidemark didn't have. */
  pushed(rooms: PushedReceipts): void {
    for (const [room, receipts] of rooms) {
      for (const receipt of receipts) if (receipt.thread_known === false) this.#add(room, receipt);
    }
  }

  /** The homeserver has shown a user's own markers. */
  shown(user: UserId, markers: readonly ShownMarker[]): void {
    for (const { room, eventId, type, thread } of markers) {
      if (!isRoomId(room) || !isEventId(eventId) || !(thread === undefined || isThread(thread))) continue;
      this.#add(room as RoomId, {
        user_id: user,
        receipt_type: type,
        event_id: eventId as EventId,
        ...(thread !== undefined && { thread_id: thread as ThreadId }),
        accepted: true,
      });
    }
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #add(room: RoomId, marker: PushedReceipt): void {
    const { isFollowed, onMissed, afterMs = PROXY_MISSED_MARKER_MS } = this.#options;
    const { user_id: user, receipt_type: type, event_id: event, thread_id: thread = "" } = marker;
    if (this.#missingOf === undefined || !isFollowed(user)) return;
    const waiting = this.#waiting.get(room) ?? new Map<string, PushedReceipt>();
    // Of a user's fully-read markers in a room the last one stands.
    const key = type === FULLY_READ ? user : `${user} ${type} ${thread} ${event}`;
    if (!waiting.has(key)) {
      if (this.#count >= PROXY_MISSED_MARKERS_MAX) {
        onMissed(user);
        return;
      }
      this.#count++;
    }
    this.#waiting.set(room, waiting.set(key, marker));
    this.#timer ??= setTimeout(() => void this.#check(this.#missingOf!), afterMs).unref();
  }

  async #check(missingOf: MissingOf): Promise<void> {
    const waiting = this.#waiting;
    this.#waiting = new Map();
    this.#count = 0;
    this.#timer = undefined;
    const users = new Set<UserId>();
    await eachAtOnce(waiting, ROOMS_AT_ONCE, async ([room, byKey]) => {
      const markers = [...byKey.values()];
      for (let from = 0; from < markers.length; from += ENTRIES_PER_RECORD_MAX) {
        const missing = await missingOf(room, markers.slice(from, from + ENTRIES_PER_RECORD_MAX));
        for (const { user_id: user } of missing) users.add(user);
      }
    });
    for (const user of users) this.#options.onMissed(user);
  }
}

function isThread(text: string): boolean {
  return text === MAIN || isEventId(text);
}
