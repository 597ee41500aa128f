/**
 * A partition's checkpoint: its rooms as of one sequence of its log, in LMDB (docs/design.md#workers).
 *
 * There is one LMDB environment per partition, `<data>/state/<partition>`. A checkpoint is one transaction: the rows that
 * changed since the previous one, and the sequence that they include. It is a cache of the log: without it, the log is folded
 * again.
 *
 *     collect (changed rows, in memory) ──▶ … their publishes are acknowledged … ──▶ commit (one transaction)
 *
 * | found in the directory                          | then |
 * | ----------------------------------------------- | --- |
 * | nothing                                         | the log is folded from its start |
 * | a checkpoint of another version of fold or rows | the same; the old one is deleted |
 * | a damaged file                                  | the same; the file is moved away, not deleted |
 * | a sequence beyond the log, or of another log    | the partition fails, and says what to do (see `Mark`) |
 */
import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Database, open, type RootDatabase, TransactionFlags } from "lmdb";
import type { Logger } from "pino";
import type { EventInfo, LogStart, Order, Position, ReceiptEntry } from "../../actors/entry.ts";
import { FOLD_VERSION } from "../../actors/room/fold.ts";
import type { Marker } from "../../actors/room/markers.ts";
import type { Ordered, OrderRange } from "../../actors/room/order-index.ts";
import { type Member, Room, type RoomStore, type StateEvent, type StoredRoom } from "../../actors/room/room.ts";
import type { ThreadSummary } from "../../actors/room/thread-index.ts";
import { reasonOf, TidemarkError } from "../errors.ts";
import type { EventId, RoomId, ServerName, ThreadId, UserId } from "../matrix/ids.ts";
import { isPrivate } from "../matrix/receipt-types.ts";
import { keyPart, nameAndValue, withName } from "./keys.ts";
import { lmdbFault } from "./lmdb-file.ts";
import {
  type EventRow,
  eventInfo,
  eventRow,
  type MarkerRow,
  type MemberRow,
  marker,
  markerRow,
  member,
  memberRow,
  ROWS_VERSION,
  type RoomRow,
  roomFacts,
  roomRow,
  type StateBodyRow,
  type StateChangeRow,
  type StatePlaceRow,
  type StateRow,
  stateBody,
  stateBodyRow,
  stateChange,
  stateChangeRow,
  statePlace,
  statePlaceRow,
  stateRow,
  type ThreadRow,
  threadRow,
  type UnsettledRow,
  unsettledEvent,
  unsettledRow,
  waitingIn,
} from "./rows.ts";
import { type Key, type RowReader, StoredRows } from "./stored-rows.ts";

/** Rows of each kind that an active room keeps in memory after they are in a checkpoint. */
const HOT_ROWS_MAX = 1_024;

const VERSION = `${FOLD_VERSION}.${ROWS_VERSION}`;
const DATA_FILE = "data.mdb";
/** This file says that LMDB found the data damaged while it was in use. */
const DAMAGED_FILE = "damaged";

/** The last record that a checkpoint includes. Its room, clock and size distinguish it from a record of another log. */
export interface Mark {
  readonly sequence: number;
  /** null: the message is no record of a room. */
  readonly room: RoomId | null;
  readonly at: number;
  readonly entries: number;
}

/** The changes since the previous checkpoint. */
export interface Checkpoint {
  readonly mark: Mark;
  readonly rooms: readonly Room[];
  /**
   * Default: the changes are read from the rooms, which are not folded any further until `commit`. While a log is folded again,
   * that saves half of the garbage collection.
   */
  readonly writes?: readonly Write[];
}

/** Writes a row; undefined deletes it. */
type Put = (table: TableName, key: Key, value: unknown) => void;

interface Write {
  readonly table: TableName;
  readonly key: Key;
  readonly value: unknown;
}

