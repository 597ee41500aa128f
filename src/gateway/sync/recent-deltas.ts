/**
 * A cache of recent deltas by room, from which most `/sync` requests are answered without a query.
 *
 * It is bounded by what it costs in memory, `RECENT_BYTES_MAX`: deltas are kept encoded, and decoded when a section is
 * rendered. Clients whose token is older than the cache are served from snapshots.
 */
import type { Position } from "../../../actors/entry.ts";
import type { Delta } from "../../bus/contract/messages.ts";
import type { DeltaMark } from "../../bus/deltas/delta-reader.ts";
import { CHANGES_BYTES_MAX, CHANGES_DELTAS_MAX, GATEWAY_LAG_MAX, RECENT_BYTES_MAX } from "../../limits.ts";
import { type MatrixEvent, type OrderedEvent, redacted, withOrder } from "../../matrix/event.ts";
import type { EventId, RoomId, UserId } from "../../matrix/ids.ts";
import { type ReceiptContent, withoutUsers } from "../../matrix/receipt.ts";
import { redactedBy } from "../../matrix/relations.ts";
import { Fifo } from "./fifo.ts";
import { bytesOf, type Packed, PackedValues, unpacked } from "./packed-values.ts";
import { PublishedTrail } from "./published-trail.ts";
import { changesSummary } from "./room-summaries.ts";
import {
  type DecodedChanges,
  type FullyReadAt,
  type SharedBySequence,
  type SharedChanges,
  SharedChangesCache,
  sharedChanges,
} from "./shared-changes.ts";

/** Measured: memory that a room, a delta, a live event and a fully-read marker cost beside their bytes. */
const ROOM_COST_BYTES = 1_000;
const DELTA_COST_BYTES = 240;
const EVENT_COST_BYTES = 300;
const FULLY_READ_COST_BYTES = 150;

interface CachedDelta {
  readonly partition: number;
  readonly sequence: number;
  readonly room: Room;
  /** The only user who may see it; undefined for public deltas. */
  readonly user: UserId | undefined;
  readonly events: readonly CachedEvent[];
  readonly markers: Packed | undefined;
  /** The position of the user's `m.fully_read`, if it is among the markers. */
  readonly fullyReadAt: Position | undefined;
  /** Memory that it takes. */
  readonly cost: number;
  /** Bytes and live events of the room's deltas before this one. */
  readonly bytesBefore: number;
  readonly eventsBefore: number;
  /** Whether the room's summary may be another one. */
  readonly changesSummary: boolean;
}

/** A live event. */
interface CachedEvent {
  readonly id: EventId;
  readonly packed: Packed;
  /** The event that redacted it. */
  because: Packed | undefined;
  /** F14. */
  isErased: boolean;
  /** The same event in an older delta. */
  copy: CachedEvent | undefined;
}

interface Markers {
  readonly receipts?: ReceiptContent;
  readonly fullyRead?: FullyReadAt;
}

interface Room {
  readonly id: RoomId;
  readonly deltas: Fifo<CachedDelta>;
  readonly events: Map<EventId, CachedEvent>;
  /** The public changes from a sequence on. Cleared when deltas are added or evicted. */
  readonly shared: SharedBySequence;
  /** Bytes and live events of all deltas that were ever added. */
  bytes: number;
  eventCount: number;
  /** Position of the newest events delta. */
  eventsAt: Position;
  /** By user: the position of the newest `m.fully_read` that is cached. */
  readonly fullyReadAt: Map<UserId, Position>;
  /** F14. By user: the sequence of the erasure. What older deltas have of the user's receipts is not shown. */
  readonly erasures: Map<string, number>;
}

export class RecentDeltas {
  /** How far each partition is read. */
  #marks: readonly DeltaMark[];
  /** By partition. Every delta after the floor of a trail is in the cache. */
  readonly #trails: PublishedTrail[];
  readonly #rooms = new Map<RoomId, Room>();
  /** All deltas in order of arrival. */
  readonly #arrivals = new Fifo<CachedDelta>();
  readonly #packing = new PackedValues();
  readonly #shared = new SharedChangesCache();
  readonly #bytesMax: number;
  #bytes = 0;

  /** `bytesMax`: memory that it takes. */
  constructor(partitions: number, bytesMax = RECENT_BYTES_MAX) {
    this.#bytesMax = bytesMax;
    this.#marks = new Array(partitions).fill({ sequence: 0, published: 0, lineage: "" });
    this.#trails = this.#marks.map((mark) => new PublishedTrail(mark));
  }

  /** Declares that only deltas after this mark are complete. */
  begin(partition: number, mark: DeltaMark): void {
    this.#marks = this.#marks.with(partition, mark);
    this.#trails[partition] = new PublishedTrail(mark);
  }

