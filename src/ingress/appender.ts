/**
 * Batches the requests of each room into records, and appends them to the log.
 *
 * If no append of the room is pending, a request is appended at the end of this turn of the event loop, together with
 * the others of the turn. While an append is pending, requests are collected until it is acknowledged, or for
 * `LINGER_MS`. So a request to an idle room is not delayed, and a busy room needs few appends.
 *
 *     add ──▶ open group ──(end of turn, or previous append acknowledged, or LINGER_MS)──▶ append ──▶ sequence
 *
 * The entries of a request are never split over records: either all of them are stored, or none. A request with `after` is a record
 * of its own, which the log takes only if the room's last one is not beyond that position.
 */
import { type Position, positionOf } from "../../actors/entry.ts";
import type { EncodedEntries } from "../bus/contract/record.ts";
import { TidemarkError } from "../errors.ts";
import { ENTRIES_PER_RECORD_MAX, IN_FLIGHT_BYTES_MAX, LINGER_MS, RETRY_AFTER_MS } from "../limits.ts";
import type { RoomId } from "../matrix/ids.ts";

/** Requests are grouped into one record up to this size. A record of a single request may be larger. */
export const GROUP_BYTES_MAX = 262_144;

export interface Appending {
  readonly room: RoomId;
  readonly entries: EncodedEntries;
  /** Size of the request message. */
  readonly bytes: number;
  /** Nothing of the room may have come after this position. */
  readonly after?: Position | undefined;
}

/** Appends a record. Resolves to its sequence. */
export type Append = (room: RoomId, entries: readonly EncodedEntries[], after?: Position) => Promise<number>;

/** The part of a group that belongs to one request. */
interface Part {
  readonly count: number;
  readonly resolve: (positions: Position[]) => void;
  readonly reject: (error: unknown) => void;
}

interface Group {
  readonly room: RoomId;
  readonly entries: EncodedEntries[];
  readonly parts: Part[];
  /** `performance.now()` */
  readonly began: number;
  count: number;
  bytes: number;
  after: Position | undefined;
  timer: NodeJS.Timeout | undefined;
}

export class Appender {
  readonly #append: Append;
  /** The group of each room to which requests can still be added. */
  readonly #open = new Map<RoomId, Group>();
  /** Groups that are appended at the end of this turn. */
  #due: Group[] = [];
  /** The number of pending appends, by room. */
  readonly #pending = new Map<RoomId, number>();
  #inFlightBytes = 0;
  #idle: (() => void) | undefined;
  readonly #answered: (ms: number) => void;

  /** `answered`: called once per stored record, with the time since the first of its requests. */
  constructor(append: Append, answered: (ms: number) => void = () => {}) {
    this.#append = append;
    this.#answered = answered;
  }

  /**
   * Resolves to the positions of the entries once they are in the log. Throws `M_LIMIT_EXCEEDED` if too much is in
   * flight.
   */
  add({ room, entries, bytes, after }: Appending): Promise<Position[]> {
    if (this.#inFlightBytes + bytes > IN_FLIGHT_BYTES_MAX) {
      throw new TidemarkError("M_LIMIT_EXCEEDED", "too many requests wait for the log", {
        retryAfterMs: RETRY_AFTER_MS,
      });
    }
    this.#inFlightBytes += bytes;
    let group = this.#open.get(room);
    if (group !== undefined && (after !== undefined || !hasRoom(group, entries.count, bytes))) {
      this.#close(group);
      group = undefined;
    }
    group ??= this.#begin(room);
    group.entries.push(entries);
    group.count += entries.count;
    group.bytes += bytes;
    group.after = after;
    const { parts } = group;
    const added = new Promise<Position[]>((resolve, reject) => parts.push({ count: entries.count, resolve, reject }));
    if (after !== undefined) this.#close(group);
    return added;
  }

  /** Appends all groups. Resolves when no append is pending. */
  async drain(): Promise<void> {
    for (const group of this.#open.values()) this.#close(group);
    if (this.#pending.size > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
  }

  #begin(room: RoomId): Group {
    const began = performance.now();
    const group: Group = {
      room,
      entries: [],
      parts: [],
      began,
      count: 0,
      bytes: 0,
      after: undefined,
      timer: undefined,
    };
    this.#open.set(room, group);
    if (this.#pending.has(room)) group.timer = setTimeout(() => this.#close(group), LINGER_MS);
    else this.#schedule(group);
    return group;
  }

  #schedule(group: Group): void {
    this.#due.push(group);
    if (this.#due.length > 1) return;
    setImmediate(() => {
      const due = this.#due;
      this.#due = [];
      for (const group of due) this.#close(group);
    });
  }

  /** Appends the group, unless it is closed already. */
  #close(group: Group): void {
    if (this.#open.get(group.room) !== group) return;
    this.#open.delete(group.room);
    clearTimeout(group.timer);
    this.#pending.set(group.room, (this.#pending.get(group.room) ?? 0) + 1);
    // The callbacks below keep only the parts alive, so that the entries can be freed before the acknowledgement.
    const { room, parts, bytes, began } = group;
    this.#append(room, group.entries, group.after).then(
      (sequence) => {
        let index = 0;
        for (const { count, resolve } of parts) {
          const positions: Position[] = [];
          for (let i = 0; i < count; i++) positions.push(positionOf(sequence, index++));
          resolve(positions);
        }
        this.#answered(performance.now() - began);
        this.#done(room, bytes);
      },
      (error) => {
        for (const { reject } of parts) reject(error);
        this.#done(room, bytes);
      },
    );
  }

  #done(room: RoomId, bytes: number): void {
    this.#inFlightBytes -= bytes;
    const left = this.#pending.get(room)! - 1;
    if (left > 0) {
      this.#pending.set(room, left);
    } else {
      this.#pending.delete(room);
      const next = this.#open.get(room);
      if (next !== undefined) this.#close(next);
    }
    if (this.#pending.size === 0) {
      this.#idle?.();
      this.#idle = undefined;
    }
  }
}

function hasRoom(group: Group, count: number, bytes: number): boolean {
  return group.count + count <= ENTRIES_PER_RECORD_MAX && group.bytes + bytes <= GROUP_BYTES_MAX;
}
