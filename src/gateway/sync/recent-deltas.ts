/**
 * A cache of recent deltas by room, from which most `/sync` requests are answered without a query.
 *
 * It is bounded by `RECENT_BYTES_MAX`. Clients whose token is older than the cache are served from snapshots.
 */
import type { Position } from "../../../actors/entry.ts";
import type { FullyRead } from "../../bus/contract/fields.ts";
import type { Delta } from "../../bus/contract/messages.ts";
import type { DeltaMark } from "../../bus/deltas/delta-reader.ts";
import { GATEWAY_LAG_MAX, RECENT_BYTES_MAX } from "../../limits.ts";
import { type OrderedEvent, redacted } from "../../matrix/event.ts";
import type { EventId, RoomId, UserId } from "../../matrix/ids.ts";
import type { ReceiptContent } from "../../matrix/receipt.ts";
import { redactedBy } from "../../matrix/relations.ts";
import type { Filter } from "../filter.ts";
import { PublishedTrail } from "./published-trail.ts";

/**
 * A user's `m.fully_read`, and the position of the delta or snapshot that has it: a homeserver may move it back (F7), so of two, the
 * one of the greater position is the newer.
 */
export interface FullyReadAt extends FullyRead {
  readonly position: Position;
}

interface CachedDelta {
  readonly sequence: number;
  readonly room: RoomId;
  readonly bytes: number;
  /** The only user who may see it; undefined for public deltas. */
  readonly user?: UserId;
  readonly events?: OrderedEvent[];
  readonly receipts?: ReceiptContent;
  readonly fullyRead?: FullyReadAt;
}

/** The changes of a room that one user may see, oldest first. */
export interface RoomChanges {
  /** Live events. */
  readonly events: readonly OrderedEvent[];
  readonly receipts: readonly ReceiptContent[];
  readonly fullyRead?: FullyReadAt | undefined;
}

/** Changes that several users may see. What is rendered from them is cached here, and shared in the same way. */
export interface SharedChanges extends RoomChanges {
  /** By filter; undefined where the filter leaves nothing to show. */
  readonly rendered: Map<Filter, string | undefined>;
}

interface Room {
  readonly deltas: CachedDelta[];
  /** The public changes from a sequence on. Cleared when deltas are added or evicted. */
  readonly shared: Map<number, SharedChanges>;
  /** Position of the newest events delta. */
  eventsAt: Position;
  /** By user: the newest `m.fully_read` that is cached. */
  readonly fullyRead: Map<UserId, FullyReadAt>;
}

export class RecentDeltas {
  /** How far each partition is read. */
  #marks: readonly DeltaMark[];
  /** By partition. Every delta after the floor of a trail is in the cache. */
  readonly #trails: PublishedTrail[];
  readonly #rooms = new Map<RoomId, Room>();
  /** All deltas in order of arrival. */
  readonly #arrivals = new Set<{ readonly partition: number; readonly cached: CachedDelta }>();
  #bytes = 0;

  constructor(partitions: number) {
    this.#marks = new Array(partitions).fill({ sequence: 0, published: 0 });
    this.#trails = this.#marks.map((mark) => new PublishedTrail(mark));
  }

  /** Declares that only deltas after this mark are complete. */
  begin(partition: number, mark: DeltaMark): void {
    this.#marks = this.#marks.with(partition, mark);
    this.#trails[partition] = new PublishedTrail(mark);
  }

  /** Evicts a partition's deltas: those after this mark are of another log. */
  restart(partition: number, mark: DeltaMark): void {
    for (const arrival of this.#arrivals) {
      if (arrival.partition !== partition) continue;
      this.#arrivals.delete(arrival);
      this.#bytes -= arrival.cached.bytes;
      this.#rooms.delete(arrival.cached.room);
    }
    this.begin(partition, mark);
  }

  /** How far each partition is read. The array is never changed, but replaced. */
  get marks(): readonly DeltaMark[] {
    return this.#marks;
  }

  add(partition: number, delta: Delta, mark: DeltaMark, bytes: number): void {
    this.#marks = this.#marks.with(partition, mark);
    this.#trails[partition]!.add(mark);
    let room = this.#rooms.get(delta.room_id);
    if (room === undefined) {
      room = { deltas: [], shared: new Map(), eventsAt: 0, fullyRead: new Map() };
      this.#rooms.set(delta.room_id, room);
    }
    const fullyRead = newerFullyRead(room, delta);
    const cached: CachedDelta = {
      sequence: mark.sequence,
      room: delta.room_id,
      bytes,
      ...(delta.type === "private" && { user: delta.user_id }),
      ...(fullyRead !== undefined && { fullyRead }),
      ...(delta.type === "events" && delta.kind === "live" && { events: delta.events }),
      ...(delta.type !== "events" && delta.event !== undefined && { receipts: delta.event.content }),
    };
    room.deltas.push(cached);
    room.shared.clear();
    if (delta.type === "events") {
      room.eventsAt = Math.max(room.eventsAt, delta.position);
      redact(room, delta);
    }
    this.#arrivals.add({ partition, cached });
    this.#bytes += bytes;
    this.#evict();
  }

