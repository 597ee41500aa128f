/**
 * One lane of the federation outbox: receipts by room, each for all servers of the room or for some. Of one (room, user,
 * thread) only the last receipt stays.
 */
import type { RoomId, ServerName } from "../../src/matrix/ids.ts";
import { type FederatedReceipt, receiptKey } from "../../src/matrix/receipt-edu.ts";
import type { Position } from "../entry.ts";
import type { Destinations } from "./destinations.ts";

/** Receipts that go to the same servers, so that they have to be encoded once. */
export interface FederationBatch {
  readonly destinations: readonly ServerName[];
  readonly receipts: readonly FederatedReceipt[];
}

/** Everything that was in a lane. */
export interface Dispatch {
  /** Its oldest change. */
  readonly since: Position;
  readonly batches: readonly FederationBatch[];
}

/** A receipt, for all servers of its room unless it says otherwise. */
interface AddressedReceipt {
  readonly receipt: FederatedReceipt;
  /** The only server that gets it. */
  readonly only?: ServerName;
  /** The server that gets it through the other lane. */
  readonly except?: ServerName;
}

interface RoomReceipts {
  destinations: Destinations;
  /** By `receiptKey`. */
  readonly receipts: Map<string, AddressedReceipt>;
}

export class Lane {
  #rooms = new Map<RoomId, RoomReceipts>();
  #since: Position | undefined;

  /** The oldest change in the lane. */
  get since(): Position | undefined {
    return this.#since;
  }

  add(destinations: Destinations, position: Position, addressed: AddressedReceipt): void {
    this.#since = Math.min(this.#since ?? position, position); // rooms of one fetch are folded one after the other
    const { room } = addressed.receipt;
    const known = this.#rooms.get(room);
    if (known === undefined) {
      this.#rooms.set(room, { destinations, receipts: new Map([[receiptKey(addressed.receipt), addressed]]) });
    } else {
      known.destinations = destinations;
      known.receipts.set(receiptKey(addressed.receipt), addressed);
    }
  }

  /** Removes the receipt that this one replaces. */
  drop(receipt: FederatedReceipt): void {
    this.#rooms.get(receipt.room)?.receipts.delete(receiptKey(receipt));
  }

  /** Empties the lane. Returns undefined when nothing was added to it. */
  take(): Dispatch | undefined {
    const since = this.#since;
    if (since === undefined) return undefined;
    const batches = batchesOf([...this.#rooms.values()]);
    this.#rooms = new Map();
    this.#since = undefined;
    return { since, batches };
  }
}

function batchesOf(rooms: readonly RoomReceipts[]): FederationBatch[] {
  // A part is what one server gets of one room. Most servers of a room get all of it, and share a part.
  const partsOf = new Map<ServerName, string[]>();
  const receiptsOf = new Map<string, readonly FederatedReceipt[]>();
  rooms.forEach(({ destinations, receipts }, i) => {
    const all = [...receipts.values()];
    const named = new Set(all.flatMap(({ only, except }) => [only, except]));
    for (const server of destinations.servers) {
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
