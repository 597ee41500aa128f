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
  HISTORY,
  indexOf,
  LIVE,
  type Order,
  type Position,
  positionOf,
  RECEIPT,
  type ReceiptEntry,
  STATE,
  sequenceOf,
  type TimelineEntry,
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
/** The base of the log (F1): the first live event has the order after it. */
export const BASE = 1_000;
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

const timeline =
  (kind: TimelineEntry[0]) =>
  (id: string, fields?: Fields, imported?: Order): EventEntry =>
    imported === undefined ? [kind, event(id, fields)] : [kind, event(id, fields), imported];

/** `imported`: the order that the entry carries (F1). */
export const live = timeline(LIVE);
export const history = timeline(HISTORY);
export const backfilled = timeline(BACKFILLED);
export const state = (id: string, fields?: Fields, asOf?: Order): EventEntry =>
  asOf === undefined ? [STATE, event(id, fields)] : [STATE, event(id, fields), asOf];

interface ReceiptFields {
  readonly type?: ReceiptType;
  /** Default: unthreaded. */
  readonly thread?: string;
  readonly ts?: number;
  /** Default: a local user. */
  readonly origin?: string;
  readonly accepted?: true;
}

/** A public, unthreaded receipt of a local user. `fields` override the defaults. */
export function receipt(user: UserId, target: string, fields: ReceiptFields = {}): ReceiptEntry {
  const { type = READ, thread = null, ts = 1_700_000_000_000, origin = null, accepted } = fields;
  const entry = [
    RECEIPT,
    user,
    type,
    target as EventId,
    thread as ThreadId | null,
    ts,
    origin as ServerName | null,
  ] as const;
  return accepted ? [...entry, accepted] : entry;
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
      return ["ordered", ...outcome.judged.map(({ held, judgement }) => numbered(held.position, judgement))];
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
  readonly room = new Room(ROOM, BASE);
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
