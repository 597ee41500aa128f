/**
 * The current state events of a room, in full, by their position: those that the store doesn't have yet, over those that it has.
 *
 * A room's state is asked for as a whole, and the log has it one event here and one there (docs/adr/0019-state-in-the-store.md). They are
 * kept as JSON, as they are sent to clients. Without a store nothing is kept: who folds a log without one reads bodies from the log.
 */
import { type MatrixEvent, redacted, withOrder } from "../../src/matrix/event.ts";
import type { Order, Position } from "../entry.ts";
import { groupOf, type StateGroup } from "./state-changes.ts";

/** An event, and where the log has it. */
export interface StateBody {
  readonly position: Position;
  readonly json: string;
  /** Whether it is served as it is here. If not, the event's own row has to say how: it is redacted, or of a `state` entry. */
  readonly isWhole: boolean;
}

/** The bodies that a store has. */
export interface StoredBodies {
  at(group: StateGroup, position: Position): readonly [key: string, body: StateBody] | undefined;
  /** Those at positions above this one, by position. */
  above(group: StateGroup, position: Position): Iterable<readonly [key: string, body: StateBody]>;
}

/** What a checkpoint writes. */
export interface BodyWrites {
  set(key: string, body: StateBody): void;
  delete(key: string, position: Position): void;
}

interface Change {
  readonly body: StateBody;
  /** Where the store has, or will have, the one before. */
  readonly before: Position | undefined;
}

type Changes = Map<string, Change>;

export class StateBodies {
  readonly #stored: StoredBodies | undefined;
  /** undefined when empty. */
  #changed: Changes | undefined;
  #collected: Changes | undefined;

  constructor(stored?: StoredBodies) {
    this.#stored = stored;
  }

  /** `order`: what it is served with; undefined where the event's own row has to say that. `before`: where the one before stands. */
  set(
    key: string,
    { position, event, order }: { readonly position: Position; readonly event: MatrixEvent; readonly order?: Order },
    before: Position | undefined,
  ): void {
    if (this.#stored === undefined) return;
    const isWhole = order !== undefined;
    this.#change(key, { position, json: JSON.stringify(isWhole ? withOrder(event, order) : event), isWhole }, before);
  }

  /** The current state event of a key, if it is the one at this position. */
  at(key: string, position: Position): StateBody | undefined {
    const recent = this.#recent(key);
    if (recent !== undefined) return recent.position === position ? recent : undefined;
    const stored = this.#stored?.at(groupOf(key), position);
    return stored?.[0] === key ? stored[1] : undefined;
  }

  /** The current state events at positions above this one, by position. Reads no more than is consumed. */
  *above(group: StateGroup, position: Position): Generator<readonly [key: string, body: StateBody]> {
    if (this.#stored === undefined) throw new Error("without a store, bodies are not kept");
    const recent = [...new Map([...(this.#collected ?? []), ...(this.#changed ?? [])])]
      .map(([key, { body }]) => [key, body] as const)
      .filter(([key, body]) => body.position > position && groupOf(key) === group)
      .sort(([, a], [, b]) => a.position - b.position);
    let at = 0;
    for (const row of this.#stored.above(group, position)) {
      if (this.#recent(row[0]) !== undefined) continue;
      while (at < recent.length && recent[at]![1].position < row[1].position) yield recent[at++]!;
      yield row;
    }
    while (at < recent.length) yield recent[at++]!;
  }

  /** The event at this position is redacted: what a redaction takes is not kept. */
  redact(key: string, position: Position): void {
    const body = this.at(key, position);
    if (body === undefined) return;
    const json = JSON.stringify(redacted(JSON.parse(body.json) as MatrixEvent));
    this.#change(key, { position, json, isWhole: false }, position);
  }

  /** Writes what changed since the last call. It stays in memory until `committed`. */
  collect(writes: BodyWrites): void {
    this.#collected = this.#changed;
    this.#changed = undefined;
    for (const [key, { body, before }] of this.#collected ?? []) {
      if (before !== undefined && before !== body.position) writes.delete(key, before);
      writes.set(key, body);
    }
  }

  /** Called when the store has the collected bodies. */
  committed(): void {
    this.#collected = undefined;
  }

  #recent(key: string): StateBody | undefined {
    return (this.#changed?.get(key) ?? this.#collected?.get(key))?.body;
  }

  #change(key: string, body: StateBody, before: Position | undefined): void {
    this.#changed ??= new Map();
    const earlier = this.#changed.get(key);
    this.#changed.set(key, { body, before: earlier === undefined ? before : earlier.before });
  }
}
