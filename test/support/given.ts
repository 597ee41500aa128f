/**
 * Given, when, then, for the rules of the fold:
 *
 *     given(live("$a"), receipt(BOB, "$b")).when(live("$b")).then("ordered", "2 released")
 *
 * Each entry is a record of its own. The nth entry has position `at(n)`. Outcomes are written as by `describe`.
 */
import * as assert from "uvu/assert";
import {
  BACKFILLED,
  type Entry,
  type EventEntry,
  indexOf,
  LIVE,
  type Position,
  positionOf,
  RECEIPT,
  type ReceiptEntry,
  STATE,
  sequenceOf,
} from "../../actors/entry.ts";
import { fold, isRead, type Judgement, type Outcome } from "../../actors/room/fold.ts";
import type { Marker } from "../../actors/room/markers.ts";
import { Room } from "../../actors/room/room.ts";
import type { MatrixEvent } from "../../src/matrix/event.ts";
import type { EventId, RoomId, ServerName, ThreadId, UserId } from "../../src/matrix/ids.ts";
import { READ, type ReceiptType } from "../../src/matrix/receipt-types.ts";

export const ROOM = "!room:one.example" as RoomId;
export const ALICE = "@alice:one.example" as UserId;
export const BOB = "@bob:one.example" as UserId;
/** A user of another server. */
export const CARA = "@cara:two.example" as UserId;
export const TWO = "two.example" as ServerName;

type Fields = Omit<Partial<MatrixEvent>, "event_id" | "sender" | "redacts"> & {
  readonly sender?: string;
  readonly redacts?: string;
};

/** A message of Alice. `fields` override the defaults. */
export function event(id: string, fields: Fields = {}): MatrixEvent {
  const base = { type: "m.room.message", sender: ALICE, origin_server_ts: 1_700_000_000_000, content: { body: id } };
  return { ...base, ...fields, event_id: id } as MatrixEvent;
}

export const live = (id: string, fields?: Fields): EventEntry => [LIVE, event(id, fields)];
export const backfilled = (id: string, fields?: Fields): EventEntry => [BACKFILLED, event(id, fields)];
export const state = (id: string, fields?: Fields): EventEntry => [STATE, event(id, fields)];

interface ReceiptFields {
  readonly type?: ReceiptType;
  /** Default: unthreaded. */
  readonly thread?: string;
  readonly ts?: number;
  /** Default: a local user. */
  readonly origin?: string;
}

/** A public, unthreaded receipt of a local user. `fields` override the defaults. */
export function receipt(user: UserId, target: string, fields: ReceiptFields = {}): ReceiptEntry {
  const { type = READ, thread = null, ts = 1_700_000_000_000, origin = null } = fields;
  return [RECEIPT, user, type, target as EventId, thread as ThreadId | null, ts, origin as ServerName | null];
}

/** The content of an event that relates to another one. */
export function relates(relType: string, target: string): Record<string, unknown> {
  return { body: "…", "m.relates_to": { rel_type: relType, event_id: target } };
}

export const inThread = (root: string) => ({ content: relates("m.thread", root) });
export const member = (user: string, membership: string) => ({
  type: "m.room.member",
  sender: user,
  state_key: user,
  content: { membership },
});
export const acl = (content: Record<string, unknown>) => ({ type: "m.room.server_acl", state_key: "", content });

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
      return ["ordered", ...outcome.settled.map(({ held, judgement }) => numbered(held.position, judgement))];
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
  readonly room = new Room(ROOM);
  #count = 0;

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

  marker(user: UserId, { type = READ, thread = null }: Pick<ReceiptFields, "type"> & { thread?: string | null } = {}) {
    return this.room.markers.get(user, type, thread as ThreadId | null);
  }

  /** F12 */
  isRead(user: UserId, id: string): boolean | null {
    return isRead(this.room, user, id as EventId);
  }

  /** F13, as plain objects. */
  unread(user: UserId): { unthreaded: number; main: number; threads: Record<string, number> } {
    const { unthreaded, main, threads } = this.room.unread.count(user, this.room.markers);
    return { unthreaded, main, threads: Object.fromEntries(threads) };
  }

  markers(): Marker[] {
    return [...this.room.markers];
  }
}

export function given(...entries: readonly Entry[]): Story {
  return new Story().and(...entries);
}
