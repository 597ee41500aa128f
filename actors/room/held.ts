/**
 * Held receipts: those that can't be judged yet, because their event is not in the log (F4) or its thread isn't settled (F6).
 *
 * They wait per event, in log order. Every bound drops the oldest receipt under the same bound, so that a user, or a server,
 * pushes out receipts of its own. At the bound of the room, local users or remote servers lose one, whichever hold more
 * altogether: of these, the user or server that holds the most loses its oldest. So however many servers somebody invents, half
 * of the room's held receipts are for local users.
 */
import { HELD_PER_KEY_MAX, HELD_PER_ROOM_MAX, HELD_PER_SERVER_MAX, HELD_PER_USER_MAX } from "../../src/limits.ts";
import type { EventId, ServerName, UserId } from "../../src/matrix/ids.ts";
import type { Position, ReceiptEntry } from "../entry.ts";
import { Holders } from "./holders.ts";

export interface HeldReceipt {
  readonly position: Position;
  readonly receipt: ReceiptEntry;
}

const NO_RECEIPTS: readonly HeldReceipt[] = [];

/** Held receipts by a key, oldest first: positions grow, and a Map keeps the order of insertion. */
class Groups<Key> {
  readonly #groups = new Map<Key, Map<Position, HeldReceipt>>();

  size(key: Key): number {
    return this.#groups.get(key)?.size ?? 0;
  }

  oldest(key: Key): HeldReceipt | undefined {
    return this.#groups.get(key)?.values().next().value;
  }

  of(key: Key): Iterable<HeldReceipt> {
    return this.#groups.get(key)?.values() ?? NO_RECEIPTS;
  }

  add(key: Key, held: HeldReceipt): void {
    const group = this.#groups.get(key);
    if (group === undefined) this.#groups.set(key, new Map([[held.position, held]]));
    else group.set(held.position, held);
  }

  delete(key: Key, { position }: HeldReceipt): void {
    const group = this.#groups.get(key);
    if (group === undefined) return;
    group.delete(position);
    if (group.size === 0) this.#groups.delete(key);
  }
}

export class HeldReceipts {
  /** All of them, oldest first. */
  readonly #all = new Map<Position, HeldReceipt>();
  readonly #byEvent = new Groups<EventId>();
  /** Oldest first. They are few, and most users have one: an array is cheaper than a Map. */
  readonly #byUser = new Map<UserId, HeldReceipt[]>();
  readonly #byServer = new Groups<ServerName>();
  readonly #localUsers = new Holders();
  readonly #remoteServers = new Holders();
  /** Positions that changed since the last `collect`; undefined when empty. */
  #changed: Set<Position> | undefined;

  /** `stored`: the held receipts of a store, oldest first. */
  constructor(stored: Iterable<HeldReceipt> = []) {
    for (const held of stored) this.#add(held);
  }

  get size(): number {
    return this.#all.size;
  }

  [Symbol.iterator](): IterableIterator<HeldReceipt> {
    return this.#all.values();
  }

  /** Holds a receipt. Returns the receipt that was dropped for it, if any (F4, `held_overflow`). */
  hold(position: Position, receipt: ReceiptEntry): HeldReceipt | undefined {
    const dropped = this.#overflow(receipt);
    if (dropped !== undefined) this.release(dropped);
    this.#add({ position, receipt });
    this.#change(position);
    return dropped;
  }

  /** The receipts on an event, in log order. */
  on(event: EventId): readonly HeldReceipt[] {
    if (this.#all.size === 0 || this.#byEvent.size(event) === 0) return NO_RECEIPTS;
    return [...this.#byEvent.of(event)];
  }

  /** A user's, oldest first. */
  of(user: UserId): readonly HeldReceipt[] {
    return [...(this.#byUser.get(user) ?? NO_RECEIPTS)];
  }

  /** Removes a receipt: it is judged, or dropped. */
  release(held: HeldReceipt): void {
    const { position, receipt } = held;
    const [, user, , event, , , origin] = receipt;
    this.#all.delete(position);
    this.#byEvent.delete(event, held);
    const own = this.#byUser.get(user) ?? [];
    if (own.length === 1) this.#byUser.delete(user);
    else own.splice(own.indexOf(held), 1);
    if (origin !== null) this.#byServer.delete(origin, held);
    this.#recount(receipt, -1);
    this.#change(position);
  }

  /** Calls back with each position that changed since the last call: its held receipt, or undefined when it is no longer held. */
  collect(each: (position: Position, held: HeldReceipt | undefined) => void): void {
    const changed = this.#changed;
    this.#changed = undefined;
    if (changed !== undefined) for (const position of changed) each(position, this.#all.get(position));
  }

  /** F4: the receipt that has to go before this one is held. */
  #overflow([, user, type, , thread, , origin]: ReceiptEntry): HeldReceipt | undefined {
    const own = this.#byUser.get(user) ?? NO_RECEIPTS;
    if (own.length >= HELD_PER_KEY_MAX) {
      const alike = own.filter(({ receipt }) => receipt[2] === type && receipt[4] === thread);
      if (alike.length >= HELD_PER_KEY_MAX) return alike[0];
    }
    if (own.length >= HELD_PER_USER_MAX) return own[0];
    if (origin !== null && this.#byServer.size(origin) >= HELD_PER_SERVER_MAX) return this.#byServer.oldest(origin);
    return this.#all.size >= HELD_PER_ROOM_MAX ? this.#oldestOfGreatest() : undefined;
  }

  #oldestOfGreatest(): HeldReceipt | undefined {
    if (this.#remoteServers.receipts >= this.#localUsers.receipts) {
      return this.#byServer.oldest(this.#remoteServers.greatest() as ServerName);
    }
    return this.#oldestOfLocal(this.#localUsers.greatest() as UserId);
  }

  #oldestOfLocal(user: UserId): HeldReceipt | undefined {
    return this.#byUser.get(user)?.find(isLocal);
  }

  #add(held: HeldReceipt): void {
    const { position, receipt } = held;
    const [, user, , event, , , origin] = receipt;
    this.#all.set(position, held);
    this.#byEvent.add(event, held);
    const own = this.#byUser.get(user);
    if (own === undefined) this.#byUser.set(user, [held]);
    else own.push(held);
    if (origin !== null) this.#byServer.add(origin, held);
    this.#recount(receipt, 1);
  }

  /** Called when a receipt's holder has one more or less. */
  #recount([, user, , , , , origin]: ReceiptEntry, change: 1 | -1): void {
    if (origin === null) {
      const after = countLocal(this.#byUser.get(user) ?? NO_RECEIPTS);
      const oldest = after === 0 ? undefined : this.#oldestOfLocal(user)?.position;
      this.#localUsers.recount(user, { before: after - change, after, oldest });
    } else {
      const after = this.#byServer.size(origin);
      const oldest = this.#byServer.oldest(origin)?.position;
      this.#remoteServers.recount(origin, { before: after - change, after, oldest });
    }
  }

  #change(position: Position): void {
    this.#changed ??= new Set();
    this.#changed.add(position);
  }
}

function isLocal({ receipt }: HeldReceipt): boolean {
  return receipt[6] === null;
}

function countLocal(receipts: readonly HeldReceipt[]): number {
  let count = 0;
  for (const held of receipts) if (isLocal(held)) count++;
  return count;
}
