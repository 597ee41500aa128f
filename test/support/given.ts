/**
 * Given, when, then, for the rules of the fold:
 *
 *     given(live("$a"), receipt(BOB, "$b")).when(live("$b")).then("ordered", "2 released")
 *
 * Each entry is a record of its own. The nth entry has position `at(n)`. Outcomes are written as by `describe`.
 */
import * as assert from "uvu/assert";
import { type Entry, indexOf, type Position, positionOf, sequenceOf } from "../../actors/entry.ts";
import { fold, isRead } from "../../actors/room/fold.ts";
import type { Marker } from "../../actors/room/marker.ts";
import type { Judgement, Outcome } from "../../actors/room/outcome.ts";
import { Room } from "../../actors/room/room.ts";
import type { EventId, ThreadId, UserId } from "../../src/matrix/ids.ts";
import { READ, type ReceiptType } from "../../src/matrix/receipt-types.ts";
import { BASE, ROOM } from "./example-room.ts";

/** The position of the nth entry of a story. */
export function at(n: number): Position {
  return positionOf(n, 0);
}

/**
 * An outcome as text, such as `ordered` or `rejected: wrong_thread`, and the settled receipts by entry: `2 released`.
 */
export function describe(outcome: Outcome): string[] {
  switch (outcome.outcome) {
    case "ordered":
    case "erased":
      return [outcome.outcome, ...outcome.judged.map(({ held, judgement }) => numbered(held.position, judgement))];
    case "held": {
      const { overflow } = outcome;
      return overflow === undefined ? ["held"] : ["held", numbered(overflow.held.position, overflow.judgement)];
    }
    case "rejected":
      return [`rejected: ${outcome.reason}`];
    default:
      return [outcome.outcome];
  }
}

function numbered(position: Position, judgement: Judgement): string {
  const index = indexOf(position);
  return `${sequenceOf(position)}${index === 0 ? "" : `.${index}`} ${describe(judgement)[0]}`;
}

interface Expectation {
  then(outcome: string, ...settled: string[]): Story;
}

/** A room into which entries are folded. */
export class Story {
  readonly room: Room;
  #count = 0;

  constructor(room = new Room(ROOM, BASE)) {
    this.room = room;
  }

  fold(entry: Entry): Outcome {
    return fold(this.room, at(++this.#count), entry);
  }

  /** Folds entries without checking their outcome. */
  and(...entries: readonly Entry[]): this {
    for (const entry of entries) this.fold(entry);
    return this;
  }

  /** Folds an entry. Its outcome is checked by `then`. */
  when(entry: Entry): Expectation {
    const described = describe(this.fold(entry));
    return {
      // biome-ignore lint/suspicious/noThenProperty: given, when, then: nothing awaits it
      then: (...expected) => {
        assert.equal(described, expected);
        return this;
      },
    };
  }

  order(id: string): number | undefined {
    return this.room.events.get(id as EventId)?.order;
  }

  thread(id: string): string | undefined {
    return this.room.events.get(id as EventId)?.thread;
  }

  marker(user: UserId, { type = READ, thread = null }: { type?: ReceiptType; thread?: string | null } = {}) {
    return this.room.markers.get(user, type, thread as ThreadId | null);
  }

  /** F12 */
  isRead(user: UserId, id: string): boolean | null {
    return isRead(this.room, user, id as EventId);
  }

  /** F13, as plain objects. */
  unread(user: UserId): { unthreaded: number; main: number; threads: Record<string, number> } {
    return unreadOf(this.room, user);
  }

  markers(): Marker[] {
    return [...this.room.markers];
  }
}

/** F13, as plain objects. */
export function unreadOf(
  room: Room,
  user: UserId,
): { unthreaded: number; main: number; threads: Record<string, number> } {
  const { unthreaded, main, threads } = room.unreadCounts(user);
  return { unthreaded, main, threads: Object.fromEntries(threads) };
}

export function given(...entries: readonly Entry[]): Story {
  return new Story().and(...entries);
}
