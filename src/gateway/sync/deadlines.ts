/**
 * A timer for thousands that wait: a wheel of slots, of which one timer visits those whose time has come. It runs only
 * while somebody waits. Nothing is due early; it may be late by a slot.
 */
const SLOT_MS = 10;

/** What waits; at most in one slot. */
export interface Timed {
  /** Only `Deadlines` looks at it. */
  slot: number | undefined;
}

export class Deadlines<T extends Timed> {
  readonly #due: (item: T) => void;
  readonly #slots = new Map<number, Set<T>>();
  #timer: NodeJS.Timeout | undefined;
  /** The last slot that was visited. */
  #visited = 0;

  /** `due` is called once for each item, unless it is deleted before. */
  constructor(due: (item: T) => void) {
    this.#due = due;
  }

  /** At a time as `performance.now()` tells it. Replaces the item's time before. */
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

  /** Everything that waits. */
  all(): T[] {
    return [...this.#slots.values()].flatMap((items) => [...items]);
  }

  #visit(): void {
    const now = slotOf(performance.now());
    for (let slot = this.#visited + 1; slot <= now; slot++) {
      this.#visited = slot;
      for (const item of this.#slots.get(slot) ?? []) {
        this.delete(item);
        this.#due(item);
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
