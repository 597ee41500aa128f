/**
 * Local users' receipts on their way to other servers (docs/design.md#what-is-published), gathered while entries are folded and taken out by
 * whoever publishes.
 *
 * There are two lanes. What may wait goes out when the window is over; what may not, at once. Of one (room, user, thread)
 * only the last receipt is kept, in the lanes that its destinations call for. In rooms of fewer than `FEDERATION_SMALL_ROOM_SERVERS` servers
 *
 * - a receipt on a young event goes to all at once;
 * - one on an older event goes to the server of the event's sender at once, and waits for the others.
 *
 * Never here: private receipts, other servers' receipts, and receipts of unknown thread: the homeserver that
 * pushed them has sent them to others itself.
 */
import { FEDERATION_SMALL_ROOM_SERVERS, FEDERATION_YOUNG_EVENT_MS } from "../../src/limits.ts";
import { type ServerName, serverOf } from "../../src/matrix/ids.ts";
import type { FederatedReceipt } from "../../src/matrix/receipt-edu.ts";
import { isFederated } from "../../src/matrix/receipt-types.ts";
import { type Order, type Position, type ReceiptEntry, UNKNOWN_THREAD } from "../entry.ts";
import type { FoldedEntry } from "../room/fold.ts";
import type { Marker } from "../room/markers.ts";
import type { Room } from "../room/room.ts";
import { DestinationsOfRooms } from "./destinations.ts";
import { Lane } from "./lane.ts";

export class FederationOutbox {
  readonly #destinations: DestinationsOfRooms;
  readonly #ages = new EventAges();
  /** What doesn't wait, and what does. */
  readonly urgent = new Lane();
  readonly waiting = new Lane();

  /** `own`: servers whose users are local. */
  constructor(own: Iterable<ServerName>) {
    this.#destinations = new DestinationsOfRooms(own);
  }

  /** The oldest change that waits in either lane; undefined when none does. */
  oldest(): Position | undefined {
    const { urgent, waiting } = this;
    return urgent.since === undefined ? waiting.since : Math.min(urgent.since, waiting.since ?? urgent.since);
  }

  /** Called once per entry, in log order. With `published` its receipt is in the stream already. */
  add(room: Room, { position, at, entry, outcome }: FoldedEntry, published: boolean): void {
    this.#ages.mark(position, at);
    this.#destinations.update(room, entry);
    if (published) return;
    if (outcome.outcome === "advanced") {
      this.#moved(room, position, entry as ReceiptEntry, outcome.marker);
    } else if (outcome.outcome === "ordered") {
      for (const { held, judgement } of outcome.settled) {
        if (judgement.outcome === "released") this.#moved(room, position, held.receipt, judgement.marker);
      }
    }
  }

  #moved(room: Room, position: Position, [, user, type, , named, , origin]: ReceiptEntry, marker: Marker): void {
    if (!isFederated(type) || origin !== null || named === UNKNOWN_THREAD) return;
    if (this.#destinations.of(room).servers.size === 0 || !this.#destinations.isOwn(user)) return;
    const destinations = this.#destinations.of(room);
    if (destinations.servers.size === 0) return; // the user has shown which server is ours

    const { thread, event, ts } = marker;
    const receipt: FederatedReceipt = { room: room.id, user, thread, event, ts };
    // The lanes are taken in any order: an older receipt left in one could go out after this one in the other (I24).
    this.urgent.drop(receipt);
    this.waiting.drop(receipt);
    const small = destinations.count < FEDERATION_SMALL_ROOM_SERVERS;
    if (small && this.#ages.isYoung(marker.order)) {
      this.urgent.add(destinations, position, { receipt });
      return;
    }
    const info = small ? room.events.get(event) : undefined;
    const sender = info === undefined ? undefined : serverOf(info.sender);
    if (sender === undefined || !destinations.servers.has(sender)) {
      this.waiting.add(destinations, position, { receipt });
    } else {
      this.urgent.add(destinations, position, { receipt, only: sender });
      this.waiting.add(destinations, position, { receipt, except: sender });
    }
  }
}

const MARK_MS = 1_000;

/** Tells how long ago a live event came: a mark for every second of the log, as far back as it matters. */
class EventAges {
  readonly #marks: { readonly position: Position; readonly at: number }[] = [];

  mark(position: Position, at: number): void {
    const newest = this.#marks.at(-1);
    if (newest !== undefined && at < newest.at + MARK_MS) return;
    this.#marks.push({ position, at });
    while (this.#marks[0]!.at <= at - FEDERATION_YOUNG_EVENT_MS) this.#marks.shift();
  }

  isYoung(order: Order): boolean {
    const oldest = this.#marks[0];
    return oldest !== undefined && order >= oldest.position;
  }
}
