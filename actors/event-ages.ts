import { FEDERATION_YOUNG_EVENT_MS } from "../src/limits.ts";
import type { Order, Position } from "./entry.ts";

const MARK_MS = 1_000;

/** Tells how long ago a live event came: a mark for every second of the log, as far back as it matters. */
export class EventAges {
  readonly #marks: { readonly position: Position; readonly at: number }[] = [];

  note(position: Position, at: number): void {
    const newest = this.#marks.at(-1);
    if (newest !== undefined && at < newest.at + MARK_MS) return;
    this.#marks.push({ position, at });
    while (this.#marks[0]!.at <= at - FEDERATION_YOUNG_EVENT_MS) this.#marks.shift();
  }

  isYoung(order: Order): boolean {
    const oldest = this.#marks[0];
    return oldest !== undefined && order >= oldest.position;
  }
}
