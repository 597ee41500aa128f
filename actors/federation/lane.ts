/**
 * One lane of the federation outbox: receipts by room, each for all servers of the room or for some. Of one (room, user,
 * thread) only the last receipt stays, in the place of the one that it replaces: so a thread that is read all the time can't
 * push others back, nor itself.
 */
import type { RoomId, ServerName } from "../../src/matrix/ids.ts";
import { type FederatedReceipt, receiptKey } from "../../src/matrix/receipt-edu.ts";
import type { Position } from "../entry.ts";
import type { Destinations } from "./destinations.ts";

/** Steps of one take: one for each receipt that goes, and one for each server of its room. Beyond, receipts stay for another. */
export const TAKE_STEPS_MAX = 65_536;

/** Receipts that go to the same servers, so that they have to be encoded once. */
export interface FederationBatch {
  readonly destinations: readonly ServerName[];
  readonly receipts: readonly FederatedReceipt[];
}

/** What was taken out of a lane. */
export interface Dispatch {
  /** Its oldest change. */
  readonly since: Position;
  readonly batches: readonly FederationBatch[];
}

export interface Taken {
  /** undefined when nothing may go. */
  readonly dispatch: Dispatch | undefined;
  /** Whether receipts were left only because there were so many: take again. */
  readonly isCut: boolean;
}

/** A receipt, for all servers of its room unless it says otherwise. */
export interface AddressedReceipt {
  readonly receipt: FederatedReceipt;
  /** The entry that moved the marker; infinite when the receipt no longer counts in `since`. */
  readonly position: Position;
  /** The only server that gets it. */
  readonly only?: ServerName;
  /** The server that gets it through the other lane. */
  readonly except?: ServerName;
}

interface RoomReceipts {
  readonly destinations: Destinations;
  /** By `receiptKey`. */
  readonly receipts: Map<string, AddressedReceipt>;
}

export class Lane {
  readonly #rooms = new Map<RoomId, RoomReceipts>();
  #since = Number.POSITIVE_INFINITY;
  /** Through which position receipts had been added at all, and when the lane was last taken from. */
  #newest: Position = 0;
  #newestLeft: Position = 0;

  /** Its oldest change, or an older one that was replaced since; infinite when nothing is held for. */
  get since(): Position {
    return this.#since;
  }

  get size(): number {
    let size = 0;
    for (const { receipts } of this.#rooms.values()) size += receipts.size;
    return size;
  }

  get isEmpty(): boolean {
    return this.#rooms.size === 0;
  }

  has(receipt: FederatedReceipt): boolean {
    return this.#rooms.get(receipt.room)?.receipts.has(receiptKey(receipt)) ?? false;
  }

  add(destinations: Destinations, addressed: AddressedReceipt): void {
    const { receipt, position } = addressed;
    this.#since = Math.min(this.#since, position); // rooms of one fetch are folded one after the other
    if (position !== Number.POSITIVE_INFINITY) this.#newest = Math.max(this.#newest, position);
    const receipts = this.#rooms.get(receipt.room)?.receipts ?? new Map<string, AddressedReceipt>();
    receipts.set(receiptKey(receipt), addressed);
    this.#rooms.set(receipt.room, { destinations, receipts });
  }

  /** Adds what the other lane leaves. The two parts of one receipt become the whole again. */
  addRest(destinations: Destinations, rest: AddressedReceipt): void {
    const { receipt, position } = rest;
    const isOther = this.has(receipt) && rest.only !== undefined;
    this.add(destinations, isOther ? { receipt, position } : rest);
  }

  /** Removes the receipt that a newer one replaces. */
  drop(receipt: FederatedReceipt): void {
    const receipts = this.#rooms.get(receipt.room)?.receipts;
    if (!receipts?.delete(receiptKey(receipt)) || receipts.size > 0) return;
    this.#rooms.delete(receipt.room);
    if (this.isEmpty) this.#since = Number.POSITIVE_INFINITY;
  }

  /** What takes have left behind no longer counts in `since`: it will be sent, but nobody waits for it. */
  release(): void {
    this.#since = Number.POSITIVE_INFINITY;
    for (const { receipts } of this.#rooms.values()) {
      for (const [key, addressed] of receipts) {
        const position = addressed.position <= this.#newestLeft ? Number.POSITIVE_INFINITY : addressed.position;
        receipts.set(key, { ...addressed, position });
        this.#since = Math.min(this.#since, position);
      }
    }
  }

  /** Removes what may go, and returns it. The rest stays, in its order. */
  take(mayGo: (receipt: FederatedReceipt) => boolean): Taken {
    const going: RoomReceipts[] = [];
    let steps = 0;
    let since = Number.POSITIVE_INFINITY;
    let sinceRest = Number.POSITIVE_INFINITY;
    let isCut = false;
    for (const [room, { destinations, receipts }] of this.#rooms) {
      const taken = new Map<string, AddressedReceipt>();
      for (const [key, addressed] of receipts) {
        isCut ||= steps >= TAKE_STEPS_MAX;
        if (isCut || !mayGo(addressed.receipt)) {
          sinceRest = Math.min(sinceRest, addressed.position);
          continue;
        }
        steps += taken.size === 0 ? 1 + destinations.count : 1;
        receipts.delete(key);
        taken.set(key, addressed);
        since = Math.min(since, addressed.position);
      }
      if (receipts.size === 0) this.#rooms.delete(room);
      if (taken.size > 0) going.push({ destinations, receipts: taken });
    }
    this.#since = sinceRest;
    this.#newestLeft = this.#newest;
    return { dispatch: going.length === 0 ? undefined : { since, batches: batchesOf(going) }, isCut };
  }

  /** Removes everything, and returns it as it was added. */
  clear(): (readonly [Destinations, AddressedReceipt])[] {
    const all = [...this.#rooms.values()].flatMap(({ destinations, receipts }) =>
      Array.from(receipts.values(), (addressed) => [destinations, addressed] as const),
    );
    this.#rooms.clear();
    this.#since = Number.POSITIVE_INFINITY;
    return all;
  }
}

function batchesOf(rooms: readonly RoomReceipts[]): FederationBatch[] {
  // A part is what one server gets of one room. Most servers of a room get all of it, and share a part.
  const partsOf = new Map<ServerName, string[]>();
  const receiptsOf = new Map<string, readonly FederatedReceipt[]>();
  rooms.forEach(({ destinations, receipts }, i) => {
    const all = [...receipts.values()];
    const named = new Set(all.flatMap(({ only, except }) => [only, except]));
    for (const server of destinations) {
      const part = named.has(server) ? `${i}@${server}` : `${i}`;
      if (!receiptsOf.has(part)) {
        const its = all.filter(({ only, except }) => (only === undefined || only === server) && except !== server);
        receiptsOf.set(
          part,
          its.map(({ receipt }) => receipt),
        );
      }
      const parts = partsOf.get(server);
      if (parts === undefined) partsOf.set(server, [part]);
      else parts.push(part);
    }
  });

  const together = new Map<string, { destinations: ServerName[]; parts: readonly string[] }>();
  for (const [server, parts] of partsOf) {
    const key = parts.join();
    const group = together.get(key);
    if (group === undefined) together.set(key, { destinations: [server], parts });
    else group.destinations.push(server);
  }
  return [...together.values()]
    .map(({ destinations, parts }) => ({ destinations, receipts: parts.flatMap((part) => receiptsOf.get(part)!) }))
    .filter(({ receipts }) => receipts.length > 0);
}
