/** Folds records again, with the fold of the workers, up to an end. */
import { type LogRecord, type Order, type PlacedRecord, type Position, positionOf } from "../../actors/entry.ts";
import { type Folded, foldRecord } from "../../actors/room/fold.ts";
import { Room } from "../../actors/room/room.ts";
import type { RoomId } from "../matrix/ids.ts";

/** The end of a replay. Default: the end of the log. */
export interface Until {
  /** The last position. */
  readonly position?: Position;
  /** Unix time in ms: the last record is the one before the first with a later clock. */
  readonly at?: number;
}

const NOTHING: Folded = () => {};

/** Records must come as they are in their log, from its first one on: that one has the base of the orders (F1). */
export class Refold {
  readonly #rooms = new Map<RoomId, Room>();
  /** By partition. */
  readonly #bases = new Map<number, Order>();
  readonly #until: Until;
  #entries = 0;
  #ended = false;

  constructor(until: Until = {}) {
    this.#until = until;
  }

  /** The number of folded entries. */
  get entries(): number {
    return this.#entries;
  }

  /** Whether an entry was beyond the end. */
  get ended(): boolean {
    return this.#ended;
  }

  get rooms(): ReadonlyMap<RoomId, Room> {
    return this.#rooms;
  }

  /** Folds the entries of the record that are not beyond the end. */
  fold({ partition, room, record, start }: PlacedRecord, folded: Folded = NOTHING): void {
    if (start !== undefined) this.#bases.set(partition, start.base);
    if (room === undefined) return;
    const entries = this.#ended ? [] : this.#untilEnd(record);
    this.#ended ||= entries.length < record.entries.length;
    if (entries.length === 0) return;
    foldRecord(this.#room(room, partition), { ...record, entries }, folded);
    this.#entries += entries.length;
  }

  #room(id: RoomId, partition: number): Room {
    let room = this.#rooms.get(id);
    if (room === undefined) {
      room = new Room(id, this.#bases.get(partition) ?? 0);
      this.#rooms.set(id, room);
    }
    return room;
  }

  #untilEnd({ sequence, at, entries }: LogRecord): LogRecord["entries"] {
    const { position: last = Number.POSITIVE_INFINITY, at: end = Number.POSITIVE_INFINITY } = this.#until;
    if (at > end) return [];
    return entries.slice(0, Math.max(0, last - positionOf(sequence, 0) + 1));
  }
}
