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
import { existsSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Database, open, type RootDatabase, TransactionFlags } from "lmdb";
import type { Logger } from "pino";
import type { LogStart, Position } from "../../actors/entry.ts";
import { FOLD_VERSION } from "../../actors/room/fold.ts";
import { type Member, Room, type RoomStore } from "../../actors/room/room.ts";
import { reasonOf, TidemarkError } from "../errors.ts";
import type { RoomId, UserId } from "../matrix/ids.ts";
import { keyPart, nameAndValue } from "./keys.ts";
import { lmdbFault } from "./lmdb-file.ts";
import { RoomRows } from "./room-rows.ts";
import { collectRoom, type Put } from "./room-writes.ts";
import { type MemberRow, member, ROWS_VERSION, type RoomRow, roomFacts } from "./rows.ts";
import type { Key } from "./stored-rows.ts";
import { LAST_TEXT, openTables, TABLES_MAX, type TableName, type Tables } from "./tables.ts";

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

interface Write {
  readonly table: TableName;
  readonly key: Key;
  readonly value: unknown;
}

/**
 * A commit doesn't wait for the disk. A checkpoint survives the death of the process. After a crash of the machine, LMDB goes
 * on from what was flushed earlier, which is enough for a cache.
 */
const COMMIT_FLAGS = TransactionFlags.ABORTABLE | TransactionFlags.NO_SYNC_FLUSH;

export class PartitionStore implements RoomStore {
  readonly #dir: string;
  readonly #root: RootDatabase;
  readonly #tables: Tables;
  readonly #rows: RoomRows;
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
    this.#tables = openTables(this.#root);
    this.#rows = new RoomRows(this.#tables, (read) => this.#read(read));
    this.#meta = this.#root.openDB<unknown, string>({ name: "meta" });
    this.#nextNumber = (this.#meta.get("rooms") as number | undefined) ?? 1;
    this.#mark = this.#meta.get("mark") as Mark | undefined;
    this.#start = this.#meta.get("start") as LogStart | undefined;
  }

  /** Opens a partition's checkpoint, or starts a new one. Makes the directory if it doesn't exist. Throws `STORE_FAILED`. */
  static async open(dir: string, log: Logger): Promise<PartitionStore> {
    try {
      return await PartitionStore.#open(dir, log);
    } catch (cause) {
      throw failure(dir, cause);
    }
  }

  static async #open(dir: string, log: Logger): Promise<PartitionStore> {
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
      return new Room(id, this.#start?.base ?? 0, this.#rows.of(row, row?.[0] ?? this.#numberOf(id)));
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
      for (const { position } of this.#rows.markersOf(row[0], user)) if (position > since) return true;
      return false;
    });
  }

  /** Collects the changed rows of these rooms for a later `commit`. The rooms may be folded further in the meantime. */
  collect(rooms: readonly Room[], mark: Mark): Checkpoint {
    const writes: Write[] = [];
    for (const room of rooms) this.#collect(room, (table, key, value) => writes.push({ table, key, value }));
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
        if (writes === undefined) for (const room of rooms) this.#collect(room, this.#put);
        else for (const { table, key, value } of writes) this.#put(table, key, value);
        this.#meta.putSync("rooms", this.#nextNumber);
        this.#meta.putSync("start", this.#start);
        this.#meta.putSync("mark", mark);
      }, COMMIT_FLAGS);
    } catch (cause) {
      throw failure(this.#dir, cause);
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

  /** The size of its file. */
  get bytes(): number {
    return statSync(join(this.#dir, DATA_FILE), { throwIfNoEntry: false })?.size ?? 0;
  }

  #collect(room: Room, put: Put): void {
    collectRoom(room, this.#numberOf(room.id), put);
  }

  #numberOf(id: RoomId): number {
    let number = this.#numbers.get(id) ?? (this.#tables.rooms.get(keyPart(id)) as RoomRow | undefined)?.[0];
    if (number === undefined) {
      number = this.#nextNumber++;
      this.#numbers.set(id, number);
    }
    return number;
  }

  #read<T>(read: () => T): T {
    try {
      return read();
    } catch (cause) {
      writeFileSync(join(this.#dir, DAMAGED_FILE), reasonOf(cause));
      throw failure(this.#dir, cause);
    }
  }
}

function failure(dir: string, cause: unknown): TidemarkError {
  return new TidemarkError(
    "STORE_FAILED",
    `the checkpoint in ${dir} failed: ${reasonOf(cause)}. Nothing is lost, the log has everything: see to disk and space, and start again.`,
    { cause },
  );
}

/** Keeps a damaged checkpoint for whoever wants to know, out of the way. */
function setAside(dir: string, fault: string, log: Logger): void {
  const aside = `${dir}.damaged-${new Date().toISOString().replaceAll(":", "")}`;
  renameSync(dir, aside);
  mkdirSync(dir);
  log.warn({ dir, aside, fault }, "the checkpoint is damaged: it is set aside, and rebuilt from the log");
}
