/**
 * The current state events of a room, in full: those that the store doesn't have yet, over those that it has.
 *
 * A room's state is asked for as a whole, and the log has it one event here and one there (docs/adr/0019-state-in-the-store.md). Without
 * a store nothing is kept: who folds a log without one reads bodies from the log.
 */
import type { MatrixEvent } from "../../src/matrix/event.ts";
import type { Order, Position } from "../entry.ts";

/** An event, and where the log has it. */
export interface StateBody {
  readonly position: Position;
  readonly event: MatrixEvent;
  /** Absent where the event's own row has to say how it is served: it is redacted, or of a `state` entry. */
  readonly order?: Order;
}

/** The bodies that a store has, by `stateKey`. */
export interface StoredBodies {
  get(key: string): StateBody | undefined;
}

type Bodies = Map<string, StateBody>;

export class StateBodies {
  readonly #stored: StoredBodies | undefined;
  /** undefined when empty. */
  #changed: Bodies | undefined;
  #collected: Bodies | undefined;

  constructor(stored?: StoredBodies) {
    this.#stored = stored;
  }

  set(key: string, body: StateBody): void {
    if (this.#stored === undefined) return;
    this.#changed ??= new Map();
    this.#changed.set(key, body);
  }

  /** The current state event of a key. */
  of(key: string): StateBody | undefined {
    return this.#changed?.get(key) ?? this.#collected?.get(key) ?? this.#stored?.get(key);
  }

  /** The same, if it is the one at this position. */
  at(key: string, position: Position): StateBody | undefined {
    const body = this.of(key);
    return body?.position === position ? body : undefined;
  }

  /** The event at this position is redacted. */
  redact(key: string, position: Position): void {
    const body = this.at(key, position);
    if (body !== undefined) this.set(key, { position, event: body.event });
  }

  /** Calls back with each event that was set since the last call. They stay in memory until `committed`. */
  collect(each: (key: string, body: StateBody) => void): void {
    this.#collected = this.#changed;
    this.#changed = undefined;
    for (const [key, body] of this.#collected ?? []) each(key, body);
  }

  /** Called when the store has the collected bodies. */
  committed(): void {
    this.#collected = undefined;
  }
}
