/** Entries of a log, in the shortest form that a test can read: `live("$a")`, `receipt(BOB, "$a", { thread: "main" })`. */
import {
  BACKFILLED,
  ERASURE,
  type ErasureEntry,
  type EventEntry,
  HISTORY,
  LIVE,
  type Order,
  RECEIPT,
  type ReceiptEntry,
  STATE,
  type TimelineEntry,
} from "../../actors/entry.ts";
import type { MatrixEvent } from "../../src/matrix/event.ts";
import type { EventId, ServerName, ThreadId, UserId } from "../../src/matrix/ids.ts";
import { READ, type ReceiptType } from "../../src/matrix/receipt-types.ts";
import { ALICE } from "./example-room.ts";

type Fields = Omit<Partial<MatrixEvent>, "event_id" | "sender" | "redacts"> & {
  readonly sender?: string;
  readonly redacts?: string | undefined;
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
  readonly origin?: string | undefined;
  readonly accepted?: true | undefined;
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

/** F14 */
export function erasure(user: UserId, before: number, ...events: readonly string[]): ErasureEntry {
  return [ERASURE, user, before, events as EventId[]];
}
