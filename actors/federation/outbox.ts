/**
 * Receipts of local users for other servers (docs/design.md#what-is-published), collected while entries are folded, until
 * `src/worker/federation-publisher.ts` takes them.
 *
 * There are two lanes: `waiting` is published at the end of a window, `urgent` at once. Only the last receipt of a (room, user,
 * thread) stays, in the lanes that its destinations need. In rooms of fewer than `FEDERATION_SMALL_ROOM_SERVERS` servers
 *
 * - a receipt on a young event is urgent for all servers;
 * - a receipt on an older event is urgent for the server of the event's sender, and waits for the others.
 *
 * Private receipts, receipts of other servers and receipts of unknown thread are ignored: the homeserver that pushed the latter
 * has sent them to other servers itself.
 */
import { FEDERATION_SMALL_ROOM_SERVERS, FEDERATION_YOUNG_EVENT_MS } from "../../src/limits.ts";
import { type ServerName, serverOf } from "../../src/matrix/ids.ts";
import type { FederatedReceipt } from "../../src/matrix/receipt-edu.ts";
import { isFederated } from "../../src/matrix/receipt-types.ts";
import { type Position, type ReceiptEntry, UNKNOWN_THREAD } from "../entry.ts";
import type { FoldedEntry } from "../room/fold.ts";
import type { Marker } from "../room/markers.ts";
import type { Room } from "../room/room.ts";
import { DestinationsOfRooms } from "./destinations.ts";
import { Lane } from "./lane.ts";

export interface Folding {
  /** Whether the entry's receipt is in the stream already. */
  readonly published: boolean;
  /** When the entry was folded, ms on this process's own clock. undefined when it may have been in the log for long. */
  readonly foldedAt: number | undefined;
}

export class FederationOutbox {
  readonly #destinations: DestinationsOfRooms;
  readonly #ages = new EventAges();
  /** Receipts to publish at once, and at the end of the window. */
  readonly urgent = new Lane();
  readonly waiting = new Lane();

  /** `own`: the servers whose users are local. */
  constructor(own: Iterable<ServerName>) {
    this.#destinations = new DestinationsOfRooms(own);
  }

  /** The oldest change in either lane; undefined when both are empty. */
  oldest(): Position | undefined {
    const { urgent, waiting } = this;
    return urgent.since === undefined ? waiting.since : Math.min(urgent.since, waiting.since ?? urgent.since);
  }

  /** Called once per entry, in log order. */
  add(room: Room, { position, entry, outcome }: FoldedEntry, { published, foldedAt }: Folding): void {
    if (foldedAt !== undefined) this.#ages.mark(position, foldedAt);
    this.#destinations.update(room, entry);
    if (published) return;
    if (outcome.outcome === "advanced") {
      this.#moved(room, position, entry as ReceiptEntry, outcome.marker);
    } else if (outcome.outcome === "ordered") {
      for (const { held, judgement } of outcome.judged) {
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
    const info = small ? room.events.get(event) : undefined;
    // History arrives late: its orders are up to the base.
    if (info !== undefined && info.order > room.base && this.#ages.isYoung(info.position)) {
      this.urgent.add(destinations, position, { receipt });
      return;
    }
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

/**
 * Says whether a live event is young: folded here a short time ago. A mark per second, as far back as events are young. The clocks
 * of records are no measure: those of two ingresses may differ by days.
 */
class EventAges {
  readonly #marks: { readonly position: Position; readonly at: number }[] = [];

  mark(position: Position, at: number): void {
    const newest = this.#marks.at(-1);
    if (newest !== undefined && at < newest.at + MARK_MS) return;
    this.#marks.push({ position, at });
    while (this.#marks[0]!.at <= at - FEDERATION_YOUNG_EVENT_MS) this.#marks.shift();
  }

  isYoung(position: Position): boolean {
    const oldest = this.#marks[0];
    return oldest !== undefined && position >= oldest.position;
  }
}
