/**
 * Held receipts: those whose event is not in the log yet (F4, F5).
 *
 * They are held per event, in log order. Both bounds drop the oldest receipt: of the same user, type and thread, or, in a full
 * room, of all.
 */
import { HELD_PER_KEY_MAX, HELD_PER_ROOM_MAX } from "../../src/limits.ts";
import type { EventId } from "../../src/matrix/ids.ts";
import type { Position, ReceiptEntry } from "../entry.ts";

export interface HeldReceipt {
  readonly position: Position;
  readonly receipt: ReceiptEntry;
}

const NONE: readonly HeldReceipt[] = [];

function keyOf([, user, type, , thread]: ReceiptEntry): string {
  return `${user} ${type} ${thread ?? ""}`;
}

export class HeldReceipts {
  /** All of them, oldest first: positions grow. */
  readonly #all = new Map<Position, HeldReceipt>();
  readonly #byEvent = new Map<EventId, HeldReceipt[]>();
  readonly #byKey = new Map<string, HeldReceipt[]>();
  /** undefined when empty. */
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
    const key = keyOf(receipt);
    let overflow: HeldReceipt | undefined;
    if ((this.#byKey.get(key)?.length ?? 0) >= HELD_PER_KEY_MAX) overflow = this.#byKey.get(key)?.[0];
    else if (this.#all.size >= HELD_PER_ROOM_MAX) overflow = this.#all.values().next().value;
    if (overflow !== undefined) this.#drop(overflow);

    this.#add({ position, receipt });
    this.#change(position);
    return overflow;
  }

  /** Removes and returns the receipts on an event, in log order. */
  release(event: EventId): readonly HeldReceipt[] {
    const waiting = this.#byEvent.get(event);
    if (waiting === undefined) return NONE;
    this.#byEvent.delete(event);
    for (const held of waiting) {
      this.#all.delete(held.position);
      this.#change(held.position);
      remove(this.#byKey, keyOf(held.receipt), held);
    }
    return waiting;
  }

  /** Calls back with each position that changed since the last time: its held receipt, or undefined when it has none any more. */
  collect(each: (position: Position, held: HeldReceipt | undefined) => void): void {
    const changed = this.#changed;
    this.#changed = undefined;
    if (changed !== undefined) for (const position of changed) each(position, this.#all.get(position));
  }

  #change(position: Position): void {
    this.#changed ??= new Set();
    this.#changed.add(position);
  }

  #add(held: HeldReceipt): void {
    this.#all.set(held.position, held);
    append(this.#byEvent, held.receipt[3], held);
    append(this.#byKey, keyOf(held.receipt), held);
  }

  #drop(held: HeldReceipt): void {
    this.#all.delete(held.position);
    this.#change(held.position);
    remove(this.#byEvent, held.receipt[3], held);
    remove(this.#byKey, keyOf(held.receipt), held);
  }
}

function append<K>(map: Map<K, HeldReceipt[]>, key: K, held: HeldReceipt): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [held]);
  else list.push(held);
}

function remove<K>(map: Map<K, HeldReceipt[]>, key: K, held: HeldReceipt): void {
  const left = map.get(key)?.filter((other) => other !== held) ?? [];
  if (left.length === 0) map.delete(key);
  else map.set(key, left);
}
