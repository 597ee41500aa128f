/** The state of a room: what the fold reads and changes, and nothing else does. */
import { TIMELINE_EVENTS_MAX } from "../src/limits.ts";
import { type MatrixEvent, redacted } from "../src/matrix/event.ts";
import type { EventId, RoomId, UserId } from "../src/matrix/ids.ts";
import type { ServerAcl } from "../src/matrix/server-acl.ts";
import type { Order, Position } from "./entry.ts";
import type { EventInfo } from "./event-info.ts";
import { HeldReceipts } from "./held.ts";
import { Markers } from "./markers.ts";
import { UnreadIndex } from "./unread.ts";

export interface Room {
  readonly id: RoomId;
  /** Through which entry the log is folded; 0 when none is. */
  position: Position;
  /** The newest entry that changed what is published: an event, a public marker. */
  readonly changed: { events: Position; receipts: Position };
  readonly events: Map<EventId, EventInfo>;
  readonly markers: Markers;
  readonly held: HeldReceipts;
  readonly unread: UnreadIndex;
  readonly timeline: Timeline;
  /** F10. By user id; empty as long as the room's membership is not known. */
  readonly members: Map<UserId, string>;
  acl: ServerAcl | undefined;
  /** Where the log has each current state event, by `stateKey`. */
  readonly state: Map<string, Position>;
}

/** The key of a state event among a room's state: type and state key, told apart by what neither may contain. */
export function stateKey(type: string, key: string): string {
  return `${type}\u0000${key}`;
}

export function emptyRoom(id: RoomId): Room {
  return {
    id,
    position: 0,
    changed: { events: 0, receipts: 0 },
    events: new Map(),
    markers: new Markers(),
    held: new HeldReceipts(),
    unread: new UnreadIndex(),
    timeline: new Timeline(),
    members: new Map(),
    acl: undefined,
    state: new Map(),
  };
}

interface TimelineEvent {
  readonly event: MatrixEvent;
  readonly order: Order;
}

/** The newest live events with their bodies, in order. */
export class Timeline {
  readonly #events: TimelineEvent[] = [];

  add(event: MatrixEvent, order: Order): void {
    this.#events.push({ event, order });
    if (this.#events.length > TIMELINE_EVENTS_MAX) this.#events.shift();
  }

  /** F11. Content that was taken back is not shown again. */
  redact(target: EventId, because: MatrixEvent): void {
    const at = this.#events.findIndex(({ event }) => event.event_id === target);
    const found = this.#events[at];
    if (found !== undefined) this.#events[at] = { event: redacted(found.event, because), order: found.order };
  }

  latest(limit: number): readonly TimelineEvent[] {
    return limit === 0 ? [] : this.#events.slice(-limit);
  }
}
