/**
 * Receipts of local users for other servers (docs/design.md#what-is-published), collected while entries are folded, until
 * `src/worker/federation-publisher.ts` takes them.
 *
 * There are two lanes: `waiting` is taken at the end of a window, `urgent` at once. Only the last receipt of a (room, user,
 * thread) stays, in the lanes that its destinations need, so that the lanes may be taken in any order. In rooms of fewer than
 * `FEDERATION_SMALL_ROOM_SERVERS` servers
 *
 * - a receipt on a young event is urgent for all servers;
 * - a receipt on an older event is urgent for the server of the event's sender, and waits for the others.
 *
 * Each receipt of a user in a room needs an EDU of its own. So no more than `FEDERATION_EDUS_MAX` of a (room, user) go in a
 * window, over both lanes, those that have waited longest first; the rest waits for the next window.
 *
 * Private receipts, receipts of other servers and receipts of unknown thread are ignored: the homeserver that pushed the latter
 * has sent them to other servers itself.
 */
import { FEDERATION_EDUS_MAX, FEDERATION_SMALL_ROOM_SERVERS, FEDERATION_YOUNG_EVENT_MS } from "../../src/limits.ts";
import { type ServerName, serverOf } from "../../src/matrix/ids.ts";
import { type FederatedReceipt, placeOf } from "../../src/matrix/receipt-edu.ts";
import { isFederated } from "../../src/matrix/receipt-types.ts";
import { type Position, type ReceiptEntry, UNKNOWN_THREAD } from "../entry.ts";
import type { Marker } from "../room/marker.ts";
import type { FoldedEntry } from "../room/outcome.ts";
import type { Room } from "../room/room.ts";
import { DestinationsOfRooms } from "./destinations.ts";
import { Lane, type Taken } from "./lane.ts";

export interface Folding {
  /** Whether the entry's receipt is in the stream already. */
  readonly published: boolean;
  /** When the entry was folded, ms on this process's own clock. undefined when it may have been in the log for long. */
  readonly foldedAt: number | undefined;
}

export class FederationOutbox {
  readonly #destinations: DestinationsOfRooms;
  readonly #ages = new EventAges();
  readonly #urgent = new Lane();
  readonly #waiting = new Lane();
  /** How many receipts of each (room, user) have gone in this window. */
  readonly #gone = new Map<string, number>();
  /** Whether the last take of what waits was cut, so that the next one is of the same window. */
  #isWindowCut = false;

  /** `own`: the servers whose users are local. */
  constructor(own: Iterable<ServerName>) {
    this.#destinations = new DestinationsOfRooms(own);
  }

  /** The oldest change in either lane; undefined when there is none to wait for. */
  oldest(): Position | undefined {
    const oldest = Math.min(this.#urgent.since, this.#waiting.since);
    return Number.isFinite(oldest) ? oldest : undefined;
  }

  /** Receipts in both lanes. One may be in both. */
  get size(): number {
    return this.#urgent.size + this.#waiting.size;
  }

  get isEmpty(): boolean {
    return this.#urgent.isEmpty && this.#waiting.isEmpty;
  }

  /** Whether there is something to publish at once. */
  get isUrgent(): boolean {
    return !this.#urgent.isEmpty;
  }

  /** Whether a window has to end: something waits for it, or has gone in it. */
  get hasWindow(): boolean {
    return !this.#waiting.isEmpty || this.#gone.size > 0;
  }

  /** Takes from a lane what may go now. What is urgent and may not, waits. Taking what waits begins a window. */
  take(lane: "urgent" | "waiting"): Taken {
    if (lane === "waiting") {
      if (!this.#isWindowCut) this.#gone.clear();
      const taken = this.#waiting.take(this.#goes);
      this.#isWindowCut = taken.isCut;
      return taken;
    }
    const taken = this.#urgent.take(this.#goes);
    if (!taken.isCut)
      for (const [destinations, rest] of this.#urgent.clear()) this.#waiting.addRest(destinations, rest);
    return taken;
  }

  /** Stops waiting for what takes have left behind: `oldest` passes over it. It is still sent. */
  releaseBacklog(): void {
    this.#waiting.release();
  }

  /** Called once per entry, in log order. */
  add(room: Room, { position, entry, outcome }: FoldedEntry, { published, foldedAt }: Folding): void {
    if (foldedAt !== undefined) this.#ages.mark(position, foldedAt);
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
    if (this.#destinations.of(room).isEmpty || !this.#destinations.isOwn(user)) return;
    const destinations = this.#destinations.of(room);
    if (destinations.isEmpty) return; // the user has shown which server is ours

    const { thread, event, ts } = marker;
    const receipt: FederatedReceipt = { room: room.id, user, thread, event, ts };
    const mayHurry = destinations.count < FEDERATION_SMALL_ROOM_SERVERS && this.#isLeft(receipt);
    const info = mayHurry ? room.events.get(event) : undefined;
    // History arrives late: its orders are up to the base.
    const isYoung = info !== undefined && info.order > room.base && this.#ages.isYoung(info.position);
    const sender = info === undefined ? undefined : serverOf(info.sender);
    // An older receipt that stayed in one lane could go out after this one in the other (I24).
    if (isYoung) {
      this.#urgent.add(destinations, { receipt, position });
      this.#waiting.drop(receipt);
    } else if (sender !== undefined && destinations.has(sender)) {
      this.#urgent.add(destinations, { receipt, position, only: sender });
      this.#waiting.add(destinations, { receipt, position, except: sender });
    } else {
      this.#urgent.drop(receipt);
      this.#waiting.add(destinations, { receipt, position });
    }
  }

  #isLeft(receipt: FederatedReceipt): boolean {
    return (this.#gone.get(placeOf(receipt)) ?? 0) < FEDERATION_EDUS_MAX;
  }

  /** Whether a receipt may go in this window. If so, it counts. */
  readonly #goes = (receipt: FederatedReceipt): boolean => {
    const place = placeOf(receipt);
    const gone = this.#gone.get(place) ?? 0;
    if (gone >= FEDERATION_EDUS_MAX) return false;
    this.#gone.set(place, gone + 1);
    return true;
  };
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