  /**
   * Whether the cache has every delta after a mark. The mark may come from a gateway that has read a little further;
   * one that is more than `GATEWAY_LAG_MAX` ahead is not a mark of this stream.
   */
  covers(partition: number, { sequence }: DeltaMark): boolean {
    return sequence >= this.#trails[partition]!.floor && sequence <= this.#marks[partition]!.sequence + GATEWAY_LAG_MAX;
  }

  /**
   * Returns the `published` of the mark that the partition had just after the delta with this sequence; undefined for a
   * sequence that the cache does not cover.
   */
  publishedAt(partition: number, sequence: number): Position | undefined {
    return this.#trails[partition]!.at(sequence);
  }

  /** Returns the ids of the room's live events that are in cached deltas up to this sequence. */
  sentBefore(id: RoomId, sequence: number): ReadonlySet<EventId> {
    const sent = new Set<EventId>();
    for (const delta of this.#rooms.get(id)?.deltas ?? []) {
      if (delta.sequence > sequence) break;
      for (const event of delta.events ?? []) sent.add(event.event_id);
    }
    return sent;
  }

  /** Whether the deltas of the room's live events have been read through this position. */
  hasEvents(partition: number, id: RoomId, position: Position): boolean {
    const room = this.#rooms.get(id);
    return position <= this.#marks[partition]!.published || position <= (room?.eventsAt ?? 0);
  }

  /**
   * Returns the changes of a room after a sequence that the user may see; undefined if there are none. Users who may
   * see the same changes get the same object, so that what is rendered from it can be shared.
   */
  changes(id: RoomId, user: UserId, after: number): SharedChanges | undefined {
    const room = this.#rooms.get(id);
    if (room === undefined || room.deltas.at(-1)!.sequence <= after) return undefined;
    const { deltas, shared } = room;
    let hasOwn = false;
    let firstPublic: number | undefined;
    let first = deltas.length;
    for (; first > 0 && deltas[first - 1]!.sequence > after; first--) {
      const delta = deltas[first - 1]!;
      if (delta.user === undefined) firstPublic = delta.sequence;
      else if (delta.user === user) hasOwn = true;
    }
    if (hasOwn) return changesOf(deltas.slice(first).filter((delta) => (delta.user ?? user) === user));
    if (firstPublic === undefined) return undefined;
    let changes = shared.get(firstPublic);
    if (changes === undefined) {
      changes = changesOf(deltas.slice(first).filter((delta) => delta.user === undefined));
      shared.set(firstPublic, changes);
    }
    return changes;
  }

  #evict(): void {
    for (const arrival of this.#arrivals) {
      if (this.#bytes <= RECENT_BYTES_MAX) return;
      const { partition, cached } = arrival;
      this.#arrivals.delete(arrival);
      this.#bytes -= cached.bytes;
      this.#trails[partition]!.dropBefore(cached.sequence);
      const room = this.#rooms.get(cached.room);
      if (room === undefined) continue;
      room.deltas.shift();
      room.shared.clear();
      const { user, fullyRead } = cached;
      if (user !== undefined && room.fullyRead.get(user) === fullyRead) room.fullyRead.delete(user);
      if (room.deltas.length === 0) this.#rooms.delete(cached.room);
    }
  }
}

function changesOf(deltas: readonly CachedDelta[]): SharedChanges {
  return {
    events: deltas.flatMap(({ events }) => events ?? []),
    receipts: deltas.flatMap(({ receipts }) => receipts ?? []),
    fullyRead: deltas.findLast((delta) => delta.fullyRead !== undefined)?.fullyRead,
    rendered: new Map(),
  };
}

/** Notes a delta's `m.fully_read`, and returns it, unless a newer one is cached: an owner that was paused may publish an old one. */
function newerFullyRead({ fullyRead }: Room, delta: Delta): FullyReadAt | undefined {
  if (delta.type !== "private" || delta.fully_read === undefined) return undefined;
  const { user_id: user, position } = delta;
  if (position < (fullyRead.get(user)?.position ?? 0)) return undefined;
  const newest = { ...delta.fully_read, position };
  fullyRead.set(user, newest);
  return newest;
}

/** F11. Removes the content of redacted events from the cache. */
function redact({ deltas }: Room, { events }: Delta<"events">): void {
  for (const because of events) {
    const target = redactedBy(because);
    if (target === undefined) continue;
    for (const { events: cached } of deltas) {
      const at = cached?.findIndex(({ event_id }) => event_id === target) ?? -1;
      const event = cached?.[at];
      if (cached === undefined || event === undefined) continue;
      const { unsigned, ...rest } = redacted(event, because);
      cached[at] = { ...rest, unsigned: { ...unsigned, order: event.unsigned.order } };
    }
  }
}
