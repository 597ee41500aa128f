/**
 * Events of a room with their bodies, from the log: as they would be served, without what a redaction took from them.
 *
 * Pages go by order (MSC4033), so backfilled events lie before live ones, and a page is the same whoever asks. An event
 * relates to an event of its own thread (F3), or is in the thread that it roots; so only those are looked at.
 */
import { type Order, type Position, RECEIPT } from "../../actors/entry.ts";
import type { EventInfo } from "../../actors/event-info.ts";
import type { Room } from "../../actors/room.ts";
import type { Bus } from "../bus/connection.ts";
import { readEntry } from "../bus/log.ts";
import { TidemarkError } from "../errors.ts";
import { ANSWER_BYTES_MAX, BODIES_AT_ONCE, EVENTS_PAGE_DEFAULT, EVENTS_SCAN_MAX } from "../limits.ts";
import { type MatrixEvent, type OrderedEvent, redacted, relationOf, withOrder } from "../matrix/event.ts";
import type { EventId } from "../matrix/ids.ts";

interface PageQuery {
  /** b: towards older events. */
  readonly dir: "b" | "f";
  /** The page begins beyond this order, exclusive; at the newest or the oldest event without it. */
  readonly from?: Order | undefined;
  /** It ends before this order, exclusive. */
  readonly to?: Order | undefined;
  readonly limit?: number | undefined;
  readonly relates_to?: EventId | undefined;
  readonly rel_type?: string | undefined;
  readonly event_type?: string | undefined;
}

interface Page {
  readonly events: readonly OrderedEvent[];
  /** The `from` of the next page; absent when there is none. A page may be shorter than its limit, even empty. */
  readonly next?: Order;
}

export class History {
  readonly #nc: Bus;
  readonly #partition: number;

  constructor(nc: Bus, partition: number) {
    this.#nc = nc;
    this.#partition = partition;
  }

  async event(room: Room, id: EventId): Promise<OrderedEvent | null> {
    const info = room.events.get(id);
    return info === undefined ? null : this.#served(room, info);
  }

  /**
   * The current state events that changed after a position, in the order of their positions; `more` is the `since` to go
   * on with, absent when these were all.
   */
  async state(room: Room, since: Position): Promise<{ events: MatrixEvent[]; more?: Position }> {
    const changed = [...room.state.values()].filter((position) => position > since).sort((a, b) => a - b);
    const events: MatrixEvent[] = [];
    let bytes = 0;
    for (let at = 0; at < changed.length; at += BODIES_AT_ONCE) {
      const positions = changed.slice(at, at + BODIES_AT_ONCE);
      for (const [i, event] of (
        await Promise.all(positions.map((position) => this.#state(room, position)))
      ).entries()) {
        bytes += sizeOf(event);
        if (bytes > ANSWER_BYTES_MAX && events.length > 0) return { events, more: positions[i]! - 1 };
        events.push(event);
      }
    }
    return { events };
  }

  /** A `state` entry has no order, and nothing can redact it. */
  async #state(room: Room, position: Position): Promise<MatrixEvent> {
    const event = await this.#body(position);
    const info = room.events.get(event.event_id);
    return info?.order === position ? this.#served(room, info) : event;
  }

  async page(room: Room, query: PageQuery): Promise<Page> {
    const limit = query.limit ?? EVENTS_PAGE_DEFAULT;
    const candidates = candidatesOf(room, query);
    const looked = candidates.slice(0, query.relates_to === undefined ? limit : EVENTS_SCAN_MAX);
    const events: OrderedEvent[] = [];
    let bytes = 0;
    for (let at = 0; at < looked.length; at += BODIES_AT_ONCE) {
      const part = looked.slice(at, at + BODIES_AT_ONCE);
      for (const [i, event] of (await Promise.all(part.map((info) => this.#served(room, info)))).entries()) {
        if (!relates(event, query)) continue;
        bytes += sizeOf(event);
        if (events.length === limit || (bytes > ANSWER_BYTES_MAX && events.length > 0)) {
          return { events, next: candidates[at + i - 1]!.order };
        }
        events.push(event);
      }
    }
    return looked.length === candidates.length ? { events } : { events, next: looked.at(-1)?.order ?? 0 };
  }

  async #served(room: Room, info: EventInfo): Promise<OrderedEvent> {
    let event = await this.#body(Math.abs(info.order));
    const redaction = info.redaction === undefined ? undefined : room.events.get(info.redaction);
    if (redaction !== undefined) event = redacted(event, await this.#body(Math.abs(redaction.order)));
    return withOrder(event, info.order);
  }

  async #body(position: Position): Promise<MatrixEvent> {
    const entry = await readEntry(this.#nc, this.#partition, position);
    if (entry === undefined || entry[0] === RECEIPT) {
      throw new TidemarkError("LOG_BROKEN", `the log of partition ${this.#partition} has no event at ${position}`);
    }
    return entry[1];
  }
}

/** About what an event takes in an answer. */
function sizeOf(event: MatrixEvent): number {
  return Buffer.byteLength(JSON.stringify(event));
}

/** The events that may be on a page, in its direction. */
function candidatesOf(room: Room, query: PageQuery): EventInfo[] {
  const { dir, from, to, relates_to: target } = query;
  const ahead = dir === "b" ? (order: Order, than: Order) => order < than : (order: Order, than: Order) => order > than;
  const thread = target === undefined ? undefined : room.events.get(target)?.thread;
  const found: EventInfo[] = [];
  for (const [id, info] of room.events) {
    if (from !== undefined && !ahead(info.order, from)) continue;
    if (to !== undefined && (info.order === to || ahead(info.order, to))) continue;
    if (target !== undefined && (id === target || (info.thread !== target && info.thread !== thread))) continue;
    found.push(info);
  }
  return found.sort((a, b) => (dir === "b" ? b.order - a.order : a.order - b.order));
}

function relates(event: MatrixEvent, query: PageQuery): boolean {
  if (query.relates_to === undefined) return true;
  const relation = relationOf(event);
  if (relation?.eventId !== query.relates_to) return false;
  if (query.rel_type !== undefined && relation.relType !== query.rel_type) return false;
  return query.event_type === undefined || event.type === query.event_type;
}
