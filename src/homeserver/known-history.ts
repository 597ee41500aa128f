/** What Tidemark knows of the history of a room that is imported: the owner of its partition is asked. */
import { setTimeout as delay } from "node:timers/promises";
import type { Order, Position } from "../../actors/entry.ts";
import type { Bus } from "../bus/client/connection.ts";
import { ask } from "../bus/client/request.ts";
import type { Answer, Asked } from "../bus/contract/questions.ts";
import { TidemarkError } from "../errors.ts";
import { QUERY_EVENT_IDS_MAX } from "../limits.ts";
import type { MatrixEvent, OrderedEvent } from "../matrix/event.ts";
import type { EventId, RoomId } from "../matrix/ids.ts";

/** How long entries may take from the log to the owner's answers. */
const FOLDED_MS_MAX = 60_000;
const FOLDED_POLL_MS = 20;

/** The events of a room at the ends of its orders (F1). */
interface RoomEnds {
  /** undefined: no event of the room is known. */
  readonly oldest: EventId | undefined;
  /** How much more history can be stored before `depth` events have positive orders. */
  historyLeft(depth: number): number;
}

/** Events, or, if none of them is known, the position as of which that was so. */
type BehindKnown =
  | { readonly events: readonly MatrixEvent[]; readonly asOf?: undefined }
  | { readonly events?: undefined; readonly asOf: Position };

export class KnownHistory {
  readonly #nc: Bus;
  readonly #room: RoomId;

  constructor(nc: Bus, room: RoomId) {
    this.#nc = nc;
    this.#room = room;
  }

  async ends(): Promise<RoomEnds> {
    const [oldest, newest] = [await this.#end("f"), await this.#end("b")];
    if (oldest === undefined || newest === undefined) return { oldest: undefined, historyLeft: (depth) => depth };
    const first = oldest.unsigned.order;
    const positive = newest.unsigned.order - first + 1;
    return {
      oldest: oldest.event_id,
      // In a room that has backfill, history counts as backfill (F1).
      historyLeft: (depth) => (first < 0 ? 0 : Math.max(0, depth - positive)),
    };
  }

  /** The oldest event that is known; undefined if none is. */
  oldest(): Promise<OrderedEvent | undefined> {
    return this.#end("f");
  }

  /** Whether the room's current state is known. Its create event is imported after all other state. */
  async hasState(): Promise<boolean> {
    return (await this.#state({ types: ["m.room.create"] })).length > 0;
  }

  /** The member events that are known: the current ones, or those just after the event of the order `at`; of all, or these users. */
  memberEvents(of: Pick<Asked<"state">, "at" | "members"> = {}): Promise<readonly MatrixEvent[]> {
    return this.#state({ types: ["m.room.member"], ...of });
  }

  /** The ids of all current state events that are known. */
  async stateIds(): Promise<Set<EventId>> {
    return new Set((await this.#state({})).map(({ event_id: id }) => id));
  }

  /** The same, and the create event. */
  async createAndMembers(): Promise<readonly MatrixEvent[]> {
    return [...(await this.#state({ types: ["m.room.create"] })), ...(await this.memberEvents())];
  }

  /** Returns the order of the newest event that may be live; 0 if there is none (F10). */
  async newestOrder(): Promise<Order> {
    return Math.max(0, (await this.#end("b"))?.unsigned.order ?? 0);
  }

  /** The events behind the oldest one that is known, given newest first. */
  async behindKnown(events: readonly MatrixEvent[]): Promise<BehindKnown> {
    let asOf: Position | undefined;
    for (let end = events.length; end > 0; end -= QUERY_EVENT_IDS_MAX) {
      const begin = Math.max(0, end - QUERY_EVENT_IDS_MAX);
      const ids = events.slice(begin, end).map(({ event_id: id }) => id);
      const { orders, position } = await ask(this.#nc, this.#room, { op: "orders", event_ids: ids });
      const oldest = ids.findLastIndex((id) => typeof orders[id] === "number");
      if (oldest >= 0) return { events: events.slice(begin + oldest + 1) };
      asOf ??= position;
    }
    return { asOf: asOf ?? 0 };
  }

  /** Those that are not known. */
  async unknownOf(events: readonly MatrixEvent[]): Promise<Set<MatrixEvent>> {
    const unknown = new Set<MatrixEvent>();
    for (let begin = 0; begin < events.length; begin += QUERY_EVENT_IDS_MAX) {
      const some = events.slice(begin, begin + QUERY_EVENT_IDS_MAX);
      const ids = some.map(({ event_id: id }) => id);
      const { orders } = await ask(this.#nc, this.#room, { op: "orders", event_ids: ids });
      for (const event of some) if (typeof orders[event.event_id] !== "number") unknown.add(event);
    }
    return unknown;
  }

  /** Resolves once the owner's answers include the entry at a position. Throws `BUS_UNAVAILABLE` if that takes too long. */
  async folded(position: Position): Promise<void> {
    await this.#until(async () => {
      const answer = await ask(this.#nc, this.#room, { op: "orders", event_ids: [] });
      return answer.position >= position;
    });
  }

  /** Resolves to the order of an event that is in the log, once it has one. Throws `BUS_UNAVAILABLE` if that takes too long. */
  async foldedEvent(event: EventId): Promise<Order> {
    let order: Order | null | undefined;
    await this.#until(async () => {
      const { orders } = await ask(this.#nc, this.#room, { op: "orders", event_ids: [event] });
      order = orders[event];
      return typeof order === "number";
    });
    return order!;
  }

  async #until(isFolded: () => Promise<boolean>): Promise<void> {
    const limit = AbortSignal.timeout(FOLDED_MS_MAX);
    while (!(await isFolded())) {
      if (limit.aborted)
        throw new TidemarkError("BUS_UNAVAILABLE", "the worker of this room is too far behind its log");
      await delay(FOLDED_POLL_MS);
    }
  }

  async #state(of: Pick<Asked<"state">, "types" | "at" | "members">): Promise<readonly MatrixEvent[]> {
    const events: MatrixEvent[] = [];
    let since: Position | undefined;
    do {
      const page: Answer<"state"> = await ask(this.#nc, this.#room, {
        op: "state",
        ...of,
        ...(since !== undefined && { since }),
      });
      events.push(...page.events);
      since = page.next;
    } while (since !== undefined);
    return events;
  }

  async #end(dir: "b" | "f"): Promise<OrderedEvent | undefined> {
    return (await ask(this.#nc, this.#room, { op: "events", dir, limit: 1 })).events[0];
  }
}
