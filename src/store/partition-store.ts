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
import type { EventInfo, Order, Position, ReceiptEntry } from "../../actors/entry.ts";
import type { OrderRange, Related } from "../../actors/room/event-orders.ts";
import { FOLD_VERSION } from "../../actors/room/fold.ts";
import type { Marker } from "../../actors/room/markers.ts";
import { Room, type RoomStore, type StoredRoom, stateKey } from "../../actors/room/room.ts";
import { reasonOf, TidemarkError } from "../errors.ts";
import type { EventId, RoomId, ThreadId, UserId } from "../matrix/ids.ts";
import { lmdbFault } from "./lmdb-file.ts";
import {
  type EventRow,
  eventInfo,
  eventRow,
  holds,
  type MarkerRow,
  type MembershipRow,
  marker,
  markerRow,
  ROWS_VERSION,
  type RoomRow,
  roomFacts,
  roomRow,
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
  readonly room: RoomId;
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
  readonly markers: RowReader<UserId, Marker[]>;
  readonly members: RowReader<UserId, string>;
  readonly redactions: RowReader<EventId, EventId>;
  readonly state: RowReader<string, Position>;
}

type TableName =
  | "rooms"
  | "events"
  | "orders"
  | "markers"
  | "members"
  | "memberships"
  | "redactions"
  | "state"
  | "held"
  | "unread";

/** The tables of `TableName`, and `meta`. */
const TABLES_MAX = 11;

/** After every room id in sort order: they begin with `!`. */
const LAST_TEXT = "~";
/**
 * A commit doesn't wait for the disk. A checkpoint survives the death of the process. After a crash of the machine, LMDB goes
 * on from what was flushed earlier, which is enough for a cache.
 */
const COMMIT_FLAGS = TransactionFlags.ABORTABLE | TransactionFlags.NO_SYNC_FLUSH;