interface Readers {
  readonly events: RowReader<EventId, EventInfo>;
  readonly members: RowReader<UserId, Member>;
  readonly joined: RowReader<ServerName, number>;
  readonly joins: RowReader<UserId, Order>;
  readonly redactions: RowReader<EventId, EventId>;
  readonly state: RowReader<string, StateEvent>;
  readonly sent: RowReader<UserId, Order>;
  readonly threads: RowReader<EventId, ThreadSummary>;
  readonly threadSenders: RowReader<string, number>;
}

const TABLES = [
  "rooms",
  "events",
  "orders",
  "relations",
  "relationsByType",
  "threads",
  "threadSenders",
  "threadActivity",
  "markers",
  "markerPlaces",
  "members",
  "memberships",
  "joined",
  "joins",
  "redactions",
  "state",
  "stateChanges",
  "statePlaces",
  "stateBodies",
  "held",
  "unsettled",
  "sent",
  "sentInThreads",
  "unread",
] as const;
type TableName = (typeof TABLES)[number];

/** The tables, and `meta`. */
const TABLES_MAX = TABLES.length + 1;

/** Beyond every part of a key: names begin with a sigil or a letter, digests with `~`. */
const LAST_TEXT = "~~";
/**
 * A commit doesn't wait for the disk. A checkpoint survives the death of the process. After a crash of the machine, LMDB goes
 * on from what was flushed earlier, which is enough for a cache.
 */
const COMMIT_FLAGS = TransactionFlags.ABORTABLE | TransactionFlags.NO_SYNC_FLUSH;

/** After every position and order. */
const LAST = Number.MAX_SAFE_INTEGER;
/** The key says everything. */
const KEY_ONLY = 0;

export class PartitionStore implements RoomStore {
  readonly #dir: string;
  readonly #root: RootDatabase;
  readonly #tables: Record<TableName, Database<unknown, Key>>;
  readonly #readers: Readers;
  readonly #meta: Database<unknown, string>;
  /** Numbers of rooms whose row is not committed yet. */
  readonly #numbers = new Map<RoomId, number>();
  readonly #owner = randomUUID();
  #nextNumber: number;
  #mark: Mark | undefined;
  #start: LogStart | undefined;

  private constructor(dir: string) {
    this.#dir = dir;
    this.#root = open({ path: dir, maxDbs: TABLES_MAX });
    const table = (name: TableName) => this.#root.openDB<unknown, Key>({ name });
    this.#tables = Object.fromEntries(TABLES.map((name) => [name, table(name)])) as Record<
      TableName,
      Database<unknown, Key>
    >;
    this.#readers = this.#makeReaders();
    this.#meta = this.#root.openDB<unknown, string>({ name: "meta" });
    this.#nextNumber = (this.#meta.get("rooms") as number | undefined) ?? 1;
    this.#mark = this.#meta.get("mark") as Mark | undefined;
    this.#start = this.#meta.get("start") as LogStart | undefined;
  }

  /** Opens a partition's checkpoint, or starts a new one. Makes the directory if it doesn't exist. */
  static async open(dir: string, log: Logger): Promise<PartitionStore> {
    mkdirSync(dir, { recursive: true });
    const fault = existsSync(join(dir, DAMAGED_FILE)) ? "it was found damaged" : lmdbFault(join(dir, DATA_FILE));
    if (fault !== undefined) setAside(dir, fault, log);
    let store: PartitionStore;
    try {
      store = new PartitionStore(dir);
    } catch (error) {
      setAside(dir, reasonOf(error), log);
      store = new PartitionStore(dir);
    }
    const version = store.#meta.get("version");
    if (version === VERSION) return store.#own();
    if (version !== undefined) {
      log.info({ dir, version, wanted: VERSION }, "the checkpoint is of another version: it is rebuilt from the log");
      await store.close();
      rmSync(dir, { recursive: true });
      mkdirSync(dir);
      store = new PartitionStore(dir);
    }
    return store.#own();
  }

