/**
 * Member events of those who speak, for clients that load members lazily (`lazy_load_members`): each section has those of its
 * senders, whether or not the client has them already. So a gateway need not know what each client has, and a section is the same
 * for all of them.
 */
import { LRUCache } from "lru-cache";
import type { Delta } from "../../bus/contract/messages.ts";
import { MEMBER_EVENTS_CACHED_BYTES_MAX } from "../../limits.ts";
import type { MatrixEvent } from "../../matrix/event.ts";
import { ID_SEPARATOR } from "../../matrix/id-grammar.ts";
import type { RoomId, UserId } from "../../matrix/ids.ts";

/** Measured: the heap that a cached event costs besides its JSON, and each UTF-16 unit of that. */
const EVENT_COST_BYTES = 1_000;
const UNIT_COST_BYTES = 4;

interface Known {
  /** undefined: the user has no member event in the room. */
  readonly event: MatrixEvent | undefined;
}

export class MemberEvents {
  readonly #events = new LRUCache<string, Known>({
    maxSize: MEMBER_EVENTS_CACHED_BYTES_MAX,
    sizeCalculation: ({ event }) => EVENT_COST_BYTES + UNIT_COST_BYTES * JSON.stringify(event ?? null).length,
  });

  /** The users of whom nothing is known here. */
  missing(room: RoomId, users: Iterable<UserId>): UserId[] {
    return [...users].filter((user) => !this.#events.has(keyOf(room, user)));
  }

  /** The member events that are known. */
  of(room: RoomId, users: Iterable<UserId>): MatrixEvent[] {
    return [...users].flatMap((user) => this.#events.get(keyOf(room, user))?.event ?? []);
  }

  /** What was read of these users. */
  add(room: RoomId, users: Iterable<UserId>, events: readonly MatrixEvent[]): void {
    const byUser = new Map(events.map((event) => [event.state_key, event]));
    for (const user of users) this.#events.set(keyOf(room, user), { event: byUser.get(user) });
  }

  /** Forgets what a delta has changed. */
  receive(delta: Delta): void {
    if (delta.type !== "events") return;
    for (const member of Object.keys(delta.members ?? {})) this.#events.delete(keyOf(delta.room_id, member as UserId));
    if (delta.kind !== "live") return;
    for (const { type, state_key: member } of delta.events) {
      if (type === "m.room.member" && member !== undefined) this.#events.delete(keyOf(delta.room_id, member as UserId));
    }
  }

  clear(): void {
    this.#events.clear();
  }
}

function keyOf(room: RoomId, user: UserId): string {
  return `${room}${ID_SEPARATOR}${user}`;
}