  /** Evicts a partition's deltas: those after this mark are of another log. */
  restart(partition: number, mark: DeltaMark): void {
    this.#arrivals.filter((delta) => {
      if (delta.partition !== partition) return true;
      this.#bytes -= delta.cost;
      if (this.#rooms.delete(delta.room.id)) this.#forget(delta.room);
      return false;
    });
    this.begin(partition, mark);
  }

  /** How far each partition is read. The array is never changed, but replaced. */
  get marks(): readonly DeltaMark[] {
    return this.#marks;
  }

  /** Memory that it takes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A delta with nothing new was read. */
  skip(partition: number, mark: DeltaMark): void {
    this.#marks = this.#marks.with(partition, mark);
    this.#trails[partition]!.add(mark);
  }

  add(partition: number, delta: Delta, mark: DeltaMark): void {
    this.#marks = this.#marks.with(partition, mark);
    this.#trails[partition]!.add(mark);
    const room = this.#room(delta.room_id);
    this.#shared.clear(room.shared);
    const live = delta.type === "events" && delta.kind === "live" ? delta.events : [];
    const events = live.map((event) => this.#cachedEvent(room, event));
    const fullyRead = newerFullyRead(room, delta);
    const markers = delta.type === "events" ? undefined : this.#packing.add(markersOf(delta, fullyRead));
    const bytes = events.reduce(
      (sum, { packed }) => sum + bytesOf(packed),
      markers === undefined ? 0 : bytesOf(markers),
    );
    const cached: CachedDelta = {
      partition,
      sequence: mark.sequence,
      room,
      user: delta.type === "private" ? delta.user_id : undefined,
      events,
      markers,
      fullyReadAt: fullyRead?.position,
      cost:
        bytes +
        DELTA_COST_BYTES +
        EVENT_COST_BYTES * events.length +
        (fullyRead === undefined ? 0 : FULLY_READ_COST_BYTES),
      bytesBefore: room.bytes,
      eventsBefore: room.eventCount,
      changesSummary: changesSummary(live),
    };
    room.deltas.push(cached);
    room.bytes += bytes;
    room.eventCount += events.length;
    if (delta.type === "events") {
      room.eventsAt = Math.max(room.eventsAt, delta.position);
      this.#redact(room, delta);
    }
    if (delta.type === "receipts") erase(room, delta.erased, mark.sequence);
    this.#arrivals.push(cached);
    this.#bytes += cached.cost;
    this.#evict();
  }

  /**
   * Whether the cache has every delta after a mark. The mark may come from a gateway that has read a little further;
   * one that is more than `GATEWAY_LAG_MAX` ahead is not a mark of this stream.
   */
  covers(partition: number, { sequence }: Pick<DeltaMark, "sequence">): boolean {
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
      for (const event of delta.events) sent.add(event.id);
    }
    return sent;
  }

  /** Whether the deltas of the room's live events have been read through this position. */
  hasEvents(partition: number, id: RoomId, position: Position): boolean {
    const room = this.#rooms.get(id);
    return position <= this.#marks[partition]!.published || position <= (room?.eventsAt ?? 0);
  }

  /**
   * Whether so much changed in a room after a sequence that a snapshot says it more briefly: what takes long to read in one turn
   * of the event loop, or more than a timeline of so many events shows. A snapshot also has what belongs to the events of such
   * a timeline. 0 events are never too many.
   */
  isLong(id: RoomId, after: number, eventsMax: number): boolean {
    const room = this.#rooms.get(id);
    if (room === undefined || room.deltas.length === 0) return false;
    const first = firstAfter(room, after);
    const { bytesBefore = room.bytes, eventsBefore = room.eventCount } = room.deltas.at(first) ?? {};
    if (room.deltas.length - first > CHANGES_DELTAS_MAX || room.bytes - bytesBefore > CHANGES_BYTES_MAX) return true;
    return eventsMax > 0 && room.eventCount - eventsBefore > eventsMax;
  }

  /**
   * Returns the changes of a room after a sequence that the user may see; undefined if there are none. Users who may
   * see the same changes get the same object, so that what is rendered from it can be shared.
   */
  changes(id: RoomId, user: UserId, after: number): SharedChanges | undefined {
    const room = this.#rooms.get(id);
    if (room === undefined || room.deltas.at(room.deltas.length - 1)!.sequence <= after) return undefined;
    const deltas = room.deltas.from(firstAfter(room, after));
    const visible = deltas.filter((delta) => (delta.user ?? user) === user);
    if (visible.length === 0) return undefined;
    if (visible.some((delta) => delta.user !== undefined)) return sharedChanges(decoderOf(visible));
    const { sequence } = visible[0]!;
    const known = this.#shared.get(room.shared, sequence);
    return known ?? this.#shared.add(room.shared, sequence, { read: decoderOf(visible), deltas: visible.length });
  }

  #room(id: RoomId): Room {
    let room = this.#rooms.get(id);
    if (room === undefined) {
      room = {
        id,
        deltas: new Fifo(),
        events: new Map(),
        shared: new Map(),
        bytes: 0,
        eventCount: 0,
        eventsAt: 0,
        fullyReadAt: new Map(),
        erasures: new Map(),
      };
      this.#rooms.set(id, room);
      this.#bytes += ROOM_COST_BYTES;
    }
    return room;
  }

  #cachedEvent({ events }: Room, event: OrderedEvent): CachedEvent {
    const id = event.event_id;
    const packed = this.#packing.add(event);
    const cached = { id, packed, because: undefined, isErased: false, copy: events.get(id) };
    events.set(id, cached);
    return cached;
  }

  /** F11. The content of redacted events is never read again. */
  #redact({ events }: Room, delta: Delta<"events">): void {
    for (const because of delta.events) {
      const target = redactedBy(because);
      let event = target === undefined ? undefined : events.get(target);
      if (event === undefined) continue;
      const packed = events.get(because.event_id)?.packed ?? this.#packing.add(because);
      for (; event !== undefined; event = event.copy) event.because = packed;
    }
  }

  #evict(): void {
    while (this.#bytes > this.#bytesMax && this.#arrivals.length > 0) {
      const { room, partition, sequence, user, events, fullyReadAt, cost } = this.#arrivals.at(0)!;
      this.#arrivals.shift();
      this.#bytes -= cost;
      this.#trails[partition]!.dropBefore(sequence);
      room.deltas.shift();
      for (const event of events) forgetEvent(room, event);
      if (user !== undefined && room.fullyReadAt.get(user) === fullyReadAt) room.fullyReadAt.delete(user);
      if (room.deltas.length > 0) this.#shared.clear(room.shared);
      else if (this.#rooms.delete(room.id)) this.#forget(room);
    }
  }

  #forget(room: Room): void {
    this.#shared.clear(room.shared);
    this.#bytes -= ROOM_COST_BYTES;
  }
}

