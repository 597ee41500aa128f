/** The rows of a partition's rooms as a room reads them: one by one, or in a range. `room-writes.ts` writes them. */
import type { Database } from "lmdb";
import type { EventInfo, Order, Position, ReceiptEntry } from "../../actors/entry.ts";
import type { Marker } from "../../actors/room/marker.ts";
import type { Member, StateEvent, StoredRoom } from "../../actors/room/room.ts";
import type { StateGroup } from "../../actors/room/state-changes.ts";
import type { ThreadSummary } from "../../actors/room/thread-index.ts";
import type { EventId, ServerName, ThreadId, UserId } from "../matrix/ids.ts";
import { keyPart, nameAndValue } from "./keys.ts";
import {
  type EventRow,
  eventInfo,
  type MarkerRow,
  type MemberRow,
  marker,
  member,
  type RoomRow,
  roomFacts,
  type StateBodyRow,
  type StateChangeRow,
  type StatePlaceRow,
  type StateRow,
  stateBody,
  stateChange,
  stateEvent,
  statePlace,
  type ThreadRow,
  threadSummary,
  type UnsettledRow,
  unsettledEvent,
  waitingIn,
} from "./rows.ts";
import { type Key, type RowReader, StoredRows } from "./stored-rows.ts";
import { LAST, LAST_TEXT, mapped, ordered, type Tables } from "./tables.ts";

interface Readers {
  readonly events: RowReader<EventId, EventInfo>;
  readonly members: RowReader<UserId, Member>;
  readonly joined: RowReader<ServerName, number>;
  readonly joins: RowReader<UserId, Order>;
  readonly redactions: RowReader<EventId, EventId>;
  readonly erasures: RowReader<UserId, number>;
  readonly state: RowReader<string, StateEvent>;
  readonly sent: RowReader<UserId, Order>;
  readonly threads: RowReader<EventId, ThreadSummary>;
  readonly threadSenders: RowReader<string, number>;
}

/** Runs a read. Throws `STORE_FAILED` when it fails. */
type Reading = <T>(read: () => T) => T;

export class RoomRows {
  readonly #tables: Tables;
  readonly #readers: Readers;
  readonly #read: Reading;

  constructor(tables: Tables, read: Reading) {
    this.#tables = tables;
    this.#read = read;
    this.#readers = this.#makeReaders();
  }

