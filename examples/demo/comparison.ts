/**
 * Compares the markers and orders of two sources.
 *
 * A snapshot's content has one receipt per user, type and event. If an unthreaded and a threaded receipt are at the same
 * event, the snapshot shows the unthreaded one, which covers the other (MSC4102). The threaded marker then counts as
 * `covered`: the snapshot means the same without it.
 */
import type { Order } from "../../actors/entry.ts";
import type { Marker } from "../../actors/room/marker.ts";
import type { Answer } from "../../src/bus/contract/questions.ts";
import type { EventId, RoomId, UserId } from "../../src/matrix/ids.ts";
import { type ReceiptContent, receiptItems } from "../../src/matrix/receipt.ts";
import { FULLY_READ, READ_PRIVATE } from "../../src/matrix/receipt-types.ts";
import type { Expected } from "./session.ts";
import { inThread, localpart } from "./words.ts";

export interface Placed extends Pick<Marker, "user" | "type" | "thread" | "event"> {
  readonly room: RoomId;
  /** At least 0. Absent in Synapse's markers. */
  readonly order?: number;
}

/** The markers of a snapshot. */
type Shown = Pick<Answer<"snapshot">, "receipts" | "private" | "fully_read">;

/** Markers of many rooms, one per (room, user, type, thread). */
export class Placement {
  readonly #markers = new Map<string, Placed>();
  readonly differences: string[] = [];

  get(room: RoomId, user: UserId, { type, thread }: Pick<Placed, "type" | "thread">): Placed | undefined {
    return this.#markers.get(`${room} ${user} ${type} ${thread ?? ""}`);
  }

  /** Adds a marker. A repeated one must be equal: the snapshots of all users show the same public markers. */
  add(marker: Placed): void {
    const { room, user, type, thread } = marker;
    const same = this.get(room, user, marker);
    if (same === undefined) this.#markers.set(`${room} ${user} ${type} ${thread ?? ""}`, marker);
    else if (same.event !== marker.event) this.differences.push(`${named(marker)}: ${same.event} and ${marker.event}`);
  }

  /** Adds the markers of one user's snapshot. */
  addSnapshot(room: RoomId, user: UserId, { receipts, private: own = {}, fully_read: fullyRead }: Shown): void {
    for (const marker of placedIn(room, receipts)) this.add(marker);
    for (const marker of placedIn(room, own)) {
      if (marker.user !== user || marker.type !== READ_PRIVATE)
        this.differences.push(`${named(marker)}: shown to ${user}`);
      this.add(marker);
    }
    if (fullyRead === undefined) return;
    const { event_id: event, order } = fullyRead;
    this.add({ room, user, type: FULLY_READ, thread: null, event, order });
  }

  [Symbol.iterator](): IterableIterator<Placed> {
    return this.#markers.values();
  }
}

export function placementOf(expected: Expected): Placement {
  const placement = new Placement();
  for (const {
    room_id: room,
    user_id: user,
    receipt_type: type,
    thread_id: thread,
    event_id: event,
  } of expected.receipts)
    placement.add({ room, user, type, thread, event });
  for (const { room_id: room, user_id: user, content } of expected.fully_read)
    placement.add({ room, user, type: FULLY_READ, thread: null, event: content.event_id });
  return placement;
}

function placedIn(room: RoomId, content: ReceiptContent): Placed[] {
  return Array.from(receiptItems(content), ({ event, type, user, data: { order, thread_id: thread = null } }) => {
    return { room, user, type, thread, event, order };
  });
}

export interface MarkerComparison {
  readonly equal: readonly Placed[];
  readonly covered: readonly Placed[];
  readonly differences: readonly string[];
}

/** `names` are the names of the two sources in the differences. */
export function compareMarkers(
  wanted: Placement,
  found: Placement,
  names: readonly [string, string],
): MarkerComparison {
  const equal: Placed[] = [];
  const covered: Placed[] = [];
  const differences = [...found.differences];
  const [ofWanted, ofFound] = names;
  for (const marker of wanted) {
    const { room, user, type, event, order } = marker;
    const other = found.get(room, user, marker);
    if (other?.event === event) {
      equal.push(marker);
      if (order !== undefined && other.order !== order)
        differences.push(`${named(marker)}: order ${order} in ${ofWanted}, ${other.order} in ${ofFound}`);
    } else if (other === undefined && found.get(room, user, { type, thread: null })?.event === event) {
      covered.push(marker);
    } else {
      differences.push(`${named(marker)}: ${event} in ${ofWanted}, ${other?.event ?? "nothing"} in ${ofFound}`);
    }
  }
  for (const marker of found) {
    if (wanted.get(marker.room, marker.user, marker) === undefined)
      differences.push(`${named(marker)}: nothing in ${ofWanted}, ${marker.event} in ${ofFound}`);
  }
  return { equal, covered, differences };
}

export function named({ room, user, type, thread }: Placed): string {
  return `${type} of ${localpart(user)}${inThread(thread)} in ${room}`;
}

export type Orders = ReadonlyMap<EventId, Order | null>;

/** Compares a room's events, oldest first, with the orders that they got. */
export function compareOrder(room: RoomId, wanted: readonly EventId[], orders: Orders): string[] {
  const known = [...orders].filter((entry): entry is [EventId, number] => entry[1] !== null);
  const found = known.sort(([, a], [, b]) => a - b).map(([id]) => id);
  const differences: string[] = [];
  for (let i = 0; i < Math.max(wanted.length, found.length); i++) {
    if (wanted[i] === found[i]) continue;
    differences.push(
      `event ${i + 1} of ${room}: ${wanted[i] ?? "nothing"} in Synapse, ${found[i] ?? "nothing"} in Tidemark`,
    );
  }
  if (new Set(known.map(([, order]) => order)).size < known.length)
    differences.push(`two events of ${room} have one order`);
  return differences;
}