/** Returns the index of the room's first delta after a sequence. */
function firstAfter({ deltas }: Room, after: number): number {
  return deltas.search(({ sequence }) => sequence > after);
}

/** F14. Nothing of it is read from the cache again. */
function erase({ erasures, events }: Room, erased: Delta<"receipts">["erased"], sequence: number): void {
  for (const [user, ids] of Object.entries(erased ?? {})) {
    erasures.set(user, sequence);
    for (const id of ids)
      for (let event = events.get(id); event !== undefined; event = event.copy) event.isErased = true;
  }
}

/** The event is the oldest with its id. */
function forgetEvent({ events }: Room, event: CachedEvent): void {
  let newer = events.get(event.id);
  if (newer === event) events.delete(event.id);
  while (newer !== undefined && newer.copy !== event) newer = newer.copy;
  if (newer !== undefined) newer.copy = undefined;
}

function markersOf({ event }: Delta<"receipts" | "private">, fullyRead: FullyReadAt | undefined): Markers {
  return { ...(event !== undefined && { receipts: event.content }), ...(fullyRead !== undefined && { fullyRead }) };
}

/** Notes a delta's `m.fully_read`, and returns it, unless a newer one is cached: an owner that was paused may publish an old one. */
function newerFullyRead({ fullyReadAt }: Room, delta: Delta): FullyReadAt | undefined {
  if (delta.type !== "private" || delta.fully_read === undefined) return undefined;
  const { user_id: user, position } = delta;
  if (position < (fullyReadAt.get(user) ?? 0)) return undefined;
  fullyReadAt.set(user, position);
  return { ...delta.fully_read, position };
}

function decoderOf(deltas: readonly CachedDelta[]): DecodedChanges {
  return {
    changesSummary: deltas.some((delta) => delta.changesSummary),
    events: () => deltas.flatMap(({ events }) => events.map(eventOf)),
    receipts: () => deltas.flatMap((delta) => markersIn(delta).receipts ?? []),
    fullyRead: () => {
      const newest = deltas.findLast(({ fullyReadAt }) => fullyReadAt !== undefined);
      return newest && markersIn(newest).fullyRead;
    },
  };
}

function markersIn({ markers, user, sequence, room: { erasures } }: CachedDelta): Markers {
  if (markers === undefined) return {};
  const read = unpacked(markers) as Markers;
  if (erasures.size === 0) return read;
  const isErased = (of: string) => sequence < (erasures.get(of) ?? 0);
  if (user !== undefined) return isErased(user) ? {} : read;
  return read.receipts === undefined ? read : { ...read, receipts: withoutUsers(read.receipts, isErased) };
}

function eventOf({ packed, because, isErased }: CachedEvent): OrderedEvent {
  const event = unpacked(packed) as OrderedEvent;
  if (because === undefined && !isErased) return event;
  const left = redacted(event, because && (unpacked(because) as MatrixEvent));
  return withOrder(left, event.unsigned.order);
}
