/** Reads bodies of events from the log. */
import {
  type EventInfo,
  hasEvent,
  indexOf,
  type PlacedRecord,
  type Position,
  sequenceOf,
} from "../../../actors/entry.ts";
import type { Room } from "../../../actors/room/room.ts";
import type { StateBody } from "../../../actors/room/state-bodies.ts";
import type { Bus } from "../../bus/client/connection.ts";
import { recordAt } from "../../bus/log/log.ts";
import { TidemarkError } from "../../errors.ts";
import { type MatrixEvent, type OrderedEvent, redacted, withOrder } from "../../matrix/event.ts";
import type { EventId } from "../../matrix/ids.ts";

export interface StatePosition {
  /** See `stateKey`. */
  readonly key: string;
  readonly position: Position;
  /** What the store has there, if that was read already. */
  readonly body?: StateBody | undefined;
}

/** A state event, as JSON where it is stored as it is served. */
export type ServedState = string | MatrixEvent;

export function eventOf(served: ServedState): MatrixEvent {
  return typeof served === "string" ? JSON.parse(served) : served;
}

export class Bodies {
  readonly #nc: Bus;
  readonly #partition: number;
  /** Reads under way, by sequence, so that concurrent questions share them. */
  readonly #reading = new Map<number, Promise<PlacedRecord | undefined>>();

  constructor(nc: Bus, partition: number) {
    this.#nc = nc;
    this.#partition = partition;
  }

  /** Events at these positions, as they are served. Throws `LOG_BROKEN` where the log has none. */
  async at(room: Room, positions: readonly Position[]): Promise<OrderedEvent[]> {
    const events = await this.#read(positions);
    return Promise.all(
      positions.map((position) => {
        const event = events.get(position)!;
        return this.#ordered(room, event, room.events.get(event.event_id));
      }),
    );
  }

  /**
   * State events of these keys at these positions: the current ones from the store, others from the log. That of a `state` entry has
   * no order (F10), unless its event is known besides.
   */
  async state(room: Room, places: readonly StatePosition[]): Promise<ServedState[]> {
    const stored = places.map(({ key, position, body }) => body ?? room.stateBodies.at(key, position));
    const missing = places.filter((_, i) => stored[i] === undefined);
    const read = missing.length === 0 ? undefined : await this.#read(missing.map(({ position }) => position));
    return Promise.all(
      places.map(({ position }, i) => {
        const body = stored[i];
        if (body?.isWhole) return body.json;
        const event = body === undefined ? read!.get(position)! : (JSON.parse(body.json) as MatrixEvent);
        const info = room.events.peek(event.event_id);
        return info === undefined ? this.#served(room, event, info) : this.#ordered(room, event, info);
      }),
    );
  }

  /** One event, as it is served; null for an unknown event. */
  async one(room: Room, id: EventId): Promise<OrderedEvent | null> {
    const info = room.events.get(id);
    if (info === undefined) return null;
    return this.#ordered(room, await this.#body(info.position), info);
  }

  async #ordered(room: Room, event: MatrixEvent, info: EventInfo | undefined): Promise<OrderedEvent> {
    if (info === undefined) throw this.#missing(event.event_id);
    return withOrder(await this.#served(room, event, info), info.order);
  }

  /** The event without what a redaction (F11) or an erasure (F14) removed. `info`: undefined for state that has no order. */
  async #served(room: Room, event: MatrixEvent, info: EventInfo | undefined): Promise<MatrixEvent> {
    const by = info === undefined ? redactionAhead(room, event.event_id) : info.redaction;
    if (by === undefined) return event;
    if (by === event.event_id) return redacted(event);
    const redaction = room.events.get(by);
    return redaction === undefined ? event : redacted(event, await this.#body(redaction.position));
  }

  async #body(position: Position): Promise<MatrixEvent> {
    return (await this.#read([position])).get(position)!;
  }

  async #read(positions: readonly Position[]): Promise<Map<Position, MatrixEvent>> {
    const sequences = [...new Set(positions.map(sequenceOf))];
    const records = await Promise.all(sequences.map((sequence) => this.#record(sequence)));
    const bySequence = new Map(sequences.map((sequence, i) => [sequence, records[i]]));
    const events = new Map<Position, MatrixEvent>();
    for (const position of positions) {
      const entry = bySequence.get(sequenceOf(position))?.record.entries[indexOf(position)];
      if (entry === undefined || entry === null || !hasEvent(entry)) throw this.#missing(position);
      events.set(position, entry[1]);
    }
    return events;
  }

  #record(sequence: number): Promise<PlacedRecord | undefined> {
    let reading = this.#reading.get(sequence);
    if (reading === undefined) {
      reading = recordAt(this.#nc, this.#partition, sequence).finally(() => this.#reading.delete(sequence));
      this.#reading.set(sequence, reading);
    }
    return reading;
  }

  #missing(what: unknown): TidemarkError {
    return new TidemarkError("LOG_BROKEN", `the log of partition ${this.#partition} has no event ${String(what)}`);
  }
}

function redactionAhead(room: Room, id: EventId): EventId | undefined {
  return room.redactionsAhead ? room.redactions.peek(id) : undefined;
}
