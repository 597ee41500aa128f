/**
 * Groups what arrives for a room into records, and appends them.
 *
 * A request for a room with no append under way is appended at the end of this turn of the event loop, together with
 * whatever else the turn brought. While an append is under way, further requests gather, until it is acknowledged or
 * `LINGER_MS` have gone by. So an idle room waits for nothing, and a busy one pays for few appends.
 *
 *     add ──▶ open group ──(turn ends, or the append before is done, or LINGER_MS)──▶ append ──▶ sequence
 *
 * A request's entries are never split over records: either all are stored, or none.
 */
import { type Entry, type Position, positionOf } from "../../actors/entry.ts";
import { TidemarkError } from "../errors.ts";
import { ENTRIES_PER_RECORD_MAX, GROUP_BYTES_MAX, IN_FLIGHT_BYTES_MAX, LINGER_MS, RETRY_AFTER_MS } from "../limits.ts";
import type { RoomId } from "../matrix/ids.ts";

export interface Appending {
  readonly room: RoomId;
  readonly entries: readonly Entry[];
  /** Size of the request, as it came. */
  readonly bytes: number;
}

/** Stores a record; resolves to its sequence. */
export type Append = (room: RoomId, entries: readonly Entry[]) => Promise<number>;

interface Part {
  readonly count: number;
  readonly resolve: (positions: Position[]) => void;
  readonly reject: (error: unknown) => void;
}

interface Group {
  readonly room: RoomId;
  readonly entries: Entry[];
  readonly parts: Part[];
  bytes: number;
  timer: NodeJS.Timeout | undefined;
}

export class Appender {
  readonly #append: Append;
  /** The group of each room that still takes requests. */
  readonly #open = new Map<RoomId, Group>();
  /** Groups that go at the end of this turn. */
  #due: Group[] = [];
  /** Appends under way, per room. */
  readonly #underWay = new Map<RoomId, number>();
  #inFlightBytes = 0;
  #idle: (() => void) | undefined;

  constructor(append: Append) {
    this.#append = append;
  }

  /** Resolves to the entries' positions once the log has them. Throws `M_LIMIT_EXCEEDED` when too much is in flight. */
  add({ room, entries, bytes }: Appending): Promise<Position[]> {
    if (this.#inFlightBytes + bytes > IN_FLIGHT_BYTES_MAX) {
      throw new TidemarkError("M_LIMIT_EXCEEDED", "too many requests wait for the log", {
        retryAfterMs: RETRY_AFTER_MS,
      });
    }
    this.#inFlightBytes += bytes;
    let group = this.#open.get(room);
    if (group !== undefined && !hasRoom(group, entries.length, bytes)) {
      this.#close(group);
      group = undefined;
    }
    group ??= this.#begin(room);
    for (const entry of entries) group.entries.push(entry);
    group.bytes += bytes;
    return new Promise((resolve, reject) => group.parts.push({ count: entries.length, resolve, reject }));
  }

  /** Appends what has gathered, and resolves when nothing is under way any more. */
  async drain(): Promise<void> {
    for (const group of this.#open.values()) this.#close(group);
    if (this.#underWay.size > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
  }

  #begin(room: RoomId): Group {
    const group: Group = { room, entries: [], parts: [], bytes: 0, timer: undefined };
    this.#open.set(room, group);
    if (this.#underWay.has(room)) group.timer = setTimeout(() => this.#close(group), LINGER_MS);
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

  /** Appends a group, unless that was done already. */
  #close(group: Group): void {
    if (this.#open.get(group.room) !== group) return;
    this.#open.delete(group.room);
    clearTimeout(group.timer);
    this.#underWay.set(group.room, (this.#underWay.get(group.room) ?? 0) + 1);
    // What waits for the acknowledgement holds on to the parts, and lets go of the entries.
    const { room, parts, bytes } = group;
    this.#append(room, group.entries).then(
      (sequence) => {
        let index = 0;
        for (const { count, resolve } of parts) {
          const positions: Position[] = [];
          for (let i = 0; i < count; i++) positions.push(positionOf(sequence, index++));
          resolve(positions);
        }
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
    const left = this.#underWay.get(room)! - 1;
    if (left > 0) {
      this.#underWay.set(room, left);
    } else {
      this.#underWay.delete(room);
      const next = this.#open.get(room);
      if (next !== undefined) this.#close(next);
    }
    if (this.#underWay.size === 0) {
      this.#idle?.();
      this.#idle = undefined;
    }
  }
}

function hasRoom(group: Group, count: number, bytes: number): boolean {
  return group.entries.length + count <= ENTRIES_PER_RECORD_MAX && group.bytes + bytes <= GROUP_BYTES_MAX;
}
