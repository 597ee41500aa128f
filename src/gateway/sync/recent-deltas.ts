/**
 * The deltas that a gateway got lately, by room and user, so that most `/sync` requests need not ask anyone.
 *
 * A cache: bounded in bytes, empty after a start. Whoever comes with a token from before what is here is served from
 * snapshots.
 */
import type { Position } from "../../../actors/entry.ts";
import type { Delta, DeltaMark, EventsDelta, FullyRead } from "../../bus/deltas/delta-reader.ts";
import { GATEWAY_LAG_MAX, RECENT_BYTES_MAX } from "../../limits.ts";
import { type OrderedEvent, redacted, redactedBy } from "../../matrix/event.ts";
import type { RoomId, UserId } from "../../matrix/ids.ts";
import type { ReceiptContent } from "../../matrix/receipt.ts";

interface Item {
  readonly sequence: number;
  readonly room: RoomId;
  readonly bytes: number;
  /** Whose alone it is. */
  readonly user?: UserId;
  readonly events?: OrderedEvent[];
  readonly receipts?: ReceiptContent;
  readonly fullyRead?: FullyRead;
}

/** What changed in a room for one user, oldest first. */
export interface RoomChanges {
  /** Live events. */
  readonly events: readonly OrderedEvent[];
  readonly receipts: readonly ReceiptContent[];
  readonly fullyRead?: FullyRead | undefined;
}

/** Changes that several users may share; whoever makes something of them shares that as well. */
export interface SharedChanges extends RoomChanges {
  readonly made: Map<unknown, string | undefined>;
}

interface Room {
  readonly items: Item[];
  /** What everybody may see of the items from a sequence on, until something is added. */
  readonly shared: Map<number, SharedChanges>;
  /** Position of the newest events delta. */
  eventsAt: Position;
}

export class RecentDeltas {
  /** By partition: how far it was read, and after which sequence everything is here. */
  #marks: readonly DeltaMark[];
  readonly #floors: number[];
  readonly #rooms = new Map<RoomId, Room>();
  /** All items in order of arrival, with their partitions. */
  readonly #arrivals = new Set<{ readonly partition: number; readonly item: Item }>();
  #bytes = 0;

  constructor(partitions: number) {
    this.#marks = new Array(partitions).fill({ sequence: 0, published: 0 });
    this.#floors = new Array(partitions).fill(0);
  }

  /** What comes after this mark is all here; of what was before, something is missing. */
  begin(partition: number, mark: DeltaMark): void {
    this.#marks = this.#marks.with(partition, mark);
    this.#floors[partition] = mark.sequence;
  }

  /** How far each partition was read by now. */
  get marks(): readonly DeltaMark[] {
    return this.#marks;
  }

  add(partition: number, delta: Delta, mark: DeltaMark, bytes: number): void {
    this.#marks = this.#marks.with(partition, mark);
    const item: Item = {
      sequence: mark.sequence,
      room: delta.room_id,
      bytes,
      ...(delta.kind === "private" && { user: delta.user_id }),
      ...(delta.kind === "private" && delta.fully_read !== undefined && { fullyRead: delta.fully_read }),
      ...(delta.kind === "events" && { events: delta.events.filter(({ unsigned }) => unsigned.order >= 0) }),
      ...(delta.kind !== "events" && delta.event !== undefined && { receipts: delta.event.content }),
    };
    let room = this.#rooms.get(delta.room_id);
    if (room === undefined) {
      room = { items: [], shared: new Map(), eventsAt: 0 };
      this.#rooms.set(delta.room_id, room);
    }
    room.items.push(item);
    room.shared.clear();
    if (delta.kind === "events") {
      room.eventsAt = Math.max(room.eventsAt, delta.position);
      redact(room, delta);
    }
    this.#arrivals.add({ partition, item });
    this.#bytes += bytes;
    this.#evict();
  }

  /**
   * Whether every change after a mark is here, or will come: another gateway may be a little faster. A mark far ahead is of
   * another stream.
   */
  covers(partition: number, { sequence }: DeltaMark): boolean {
    return sequence >= this.#floors[partition]! && sequence <= this.#marks[partition]!.sequence + GATEWAY_LAG_MAX;
  }

  /** Whether a room's live events through a position have come. */
  hasEvents(partition: number, id: RoomId, position: Position): boolean {
    const room = this.#rooms.get(id);
    return position <= this.#marks[partition]!.published || position <= (room?.eventsAt ?? 0);
  }

  /**
   * What changed in a room after a sequence, as a user may see it; undefined when nothing did. Users who may see the same are
   * given the same object, so that what is made of it can be shared as well.
   */
  changes(id: RoomId, user: UserId, after: number): SharedChanges | undefined {
    const room = this.#rooms.get(id);
    if (room === undefined || room.items.at(-1)!.sequence <= after) return undefined;
    const { items, shared } = room;
    let hasOwn = false;
    let firstPublic: number | undefined;
    let first = items.length;
    for (; first > 0 && items[first - 1]!.sequence > after; first--) {
      const item = items[first - 1]!;
      if (item.user === undefined) firstPublic = item.sequence;
      else if (item.user === user) hasOwn = true;
    }
    if (hasOwn) return changesOf(items.slice(first).filter((item) => item.user === undefined || item.user === user));
    if (firstPublic === undefined) return undefined;
    let changes = shared.get(firstPublic);
    if (changes === undefined) {
      changes = changesOf(items.slice(first).filter((item) => item.user === undefined));
      shared.set(firstPublic, changes);
    }
    return changes;
  }

  #evict(): void {
    for (const arrival of this.#arrivals) {
      if (this.#bytes <= RECENT_BYTES_MAX) return;
      const { partition, item } = arrival;
      this.#arrivals.delete(arrival);
      this.#bytes -= item.bytes;
      this.#floors[partition] = Math.max(this.#floors[partition]!, item.sequence);
      const room = this.#rooms.get(item.room);
      room?.items.shift();
      room?.shared.clear();
      if (room?.items.length === 0) this.#rooms.delete(item.room);
    }
  }
}

function changesOf(items: readonly Item[]): SharedChanges {
  return {
    events: items.flatMap(({ events }) => events ?? []),
    receipts: items.flatMap(({ receipts }) => receipts ?? []),
    fullyRead: items.findLast((item) => item.fullyRead !== undefined)?.fullyRead,
    made: new Map(),
  };
}

/** F11. Content that was taken back is not shown again. */
function redact({ items }: Room, { events }: EventsDelta): void {
  for (const because of events) {
    const target = redactedBy(because);
    if (target === undefined) continue;
    for (const { events: held } of items) {
      const at = held?.findIndex(({ event_id }) => event_id === target) ?? -1;
      const event = held?.[at];
      if (held === undefined || event === undefined) continue;
      const { unsigned, ...rest } = redacted(event, because);
      held[at] = { ...rest, unsigned: { ...unsigned, order: event.unsigned.order } };
    }
  }
}
