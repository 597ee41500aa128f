/**
 * The rooms that are open in inspectors. Each is folded from the log once, and then followed until it is evicted.
 *
 *     open ──scan from the first record──▶ history ──scan continues──▶ listeners
 *       └── beyond INSPECT_ROOMS_MAX the least recently used room is evicted; each is after INSPECT_IDLE_MS without use
 */
import { sequenceOf } from "../../actors/entry.ts";
import type { Bus } from "../bus/client/connection.ts";
import { ask } from "../bus/client/request.ts";
import { partitionOf } from "../bus/contract/subjects.ts";
import { logEnd, roomsOf } from "../bus/log/log.ts";
import { scanLog } from "../bus/log/log-scan.ts";
import { inSlices, Slices } from "../in-slices.ts";
import type { RoomId } from "../matrix/ids.ts";
import { type Summary, summaryOf } from "../replay/history/inspect.ts";
import { RoomHistory } from "../replay/history/room-history.ts";
import { stepOf } from "../replay/history/step.ts";
import { countThrough, positionIn } from "../replay/history/tracks.ts";
import { Refold } from "../replay/refold.ts";

/** Rooms in the list. */
const INSPECT_LISTED_ROOMS_MAX = 100;

/** The newest steps of a room that are kept. All markers, events and held receipts are. */
const INSPECT_STEPS_MAX = 200_000;

/** Rooms that are followed at the same time. Beyond, the one that was asked for longest ago is evicted. */
const INSPECT_ROOMS_MAX = 8;

/** A room without requests for this long is evicted. */
const INSPECT_IDLE_MS = 600_000;

/** Rooms with more records than this have no summary until they are opened. */
const INSPECT_SUMMARY_RECORDS_MAX = 20_000;

export interface RoomListener {
  /** Called after each new record. */
  onGrown(): void;
  /** Called when the room is evicted. The client has to open it again. */
  onEvicted(): void;
}

interface OpenRoom {
  readonly history: RoomHistory;
  /** Settles when all records are folded that the log had when the room was opened. */
  readonly ready: Promise<void>;
  readonly listeners: Set<RoomListener>;
  readonly closing: AbortController;
  usedAt: number;
}

/** A room of the list, which is not folded yet. */
export interface ListedRoom {
  readonly room: RoomId;
  readonly partition: number;
  readonly records: number;
}

export interface Lag {
  /** The number of entries that the owner has not folded yet; null if it does not answer. */
  readonly lag: number | null;
}

interface InspectedRoomsOptions {
  readonly nc: Bus;
  readonly partitions: number;
  readonly onError: (room: RoomId, error: unknown) => void;
}

export class InspectedRooms {
  readonly #options: InspectedRoomsOptions;
  readonly #open = new Map<RoomId, OpenRoom>();
  /** Cached summaries, with the last sequence that they include. */
  readonly #summaries = new Map<RoomId, { readonly sequence: number; readonly summary: Summary }>();
  readonly #timer: NodeJS.Timeout;
  #summaryQueue: Promise<unknown> = Promise.resolve();

  constructor(options: InspectedRoomsOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#evictIdle(), INSPECT_IDLE_MS / 10);
    this.#timer.unref();
  }

  /** Returns the rooms whose id contains `search`, the busiest first, and their total number. */
  async list(search: string): Promise<{ readonly rooms: ListedRoom[]; readonly total: number }> {
    const { nc, partitions } = this.#options;
    const rooms: ListedRoom[] = [];
    for (let partition = 0; partition < partitions; partition++) {
      for (const [room, records] of await roomsOf(nc, partition)) {
        if (room.includes(search)) rooms.push({ room, partition, records });
      }
    }
    rooms.sort((a, b) => b.records - a.records || a.room.localeCompare(b.room));
    return { rooms: rooms.slice(0, INSPECT_LISTED_ROOMS_MAX), total: rooms.length };
  }

  /** Returns the history of a room, and follows the room from now on. Returns undefined if the log has no such room. */
  async history(room: RoomId): Promise<RoomHistory | undefined> {
    const open = this.#open.get(room) ?? (await this.#openRoom(room));
    if (open === undefined) return undefined;
    open.usedAt = performance.now();
    await open.ready;
    return open.history;
  }