  /** From here on, the previous owner of the directory can't write to it any more: two writers would corrupt it. */
  #own(): this {
    this.#root.transactionSync(() => {
      this.#meta.putSync("version", VERSION);
      this.#meta.putSync("owner", this.#owner);
    });
    return this;
  }

  /** The last record that is included; undefined before the first. */
  get mark(): Mark | undefined {
    return this.#mark;
  }

  /** How the log begins; undefined until its first record is folded. Rooms are loaded after that. */
  get start(): LogStart | undefined {
    return this.#start;
  }

  /** The log's first record is folded. Stored with the next checkpoint. */
  begin(start: LogStart): void {
    this.#start = start;
  }

  has(id: RoomId): boolean {
    return this.#read(() => this.#tables.rooms.doesExist(keyPart(id)));
  }

  load(id: RoomId): Room {
    return this.#read(() => {
      const row = this.#tables.rooms.get(keyPart(id)) as RoomRow | undefined;
      return new Room(id, this.#start?.base ?? 0, this.#stored(row, row?.[0] ?? this.#numberOf(id)));
    });
  }

  /** A user's memberships, as of the last checkpoint. */
  *roomsOf(user: UserId): Generator<readonly [room: RoomId, member: Member]> {
    const part = keyPart(user);
    const rows = this.#read(() => [...this.#tables.memberships.getRange({ start: [part], end: [part, LAST_TEXT] })]);
    for (const { key, value: stored } of rows) {
      const [room, row] = nameAndValue((key as [string, string])[1], stored);
      yield [room as RoomId, member(row as MemberRow)];
    }
  }

  /** What of a room changed after a position, for one user's readers, as of the last checkpoint. */
  changedSince(id: RoomId, user: UserId, since: Position): boolean {
    return this.#read(() => {
      const row = this.#tables.rooms.get(keyPart(id)) as RoomRow | undefined;
      if (row === undefined) return false;
      const { changed } = roomFacts(row);
      if (Math.max(changed.events, changed.receipts) > since) return true;
      for (const { position } of this.#markersOf(row[0], user)) if (position > since) return true;
      return false;
    });
  }

  /** Collects the changed rows of these rooms for a later `commit`. The rooms may be folded further in the meantime. */
  collect(rooms: readonly Room[], mark: Mark): Checkpoint {
    const writes: Write[] = [];
    for (const room of rooms) this.#collectRoom(room, (table, key, value) => writes.push({ table, key, value }));
    return { mark, rooms, writes };
  }

  /**
   * Writes a checkpoint. Throws `STORE_FAILED`, and then nothing of it is stored. It is synchronous because lmdb's asynchronous
   * writes, on a full disk, also reject a promise that no caller can catch.
   */
  commit({ mark, rooms, writes }: Checkpoint): void {
    try {
      this.#root.transactionSync(() => {
        if (this.#meta.get("owner") !== this.#owner) throw new Error("another process has taken this directory over");
        if (writes === undefined) for (const room of rooms) this.#collectRoom(room, this.#put);
        else for (const { table, key, value } of writes) this.#put(table, key, value);
        this.#meta.putSync("rooms", this.#nextNumber);
        this.#meta.putSync("start", this.#start);
        this.#meta.putSync("mark", mark);
      }, COMMIT_FLAGS);
    } catch (cause) {
      throw this.#failed(cause);
    }
    this.#mark = mark;
    for (const room of rooms) {
      this.#numbers.delete(room.id);
      room.committed(HOT_ROWS_MAX);
    }
  }

  readonly #put: Put = (table, key, value) => {
    if (value === undefined) this.#tables[table].removeSync(key);
    else this.#tables[table].putSync(key, value);
  };

  async close(): Promise<void> {
    await this.#root.close();
  }

  #collectRoom(room: Room, put: Put): void {
    const number = this.#numberOf(room.id);
    const named = (table: TableName, name: string, value: unknown) =>
      put(table, [number, keyPart(name)], withName(name, value));
    const {
      events,
      byOrder,
      relations,
      relationsByType,
      threads,
      markers,
      members,
      joined,
      joins,
      redactions,
      state,
      stateChanges,
      stateBodies,
      held,
      unsettled,
      sent,
      unread,
    } = room;
    events.collect((id, info) => named("events", id, eventRow(info)));
    byOrder.collect((_, order, position) => put("orders", [number, order], position));
    relations.collect((target, order, id) => put("relations", [number, keyPart(target), order], id));
    relationsByType.collect((key, order, id) => put("relationsByType", [number, keyPart(key), order], id));
    threads.summaries.collect((root, summary) => named("threads", root, threadRow(summary)));
    threads.senders.collect((key, count) => named("threadSenders", key, count));
    threads.activity.collect((_, order, root) => put("threadActivity", [number, order], root));
    markers.collect(
      (marker, stored) => {
        put("markers", markerKey(number, marker), undefined);
        if (stored > 0 && !isPrivate(marker.type)) put("markerPlaces", markerPlace(number, stored, marker), undefined);
      },
      (marker, stored) => {
        put("markers", markerKey(number, marker), withName(marker.user, markerRow(marker)));
        if (isPrivate(marker.type)) return;
        if (stored > 0) put("markerPlaces", markerPlace(number, stored, marker), undefined);
        put("markerPlaces", markerPlace(number, marker.position, marker), KEY_ONLY);
      },
    );
    members.collect((user, changed) => {
      const row = memberRow(changed);
      named("members", user, row);
      put("memberships", [keyPart(user), keyPart(room.id)], withName(room.id, row));
    });
    joined.collect((server, count) =>
      put("joined", [number, keyPart(server)], count === undefined ? undefined : withName(server, count)),
    );
    joins.collect((user, order) => named("joins", user, order));
    redactions.collect((target, redaction) => named("redactions", target, redaction));
    state.collect((key, event) => named("state", key, stateRow(event)));
    stateBodies.collect((key, body) => put("stateBodies", [number, keyPart(key)], stateBodyRow(body)));
    stateChanges.byKey.collect((key, order, change) =>
      put("stateChanges", [number, keyPart(key), order], stateChangeRow(change)),
    );
    stateChanges.places.collect((group, position, place) =>
      put("statePlaces", [number, group, position], statePlaceRow(place)),
    );
    held.collect((position, receipt) => put("held", [number, position], receipt?.receipt));
    unsettled.collect((position, event) =>
      put("unsettled", [number, position], event === undefined ? undefined : unsettledRow(event)),
    );
    sent.main.collect((user, order) => named("sent", user, order));
    sent.collect(({ user, thread, order, present }) =>
      put("sentInThreads", [number, keyPart(user), keyPart(thread), order], present ? KEY_ONLY : undefined),
    );
    unread.collect(({ thread, order, sender }) =>
      put("unread", [number, keyPart(thread), order], sender === undefined ? undefined : withName(thread, sender)),
    );
    put("rooms", keyPart(room.id), roomRow(number, room, { held: held.size, unsettled: unsettled.size }));
  }

  #numberOf(id: RoomId): number {
    let number = this.#numbers.get(id) ?? (this.#tables.rooms.get(keyPart(id)) as RoomRow | undefined)?.[0];
    if (number === undefined) {
      number = this.#nextNumber++;
      this.#numbers.set(id, number);
    }
    return number;
  }

  #makeReaders(): Readers {
    const { events, members, joined, joins, redactions, state, sent, threads, threadSenders } = this.#tables;
    const get = (table: Database<unknown, Key>, key: Key) => this.#read(() => table.get(key));
    return {
      events: { table: events, get, parse: (id, value) => eventInfo(id, value as EventRow) },
      members: { table: members, get, parse: (_, value) => member(value as MemberRow) },
      joined: { table: joined, get, parse: (_, value) => value as number },
      joins: { table: joins, get, parse: (_, value) => value as Order },
      redactions: { table: redactions, get, parse: (_, value) => value as EventId },
      state: { table: state, get, parse: (_, value) => stateEvent(value as StateRow) },
      sent: { table: sent, get, parse: (_, value) => value as Order },
      threads: { table: threads, get, parse: (_, value) => threadSummary(value as ThreadRow) },
      threadSenders: { table: threadSenders, get, parse: (_, value) => value as number },
    };
  }

  /** Also of a room that was never stored: it has rows to come, which leave memory once they are there. */
  #stored(row: RoomRow | undefined, number: number): StoredRoom {
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
        of: (user) => this.#markersOf(number, user),
        all: () => this.#markers({ start: [number], end: [number + 1] }),
        from: (position) => this.#markersFrom(number, position),
      },
      members: new StoredRows(readers.members, number),
      joined: new StoredRows(readers.joined, number),
      joins: new StoredRows(readers.joins, number),
      redactions: new StoredRows(readers.redactions, number),
      state: new StoredRows(readers.state, number),
      stateBodies: {
        get: (key) => {
          const row = this.#read(() => stateBodies.get([number, keyPart(key)]));
          return row === undefined ? undefined : stateBody(row as StateBodyRow);
        },
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

  #markersOf(number: number, user: UserId): Iterable<Marker> {
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
    for (const key of this.#tables.markerPlaces.getKeys(range)) {
      const [, , part, ...slot] = key as [number, Position, string, string, string];
      const stored = this.#tables.markers.get([number, part, ...slot]);
      const [user, row] = nameAndValue(part, stored);
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

  #read<T>(read: () => T): T {
    try {
      return read();
    } catch (cause) {
      writeFileSync(join(this.#dir, DAMAGED_FILE), reasonOf(cause));
      throw this.#failed(cause);
    }
  }

  #failed(cause: unknown): TidemarkError {
    return new TidemarkError(
      "STORE_FAILED",
      `the checkpoint in ${this.#dir} failed: ${reasonOf(cause)}. Nothing is lost, the log has everything: see to disk and space, and start again.`,
      { cause },
    );
  }
}

function markerKey(number: number, marker: Marker): Key {
  return [number, ...slotOf(marker)];
}

function markerPlace(number: number, position: Position, marker: Marker): Key {
  return [number, position, ...slotOf(marker)];
}

function slotOf({ user, type, thread, inferred }: Marker): [string, string, string] {
  return [keyPart(user), inferred ? `?${type}` : type, thread === null ? "" : keyPart(thread)];
}

function threadSummary([count, latest]: ThreadRow): ThreadSummary {
  return { count, latest };
}

function stateEvent([position, order]: StateRow): StateEvent {
  return { position, order };
}

/** Rows whose last part of the key is an order. */
function* ordered<V>(
  table: Database<unknown, Key>,
  of: readonly (string | number)[],
  { dir, above, below }: OrderRange,
): Generator<Ordered<V>> {
  const low: Key = [...of, Math.max(above, -LAST)];
  const high: Key = [...of, Math.min(below, LAST)];
  const rows =
    dir === "f"
      ? table.getRange({ start: low, exclusiveStart: true, end: high })
      : table.getRange({ start: high, exclusiveStart: true, end: low, reverse: true });
  for (const { key, value } of rows) yield [(key as (string | number)[]).at(-1) as Order, value as V];
}

function* mapped<R, V>(rows: Iterable<Ordered<R>>, parse: (row: R) => V): Generator<Ordered<V>> {
  for (const [order, row] of rows) yield [order, parse(row)];
}

/** Keeps a damaged checkpoint for whoever wants to know, out of the way. */
function setAside(dir: string, fault: string, log: Logger): void {
  const aside = `${dir}.damaged-${new Date().toISOString().replaceAll(":", "")}`;
  renameSync(dir, aside);
  mkdirSync(dir);
  log.warn({ dir, aside, fault }, "the checkpoint is damaged: it is set aside, and rebuilt from the log");
}
