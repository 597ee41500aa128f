/**
 * Requests to `tidemark.in.*` (docs/design.md#requests): what homeservers and front-ends send to Tidemark.
 *
 * A request is one item or an array of them. Ingress parses item by item, to tell which one is at fault. Keys that are not
 * declared are dropped. Nothing of a request with a fault is stored, but for EDUs, whose items stand alone.
 */
import * as z from "zod";
import type { ErrorCode } from "../../errors.ts";
import { ENTRIES_PER_RECORD_MAX } from "../../limits.ts";
import { matrixEvent, sentTimestamp, stateEvent } from "../../matrix/event.ts";
import { eventId, threadId, userId } from "../../matrix/ids.ts";
import { withoutNulls } from "../../matrix/optional.ts";
import { NOT_THREADED, receiptType } from "../../matrix/receipt.ts";
import { receiptEduContent } from "../../matrix/receipt-edu.ts";
import { isThreaded } from "../../matrix/receipt-types.ts";
import { appended, eduReply } from "./replies.ts";
import { inSubject } from "./subjects.ts";

/**
 * A receipt of a local user, or one that a homeserver passes on (`remote`). `thread_known: false` says that the sender doesn't know whether the receipt has a thread;
 * without that and without a `thread_id` it is unthreaded.
 */
export const receiptRequest = z
  .object(
    {
      user_id: userId,
      receipt_type: receiptType,
      event_id: eventId,
      thread_id: threadId.nullish(),
      thread_known: z
        .literal(false, { error: "must be false where it is given" })
        .nullish()
        .describe("The sender doesn't know whether the receipt has a thread. Not together with `thread_id`."),
      ts: sentTimestamp.nullish(),
      accepted: z
        .literal(true, { error: "must be true where it is given" })
        .nullish()
        .describe(
          "A homeserver has accepted it: the thread that it names stands, and `m.fully_read` replaces (F6, F7).",
        ),
      remote: z
        .literal(true, { error: "must be true where it is given" })
        .nullish()
        .describe(
          "A homeserver has accepted it from the user's own server: that server is its origin, whose held receipts are bounded (F4).",
        ),
    },
    { error: "must be a receipt (an object)" },
  )
  .transform(withoutNulls)
  .refine((receipt) => isThreaded(receipt.receipt_type) || receipt.thread_id === undefined, {
    path: ["thread_id"],
    error: NOT_THREADED,
  })
  .refine((receipt) => receipt.thread_known === undefined || receipt.thread_id === undefined, {
    path: ["thread_known"],
    error: "is not allowed with thread_id",
  })
  .meta({
    id: "Receipt",
    description:
      "A receipt of a local user, or one that a homeserver passes on (`remote`). `thread_id` is `main` or the event id of a thread's root, and not allowed with " +
      "`m.fully_read`. Without it, and without `thread_known`, the receipt is unthreaded. `ts` defaults to the time of arrival.",
  });

const oneOrMore = <Item extends z.ZodType>(item: Item) =>
  z.union([item, z.array(item).min(1).max(ENTRIES_PER_RECORD_MAX)]);

/** State with the order of the newest live event, asked before the state was read: newer live state stands (F10). */
export const stateAsOf = z
  .object({
    events: z
      .array(stateEvent, { error: "must be an array of state events" })
      .min(1, { error: "must not be empty" })
      .max(ENTRIES_PER_RECORD_MAX, { error: `must have at most ${ENTRIES_PER_RECORD_MAX} items` }),
    as_of: z
      .int({ error: "must be an order: an integer" })
      .min(0, { error: "must not be negative" })
      .describe("The order of the room's newest live event, asked before the state was read; 0 if there is none."),
  })
  .meta({
    id: "StateAsOf",
    description: "State as it was read at some time. It leaves alone what a live event of a greater order has set.",
  });

/** Older events, for a room in which nothing has happened since a position. */
export const eventsAfter = z
  .object({
    events: z
      .array(matrixEvent, { error: "must be an array of events" })
      .min(1, { error: "must not be empty" })
      .max(ENTRIES_PER_RECORD_MAX, { error: `must have at most ${ENTRIES_PER_RECORD_MAX} items` }),
    after: z
      .int({ error: "must be a position: an integer" })
      .min(0, { error: "must not be negative" })
      .describe(
        "The `position` of an answer about the room: refused with `M_BAD_STATE` if its log goes on after that.",
      ),
  })
  .meta({
    id: "EventsAfter",
    description:
      "Older events that are only stored if nothing of the room has come to its log since the sender looked.",
  });