/** After every position and order. */
const LAST = Number.MAX_SAFE_INTEGER;
/** The value of a row whose key says everything. */
const ORDER_ROW = 0;

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

  private constructor(dir: string) {
    this.#dir = dir;
    this.#root = open({ path: dir, maxDbs: TABLES_MAX });
    const table = (name: TableName) => this.#root.openDB<unknown, Key>({ name });
    this.#tables = {
      rooms: table("rooms"),
      events: table("events"),
      orders: table("orders"),
      markers: table("markers"),
      members: table("members"),
      redactions: table("redactions"),
      memberships: table("memberships"),
      state: table("state"),
      held: table("held"),
      unread: table("unread"),
    };
    this.#readers = this.#makeReaders();
    this.#meta = this.#root.openDB<unknown, string>({ name: "meta" });
    this.#nextNumber = (this.#meta.get("rooms") as number | undefined) ?? 1;
    this.#mark = this.#meta.get("mark") as Mark | undefined;
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

  has(id: RoomId): boolean {
    return this.#read(() => this.#tables.rooms.doesExist(id));
  }

  load(id: RoomId): Room {
    return this.#read(() => {
      const row = this.#tables.rooms.get(id) as RoomRow | undefined;
      return new Room(id, this.#stored(row, row?.[0] ?? this.#numberOf(id)));
    });
  }

  /** A user's memberships, as of the last checkpoint. */
  *roomsOf(user: UserId): Generator<readonly [room: RoomId, row: MembershipRow]> {
    const rows = this.#read(() => [...this.#tables.memberships.getRange({ start: [user], end: [user, LAST_TEXT] })]);
    for (const { key, value } of rows) yield [(key as [UserId, RoomId])[1], value as MembershipRow];
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
    const { events, orders, markers, members, redactions, state, held, unread } = room;
    events.collect((id, info) => put("events", [number, id], eventRow(info)));
    orders.collect((of, order) => put("orders", [number, of, order], ORDER_ROW));
    markers.rows.collect((user, list) => put("markers", [number, user], list.map(markerRow)));
    members.collect((user, membership) => {
      put("members", [number, user], membership);
      const position = state.get(stateKey("m.room.member", user)) ?? room.position;
      const row: MembershipRow = [membership, position];
      put("memberships", [user, room.id], row);
    });
    redactions.collect((target, redaction) => put("redactions", [number, target], redaction));
    state.collect((key, position) => put("state", [number, key], position));
    held.collect((position, receipt) => put("held", [number, position], receipt?.receipt));
    const { added, removed } = unread.collect();
    for (const { thread, order, sender } of added) put("unread", [number, thread, order], sender);
    for (const { thread, order } of removed) put("unread", [number, thread, order], undefined);
    put("rooms", room.id, roomRow(number, room, held.size));
  }

  #numberOf(id: RoomId): number {
    let number = this.#numbers.get(id) ?? (this.#tables.rooms.get(id) as RoomRow | undefined)?.[0];
    if (number === undefined) {
      number = this.#nextNumber++;
      this.#numbers.set(id, number);
    }
    return number;
  }

  #makeReaders(): Readers {
    const { events, markers, members, redactions, state } = this.#tables;
    const get = (table: Database<unknown, Key>, key: Key) => this.#read(() => table.get(key));
    return {
      events: { table: events, get, parse: (id, value) => eventInfo(id, value as EventRow) },
      markers: { table: markers, get, parse: (user, value) => (value as MarkerRow[]).map((row) => marker(user, row)) },
      members: { table: members, get, parse: (_, value) => value as string },
      redactions: { table: redactions, get, parse: (_, value) => value as EventId },
      state: { table: state, get, parse: (_, value) => value as Position },
    };
  }

  /** A room that was never stored gets readers, too: rows that are committed later can be evicted then. */
  #stored(row: RoomRow | undefined, number: number): StoredRoom {
    const { orders, held, unread } = this.#tables;
    const readers = this.#readers;
    return {
      facts: row === undefined ? undefined : roomFacts(row),
      events: new StoredRows(readers.events, number),
      orders: { range: (of, range) => this.#ordersIn(orders, [number, of], range) },
      markers: new StoredRows(readers.markers, number),
      members: new StoredRows(readers.members, number),
      redactions: new StoredRows(readers.redactions, number),
      state: new StoredRows(readers.state, number),
      held: row === undefined || !holds(row) ? [] : this.#held(held, number),
      unread: {
        threads: () => this.#threads(unread, number),
        between: (thread, after, before) => this.#unreadBetween(unread, [number, thread], { after, before }),
      },
    };
  }

  *#ordersIn(
    table: Database<unknown, Key>,
    of: readonly [number, Related],
    { dir, above, below }: OrderRange,
  ): Generator<Order> {
    const low: Key = [...of, Math.max(above, -LAST)];
    const high: Key = [...of, Math.min(below, LAST)];
    const keys =
      dir === "f"
        ? table.getKeys({ start: low, exclusiveStart: true, end: high })
        : table.getKeys({ start: high, exclusiveStart: true, end: low, reverse: true });
    for (const key of keys) yield (key as [number, Related, Order])[2];
  }

  *#held(table: Database<unknown, Key>, number: number) {
    for (const { key, value } of table.getRange({ start: [number], end: [number + 1] })) {
      yield { position: (key as [number, Position])[1], receipt: value as ReceiptEntry };
    }
  }

  /** Each thread once: seeks from one to the next. */
  *#threads(table: Database<unknown, Key>, number: number): Generator<ThreadId> {
    let start: Key = [number];
    for (;;) {
      let thread: ThreadId | undefined;
      for (const key of table.getKeys({ start, end: [number + 1], limit: 1 })) thread = (key as [number, ThreadId])[1];
      if (thread === undefined) return;
      yield thread;
      start = [number, thread, LAST];
    }
  }

  *#unreadBetween(
    table: Database<unknown, Key>,
    of: readonly [number, ThreadId],
    { after, before }: { readonly after: Order; readonly before: Order },
  ) {
    const start: Key = [...of, Number.isFinite(before) ? before : LAST];
    const end: Key = [...of, Math.max(after, 0)];
    for (const { key, value } of table.getRange({ start, exclusiveStart: true, end, reverse: true })) {
      yield { order: (key as [number, ThreadId, Order])[2], sender: value as UserId };
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

/** Moves a damaged checkpoint away, so that it can be examined. */
function setAside(dir: string, fault: string, log: Logger): void {
  const aside = `${dir}.damaged-${new Date().toISOString().replaceAll(":", "")}`;
  renameSync(dir, aside);
  mkdirSync(dir);
  log.warn({ dir, aside, fault }, "the checkpoint is damaged: it is set aside, and rebuilt from the log");
}