  #makeReaders(): Readers {
    const { events, members, joined, joins, redactions, erasures, state, sent, threads, threadSenders } = this.#tables;
    const get = (table: Database<unknown, Key>, key: Key) => this.#read(() => table.get(key));
    return {
      events: { table: events, get, parse: (id, value) => eventInfo(id, value as EventRow) },
      members: { table: members, get, parse: (_, value) => member(value as MemberRow) },
      joined: { table: joined, get, parse: (_, value) => value as number },
      joins: { table: joins, get, parse: (_, value) => value as Order },
      redactions: { table: redactions, get, parse: (_, value) => value as EventId },
      erasures: { table: erasures, get, parse: (_, value) => value as number },
      state: { table: state, get, parse: (_, value) => stateEvent(value as StateRow) },
      sent: { table: sent, get, parse: (_, value) => value as Order },
      threads: { table: threads, get, parse: (_, value) => threadSummary(value as ThreadRow) },
      threadSenders: { table: threadSenders, get, parse: (_, value) => value as number },
    };
  }

  /** The rows of a room. Also of one that was never stored: it has rows to come, which leave memory once they are there. */
  of(row: RoomRow | undefined, number: number): StoredRoom {
    const { orders, relations, relationsByType, threadActivity, stateBodies, stateChanges, statePlaces, unread } =
      this.#tables;
    const readers = this.#readers;
    const waiting = row === undefined ? { held: 0, unsettled: 0 } : waitingIn(row);
    return {
      facts: row === undefined ? undefined : roomFacts(row),
      events: new StoredRows(readers.events, number),
      byOrder: { range: (_, range) => ordered<Position>(orders, [number], range) },
      relations: { range: (target, range) => ordered<EventId>(relations, [number, keyPart(target)], range) },
      relationsByType: { range: (key, range) => ordered<EventId>(relationsByType, [number, keyPart(key)], range) },
      threads: {
        summaries: new StoredRows(readers.threads, number),
        senders: new StoredRows(readers.threadSenders, number),
        activity: { range: (_, range) => ordered<EventId>(threadActivity, [number], range) },
      },
      markers: {
        of: (user) => this.markersOf(number, user),
        all: () => this.#markers({ start: [number], end: [number + 1] }),
        from: (position) => this.#markersFrom(number, position),
      },
      members: new StoredRows(readers.members, number),
      joined: new StoredRows(readers.joined, number),
      joins: new StoredRows(readers.joins, number),
      redactions: new StoredRows(readers.redactions, number),
      erasures: new StoredRows(readers.erasures, number),
      state: new StoredRows(readers.state, number),
      stateBodies: {
        at: (group, position) => {
          const row = this.#read(() => stateBodies.get([number, group, position]));
          return row === undefined ? undefined : stateBody(position, row as StateBodyRow);
        },
        above: (group, position) => this.#bodiesAbove(number, group, position),
      },
      stateChanges: {
        byKey: {
          range: (key, range) =>
            mapped(ordered<StateChangeRow>(stateChanges, [number, keyPart(key)], range), stateChange),
        },
        places: {
          range: (group, range) => mapped(ordered<StatePlaceRow>(statePlaces, [number, group], range), statePlace),
        },
      },
      held: waiting.held === 0 ? [] : this.#held(number),
      unsettled: waiting.unsettled === 0 ? [] : this.#unsettled(number),
      sent: {
        main: new StoredRows(readers.sent, number),
        inThread: (user, thread) => this.#sentInThread([number, keyPart(user), keyPart(thread)]),
      },
      unread: {
        threads: () => this.#threads(unread, number),
        between: (thread, after, before) => this.#unreadBetween(unread, [number, keyPart(thread)], { after, before }),
      },
    };
  }

  *#bodiesAbove(number: number, group: StateGroup, above: Position) {
    const range = { dir: "f", above, below: Number.POSITIVE_INFINITY } as const;
    for (const [position, row] of ordered<StateBodyRow>(this.#tables.stateBodies, [number, group], range)) {
      yield stateBody(position, row);
    }
  }

  markersOf(number: number, user: UserId): Iterable<Marker> {
    const part = keyPart(user);
    return this.#markers({ start: [number, part], end: [number, part, LAST_TEXT] });
  }

  *#markers(range: { readonly start: Key; readonly end: Key }): Generator<Marker> {
    for (const { key, value: stored } of this.#tables.markers.getRange(range)) {
      const [user, row] = nameAndValue((key as [number, string])[1], stored);
      yield marker(user as UserId, row as MarkerRow);
    }
  }

  *#markersFrom(number: number, position: Position): Generator<Marker> {
    const range = { start: [number, position], end: [number + 1] };
    for (const { key, value: stored } of this.#tables.markerPlaces.getRange(range)) {
      const [user, row] = nameAndValue((key as [number, Position, string])[2], stored);
      yield marker(user as UserId, row as MarkerRow);
    }
  }

  *#held(number: number) {
    for (const { key, value } of this.#tables.held.getRange({ start: [number], end: [number + 1] })) {
      yield { position: (key as [number, Position])[1], receipt: value as ReceiptEntry };
    }
  }

  *#unsettled(number: number) {
    for (const { key, value } of this.#tables.unsettled.getRange({ start: [number], end: [number + 1] })) {
      yield unsettledEvent((key as [number, Position])[1], value as UnsettledRow);
    }
  }

  *#sentInThread(of: readonly [number, string, string]): Generator<Order> {
    const range = { start: [...of, LAST], end: [...of, 0], reverse: true };
    for (const key of this.#tables.sentInThreads.getKeys(range)) yield (key as [number, string, string, Order])[3];
  }

  /** Each thread once: from one to the next by a seek. */
  *#threads(table: Database<unknown, Key>, number: number): Generator<ThreadId> {
    let start: Key = [number];
    for (;;) {
      let next: Key | undefined;
      for (const { key, value } of table.getRange({ start, end: [number + 1], limit: 1 })) {
        const part = (key as [number, string])[1];
        next = [number, part, LAST];
        yield nameAndValue(part, value)[0] as ThreadId;
      }
      if (next === undefined) return;
      start = next;
    }
  }

  *#unreadBetween(
    table: Database<unknown, Key>,
    of: readonly [number, string],
    { after, before }: { readonly after: Order; readonly before: Order },
  ) {
    const start: Key = [...of, Number.isFinite(before) ? before : LAST];
    const end: Key = [...of, Math.max(after, 0)];
    for (const { key, value } of table.getRange({ start, exclusiveStart: true, end, reverse: true })) {
      const [, part, order] = key as [number, string, Order];
      yield { order, sender: nameAndValue(part, value)[1] as UserId };
    }
  }
}