/** What any request may be refused with. */
const ERRORS: readonly ErrorCode[] = ["M_BAD_JSON", "M_INVALID_PARAM", "M_TOO_LARGE", "M_LIMIT_EXCEEDED", "M_UNKNOWN"];
const ERRORS_AFTER: readonly ErrorCode[] = [...ERRORS, "M_BAD_STATE"];

const EVENT = {
  event_id: "$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg",
  type: "m.room.message",
  sender: "@alice:example.org",
  origin_server_ts: 1_700_000_000_000,
  content: { msgtype: "m.text", body: "The tide is coming in" },
};

const MEMBER = {
  event_id: "$7q5wHfGnWZPqD2jpJWTqIQAL3Rkl4dSzPSeHgRAqFQ4",
  type: "m.room.member",
  sender: "@bob:example.org",
  state_key: "@bob:example.org",
  origin_server_ts: 1_699_999_000_000,
  content: { membership: "join" },
};

const OLDER_EVENTS = {
  item: matrixEvent,
  body: z.union([...oneOrMore(matrixEvent).options, eventsAfter]),
  reply: appended,
  errors: ERRORS_AFTER,
  examples: [[EVENT, MEMBER], { events: [EVENT, MEMBER], after: 18_432 }],
};

export const REQUESTS = {
  event: {
    subject: inSubject.event,
    item: matrixEvent,
    body: oneOrMore(matrixEvent),
    reply: appended,
    errors: ERRORS,
    summary: "One live event of the room, or an array of them, oldest first.",
    examples: [EVENT, [MEMBER, EVENT]],
  },
  history: {
    ...OLDER_EVENTS,
    subject: inSubject.history,
    summary:
      "Events older than all that are known of the room, newest first, as `/messages?dir=b` gives them. They may be unread.",
  },
  backfill: {
    ...OLDER_EVENTS,
    subject: inSubject.backfill,
    summary:
      "Events older than all that are known of the room, newest first, as `/messages?dir=b` gives them. Everybody has read them.",
  },
  state: {
    subject: inSubject.state,
    item: stateEvent,
    body: z.union([...oneOrMore(stateEvent).options, stateAsOf]),
    reply: appended,
    errors: ERRORS,
    summary: "Current state events of a room that was there before Tidemark. They get no order.",
    examples: [[MEMBER], { events: [MEMBER], as_of: 0 }],
  },
  receipt: {
    subject: inSubject.receipt,
    item: receiptRequest,
    body: oneOrMore(receiptRequest),
    reply: appended,
    errors: ERRORS,
    summary: "One receipt of a local user, or an array of them, oldest first.",
    examples: [
      { user_id: "@bob:example.org", receipt_type: "m.read", event_id: EVENT.event_id, thread_id: "main" },
      {
        user_id: "@bob:example.org",
        receipt_type: "m.read",
        event_id: EVENT.event_id,
        thread_id: "main",
        accepted: true,
      },
      [{ user_id: "@bob:example.org", receipt_type: "m.fully_read", event_id: EVENT.event_id, ts: 1_700_000_001_000 }],
    ],
  },
  edu: {
    subject: inSubject.edu,
    body: receiptEduContent,
    reply: eduReply,
    errors: ERRORS,
    summary:
      "The content of one `m.receipt` EDU of a server. Its origin is authenticated by the sender of this request.",
    examples: [
      {
        "!tide:example.org": {
          "m.read": { "@carol:example.com": { event_ids: [EVENT.event_id], data: { ts: 1_700_000_002_000 } } },
        },
      },
    ],
  },
};

export type RequestKind = keyof typeof REQUESTS;

/** Requests that name a room: all but EDUs. */
export type RoomRequestKind = Exclude<RequestKind, "edu">;

/** An item as it is sent, with plain ids. */
export type SentItem<Kind extends RoomRequestKind> = z.input<(typeof REQUESTS)[Kind]["item"]>;

export type Sent<Kind extends RoomRequestKind> =
  | SentItem<Kind>
  | readonly SentItem<Kind>[]
  | (Kind extends "state" ? SentStateAsOf : never)
  | (Kind extends OlderKind ? SentEventsAfter<Kind> : never);

/** Requests that say after which position nothing may have come. */
type OlderKind = "history" | "backfill";

interface SentEventsAfter<Kind extends OlderKind> {
  readonly events: readonly SentItem<Kind>[];
  readonly after: number;
}

interface SentStateAsOf {
  readonly events: readonly SentItem<"state">[];
  readonly as_of: number;
}
