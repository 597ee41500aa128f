/**
 * Held receipts: those that can't be judged yet, because their event is not in the log (F4) or its thread isn't settled (F6).
 *
 * They wait per event, in log order. Every bound drops the oldest receipt under the same bound, so that a user, or a server,
 * pushes out receipts of its own. At the bound of the room, the holder with the most receipts loses its oldest: a holder is a
 * local user or a remote server.
 */
import { HELD_PER_KEY_MAX, HELD_PER_ROOM_MAX, HELD_PER_SERVER_MAX, HELD_PER_USER_MAX } from "../../src/limits.ts";
import type { EventId } from "../../src/matrix/ids.ts";
import type { Position, ReceiptEntry } from "../entry.ts";
import { EqualHolders } from "./equal-holders.ts";

export interface HeldReceipt {
  readonly position: Position;
  readonly receipt: ReceiptEntry;
}

const NO_RECEIPTS: readonly HeldReceipt[] = [];

function keyOf([, user, type, , thread]: ReceiptEntry): string {
  return `${type} ${user.length} ${user} ${thread ?? ""}`;
}

/** A local user, or a remote server. No server name begins with `@`. */
function holderOf([, user, , , , , origin]: ReceiptEntry): string {
  return origin ?? user;
}

/** Held receipts by a key, oldest first: positions grow, and a Map keeps the order of insertion. */
class Groups {
  readonly #groups = new Map<string, Map<Position, HeldReceipt>>();

  size(key: string): number {
    return this.#groups.get(key)?.size ?? 0;
  }

  oldest(key: string): HeldReceipt | undefined {
    return this.#groups.get(key)?.values().next().value;
  }

  of(key: string): Iterable<HeldReceipt> {
    return this.#groups.get(key)?.values() ?? NO_RECEIPTS;
  }

  add(key: string, held: HeldReceipt): void {
    const group = this.#groups.get(key);
    if (group === undefined) this.#groups.set(key, new Map([[held.position, held]]));
    else group.set(held.position, held);
  }

  delete(key: string, { position }: HeldReceipt): void {
    const group = this.#groups.get(key);
    if (group === undefined) return;
    group.delete(position);
    if (group.size === 0) this.#groups.delete(key);
  }
}

export class HeldReceipts {
  /** All of them, oldest first. */
  readonly #all = new Map<Position, HeldReceipt>();
  readonly #byEvent = new Groups();
  readonly #byKey = new Groups();
  readonly #byUser = new Groups();
  readonly #byHolder = new Groups();
  /** Holders by how many receipts they hold. */
  readonly #holders: (EqualHolders | undefined)[] = [];
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

  /** Removes a receipt: it is judged, or dropped. */
  release(held: HeldReceipt): void {
    const { position, receipt } = held;
    this.#all.delete(position);
    this.#byEvent.delete(receipt[3], held);
    this.#byKey.delete(keyOf(receipt), held);
    this.#byUser.delete(receipt[1], held);
    const holder = holderOf(receipt);
    const count = this.#byHolder.size(holder);
    this.#byHolder.delete(holder, held);
    this.#recount(holder, count, count - 1);
    this.#change(position);
  }

  /** Calls back with each position that changed since the last call: its held receipt, or undefined when it is no longer held. */
  collect(each: (position: Position, held: HeldReceipt | undefined) => void): void {
    const changed = this.#changed;
    this.#changed = undefined;
    if (changed !== undefined) for (const position of changed) each(position, this.#all.get(position));
  }

  /** F4: the receipt that has to go before this one is held. */
  #overflow(receipt: ReceiptEntry): HeldReceipt | undefined {
    const [, user, , , , , origin] = receipt;
    const key = keyOf(receipt);
    if (this.#byKey.size(key) >= HELD_PER_KEY_MAX) return this.#byKey.oldest(key);
    if (this.#byUser.size(user) >= HELD_PER_USER_MAX) return this.#byUser.oldest(user);
    if (origin !== null && this.#byHolder.size(origin) >= HELD_PER_SERVER_MAX) return this.#byHolder.oldest(origin);
    return this.#all.size >= HELD_PER_ROOM_MAX ? this.#oldestOfGreatest() : undefined;
  }

  /** The oldest receipt of the holder that holds the most; among equals, of the holder whose oldest is oldest. */
  #oldestOfGreatest(): HeldReceipt | undefined {
    const holder = this.#holders.at(-1)?.first();
    return holder === undefined ? undefined : this.#byHolder.oldest(holder);
  }

  #add(held: HeldReceipt): void {
    const { position, receipt } = held;
    this.#all.set(position, held);
    this.#byEvent.add(receipt[3], held);
    this.#byKey.add(keyOf(receipt), held);
    this.#byUser.add(receipt[1], held);
    const holder = holderOf(receipt);
    const count = this.#byHolder.size(holder);
    this.#byHolder.add(holder, held);
    this.#recount(holder, count, count + 1);
  }

  #recount(holder: string, before: number, after: number): void {
    const holders = this.#holders;
    holders[before]?.delete(holder);
    if (after > 0) {
      holders[after] ??= new EqualHolders();
      holders[after].add(holder, this.#byHolder.oldest(holder)!.position);
    }
    while (holders.length > 0 && (holders.at(-1)?.size ?? 0) === 0) holders.pop();
  }

  #change(position: Position): void {
    this.#changed ??= new Set();
    this.#changed.add(position);
  }
}
