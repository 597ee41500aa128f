/**
 * One lane of the federation outbox: receipts by room, and who gets them. Of one (room, user, thread) the last is kept,
 * whatever came before it.
 */
import type { RoomId, ServerName } from "../../src/matrix/ids.ts";
import { type FederatedReceipt, receiptKey } from "../../src/matrix/receipt-edu.ts";
import type { Position } from "../entry.ts";
import type { Destinations } from "./destinations.ts";

/** Receipts that go to the same servers, later ones of a key in place of earlier ones. */
export interface Consignment {
  readonly destinations: readonly ServerName[];
  readonly receipts: readonly FederatedReceipt[];
}

/** What a lane had. */
export interface Dispatch {
  /** The oldest change in it. */
  readonly since: Position;
  readonly consignments: readonly Consignment[];
}

interface Addressed {
  readonly receipt: FederatedReceipt;
  /** Only this server gets it; undefined: all. */
  readonly only?: ServerName;
  /** This server doesn't; it got it at once. */
  readonly except?: ServerName;
}

interface RoomMail {
  destinations: Destinations;
  readonly items: Map<string, Addressed>;
}

export class Lane {
  #rooms = new Map<RoomId, RoomMail>();
  #since: Position | undefined;

  get since(): Position | undefined {
    return this.#since;
  }

  add(destinations: Destinations, position: Position, item: Addressed): void {
    this.#since = Math.min(this.#since ?? position, position); // rooms of one fetch are folded one after the other
    const { room } = item.receipt;
    const mail = this.#rooms.get(room);
    if (mail === undefined) {
      this.#rooms.set(room, { destinations, items: new Map([[receiptKey(item.receipt), item]]) });
    } else {
      mail.destinations = destinations;
      mail.items.set(receiptKey(item.receipt), item);
    }
  }

  /** Forgets what a later receipt has replaced. */
  drop(receipt: FederatedReceipt): void {
    this.#rooms.get(receipt.room)?.items.delete(receiptKey(receipt));
  }

  take(): Dispatch | undefined {
    const since = this.#since;
    if (since === undefined) return undefined;
    const consignments = consign([...this.#rooms.values()]);
    this.#rooms = new Map();
    this.#since = undefined;
    return { since, consignments };
  }
}

/** Servers that get the same are together, so that it has to be written once. */
function consign(mails: readonly RoomMail[]): Consignment[] {
  const partsOf = new Map<ServerName, string[]>();
  const receiptsOf = new Map<string, readonly FederatedReceipt[]>();
  mails.forEach(({ destinations, items }, i) => {
    const all = [...items.values()];
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