  /** Returns the summary of a room for the list; null if the room is too large to be folded for it. */
  async summary(room: RoomId): Promise<(Summary & Lag) | null> {
    const { nc, partitions } = this.#options;
    const open = this.#open.get(room);
    if (open !== undefined) {
      await open.ready;
      return { ...(await inSlices(summaryOf(open.history))), ...(await this.#lag(open.history)) };
    }
    const partition = partitionOf(room, partitions);
    const { sequence, records } = await logEnd(nc, partition, room);
    if (records === 0 || records > INSPECT_SUMMARY_RECORDS_MAX) return null;
    const cached = this.#summaries.get(room);
    if (cached?.sequence === sequence) return { ...cached.summary, lag: 0 };

    const history = new RoomHistory(room);
    const refold = new Refold();
    const slices = new Slices();
    // Rooms are folded one by one, so that a long list does not fold all of them at once.
    const folded = this.#summaryQueue.then(() =>
      scanLog(nc, { partition, room, until: sequence }, (scanned) => {
        refold.fold(scanned, (room, folded) => history.add(stepOf(room, folded)));
        return slices.pause();
      }),
    );
    this.#summaryQueue = folded.catch(() => {});
    await folded;
    const summary = await inSlices(summaryOf(history));
    const lag = await this.#lag(history);
    if (this.#summaries.size >= INSPECT_LISTED_ROOMS_MAX * 10) this.#summaries.clear();
    if (lag.lag === 0) this.#summaries.set(room, { sequence, summary });
    return { ...summary, ...lag };
  }

  /** Adds a listener to an open room. Returns a function that removes it. */
  listen(room: RoomId, listener: RoomListener): () => void {
    const open = this.#open.get(room);
    open?.listeners.add(listener);
    return () => {
      open?.listeners.delete(listener);
    };
  }

  close(): void {
    clearInterval(this.#timer);
    for (const room of [...this.#open.keys()]) this.#evict(room);
  }

  async #openRoom(room: RoomId): Promise<OpenRoom | undefined> {
    const { nc, partitions, onError } = this.#options;
    const partition = partitionOf(room, partitions);
    const { sequence } = await logEnd(nc, partition, room);
    const opened = this.#open.get(room);
    if (sequence === 0 || opened !== undefined) return opened;
    if (this.#open.size >= INSPECT_ROOMS_MAX) this.#evict(this.#leastUsed());

    const history = new RoomHistory(room, { stepsMax: INSPECT_STEPS_MAX });
    const refold = new Refold();
    const slices = new Slices();
    const closing = new AbortController();
    const listeners = new Set<RoomListener>();
    const ready = new Promise<void>((resolve, reject) => {
      scanLog(nc, { partition, room, signal: closing.signal }, (scanned) => {
        refold.fold(scanned, (room, folded) => history.add(stepOf(room, folded)));
        for (const listener of listeners) listener.onGrown();
        if (scanned.record.sequence >= sequence) resolve();
        return slices.pause();
      }).then(
        () => reject(new Error("the room was evicted before it was read")),
        (error) => {
          onError(room, error);
          this.#evict(room);
          reject(error);
        },
      );
    });
    ready.catch(() => {}); // `history` and `summary` throw it.
    const open: OpenRoom = { history, ready, listeners, closing, usedAt: performance.now() };
    this.#open.set(room, open);
    return open;
  }

  async #lag(history: RoomHistory): Promise<Lag> {
    const answer = await ask(this.#options.nc, history.room as RoomId, { op: "orders", event_ids: [] }).catch(
      () => undefined,
    );
    if (answer === undefined) return { lag: null };
    const folded = countThrough(history.steps, answer.position, positionIn);
    return { lag: sequenceOf(answer.position) === 0 ? history.entries : history.steps.length - folded };
  }

  #leastUsed(): RoomId {
    return [...this.#open].reduce((least, entry) => (entry[1].usedAt < least[1].usedAt ? entry : least))[0];
  }

  #evictIdle(): void {
    for (const [room, { usedAt, listeners }] of this.#open) {
      if (listeners.size === 0 && performance.now() - usedAt > INSPECT_IDLE_MS) this.#evict(room);
    }
  }

  #evict(room: RoomId): void {
    const open = this.#open.get(room);
    this.#open.delete(room);
    open?.closing.abort();
    for (const listener of open?.listeners ?? []) listener.onEvicted();
  }
}
