/**
 * Notices that a homeserver was late with its pushes, from the pushes themselves. A push that failed on its way (a connection that broke
 * off, a stalled network) tells Tidemark nothing. The homeserver repeats its events later, but not its receipts, nor those of
 * the time until it has caught up: they have to be read in another way.
 *
 *     on time ──an event of a local user that is old, or a push with nothing left in it──▶ late
 *        ▲                                                                                  │ no such push for a while:
 *        └────────a young event of a local user───────── told ◀──── `onCaughtUp` ───────────┘
 *
 * Where the clocks of both differ so much that every event looks old, it is told of once: what is not much later than the least late
 * event of that time is as usual.
 */
import { LATE_PUSH_MS, LATE_PUSHES_QUIET_MS } from "../limits.ts";
import type { MatrixEvent } from "../matrix/event.ts";
import { type RoomId, type ServerName, serverOf } from "../matrix/ids.ts";

/** A repeated push of receipts alone has nothing left; the homeserver's keys for empty lists are short. */
const EMPTY_BYTES_MAX = 1_024;

interface LatePushesOptions {
  /** If none is given, all are local. */
  readonly localServers: ReadonlySet<ServerName>;
  /** Called once the homeserver has caught up. */
  readonly onCaughtUp: () => void;
  /** Default: `LATE_PUSHES_QUIET_MS`. */
  readonly quietMs?: number;
}

export class LatePushes {
  readonly #options: LatePushesOptions;
  #state: "on time" | "late" | "told" = "on time";
  #timer: NodeJS.Timeout | undefined;
  /** How late the least late event was since pushes are late, ms. */
  #leastMs = Number.POSITIVE_INFINITY;

  constructor(options: LatePushesOptions) {
    this.#options = options;
  }

  /** A transaction has been stored. `body`: all of it. */
  pushed(rooms: ReadonlyMap<RoomId, { readonly events: readonly MatrixEvent[] }>, body: Buffer): void {
    const { localServers } = this.#options;
    const now = Date.now();
    let isLate = isEmpty(body);
    let isYoung = false;
    for (const { events } of rooms.values()) {
      for (const { sender, origin_server_ts: sentAt } of events) {
        if (localServers.size > 0 && !localServers.has(serverOf(sender))) continue;
        const lateMs = now - sentAt;
        if (lateMs <= LATE_PUSH_MS) isYoung = true;
        else {
          isLate = true;
          if (this.#state === "told" && lateMs > this.#leastMs + LATE_PUSH_MS) this.#state = "on time";
          this.#leastMs = Math.min(this.#leastMs, lateMs);
        }
      }
    }
    if (isLate) this.#late();
    else if (isYoung && this.#state === "told") {
      this.#state = "on time";
      this.#leastMs = Number.POSITIVE_INFINITY;
    }
  }

  #late(): void {
    const { onCaughtUp, quietMs = LATE_PUSHES_QUIET_MS } = this.#options;
    if (this.#state === "told") return;
    this.#state = "late";
    clearTimeout(this.#timer);
    const caughtUp = () => {
      this.#state = "told";
      onCaughtUp();
    };
    this.#timer = setTimeout(caughtUp, quietMs).unref();
  }
}

/** Whether there is nothing in the transaction, of whatever kind, as homeservers write it. */
function isEmpty(body: Buffer): boolean {
  if (body.length > EMPTY_BYTES_MAX) return false;
  let parts: unknown;
  try {
    parts = JSON.parse(body.toString());
  } catch {
    return false; // A byte order mark, for example.
  }
  const isNothing = (part: unknown) => typeof part === "object" && part !== null && Object.keys(part).length === 0;
  return typeof parts === "object" && parts !== null && Object.values(parts).every(isNothing);
}
