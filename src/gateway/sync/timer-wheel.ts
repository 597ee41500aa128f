/**
 * A timer wheel: timeouts for thousands of items, driven by one interval timer. The timer runs only while there are
 * items.
 *
 * An item never expires early; it may expire up to one slot late.
 */
const SLOT_MS = 10;

/** An item is in at most one slot. */
export interface Timed {
  /** Managed by the wheel. */
  slot: number | undefined;
}

export class TimerWheel<T extends Timed> {
  readonly #onExpired: (item: T) => void;
  readonly #slots = new Map<number, Set<T>>();
  #timer: NodeJS.Timeout | undefined;
  /** The last slot that was visited. */
  #visited = 0;

  /** `onExpired`: called once per item that was set, unless it is deleted first. */
  constructor(onExpired: (item: T) => void) {
    this.#onExpired = onExpired;
  }

  /** Sets when the item expires, as a `performance.now()` time. Replaces an earlier timeout of the item. */
  set(item: T, at: number): void {
    this.delete(item);
    if (this.#timer === undefined) {
      this.#visited = slotOf(performance.now());
      this.#timer = setInterval(() => this.#visit(), SLOT_MS);
    }
    const slot = Math.max(slotOf(at), this.#visited) + 1;
    item.slot = slot;
    const items = this.#slots.get(slot);
    if (items === undefined) this.#slots.set(slot, new Set([item]));
    else items.add(item);
  }

  delete(item: T): void {
    if (item.slot === undefined) return;
    const items = this.#slots.get(item.slot)!;
    items.delete(item);
    if (items.size === 0) this.#slots.delete(item.slot);
    item.slot = undefined;
  }

  /** Returns all items that have not expired. */
  all(): T[] {
    return [...this.#slots.values()].flatMap((items) => [...items]);
  }

  #visit(): void {
    const now = slotOf(performance.now());
    for (let slot = this.#visited + 1; slot <= now; slot++) {
      this.#visited = slot;
      for (const item of this.#slots.get(slot) ?? []) {
        this.delete(item);
        this.#onExpired(item);
      }
    }
    if (this.#slots.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

function slotOf(at: number): number {
  return Math.floor(at / SLOT_MS);
}
