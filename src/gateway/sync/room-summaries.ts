/**
 * How many users a room has, and who gives it a name (Matrix specification, `RoomSummary` of `/sync`): what workers have answered,
 * until a delta changes it. It is the same for all members, but that nobody is shown as a hero to themselves.
 */
import { LRUCache } from "lru-cache";
import type { Delta } from "../../bus/contract/messages.ts";
import type { RoomSummary } from "../../bus/contract/questions.ts";
import { HEROES_MAX, ROOM_SUMMARIES_MAX, ROOM_SUMMARY_MS } from "../../limits.ts";
import type { MatrixEvent } from "../../matrix/event.ts";
import type { RoomId, UserId } from "../../matrix/ids.ts";

const TYPES: ReadonlySet<string> = new Set(["m.room.member", "m.room.name", "m.room.canonical_alias"]);

/** Whether a summary may be another one with these events. */
export function changesSummary(events: readonly MatrixEvent[]): boolean {
  return events.some(({ type, state_key: key }) => key !== undefined && TYPES.has(type));
}

export class RoomSummaries {
  readonly #known = new LRUCache<RoomId, RoomSummary>({ max: ROOM_SUMMARIES_MAX, ttl: ROOM_SUMMARY_MS });
  /** Questions under way. One that a delta has overtaken is not here any more. */
  readonly #asked = new Map<RoomId, Promise<RoomSummary | undefined>>();

  /** Returns what is known. */
  get(room: RoomId): RoomSummary | undefined {
    return this.#known.get(room);
  }

  /** Returns what is known, or asks; undefined when `ask` says so. */
  of(room: RoomId, ask: () => Promise<RoomSummary | undefined>): Promise<RoomSummary | undefined> {
    const known = this.#known.get(room);
    if (known !== undefined) return Promise.resolve(known);
    const asked = this.#asked.get(room);
    if (asked !== undefined) return asked;
    const asking = ask();
    this.#asked.set(room, asking);
    const settle = (summary?: RoomSummary) => {
      if (this.#asked.get(room) !== asking) return;
      this.#asked.delete(room);
      if (summary !== undefined) this.#known.set(room, summary);
    };
    asking.then(settle, () => settle());
    return asking;
  }

  /** Forgets what a delta has changed. */
  receive(delta: Delta): void {
    if (delta.type !== "events") return;
    if (delta.kind !== "state" && !(delta.kind === "live" && changesSummary(delta.events))) return;
    this.#known.delete(delta.room_id);
    this.#asked.delete(delta.room_id);
  }

  clear(): void {
    this.#known.clear();
    this.#asked.clear();
  }
}

/** The summary as one user gets it. */
export function summaryFor({ joined, invited, heroes }: RoomSummary, user: UserId): Record<string, unknown> {
  const others = heroes?.filter((hero) => hero !== user).slice(0, HEROES_MAX);
  return {
    ...(others !== undefined && { "m.heroes": others }),
    "m.joined_member_count": joined,
    "m.invited_member_count": invited,
  };
}
