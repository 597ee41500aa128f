/**
 * Questions to the workers and their answers (docs/design.md#queries): requests to `tidemark.query.<room or user>`.
 *
 * A question is declared once, with its answer and what it may be refused with: the types of whoever asks, of whoever
 * answers, and the published description of both follow from here. Ids are plain text where a question is written, and are parsed where it is
 * answered. An answer is what a worker wrote, so it is not validated again where it is read.
 */
import * as z from "zod";
import type { ErrorCode } from "../../errors.ts";
import {
  ENTRIES_PER_RECORD_MAX,
  EVENTS_PAGE_DEFAULT,
  EVENTS_PAGE_MAX,
  HEROES_MAX,
  QUERY_EVENT_IDS_MAX,
  REFERENCES_MAX,
  SINCE_MEMBERSHIPS_MAX,
  STATE_MEMBERS_MAX,
  STATE_TYPES_MAX,
  TIMELINE_EVENTS_DEFAULT,
  TIMELINE_EVENTS_MAX,
  UNREAD_COUNT_MAX,
} from "../../limits.ts";
import { orderedEvent, storedEvent } from "../../matrix/event.ts";
import { eventId, type RoomId, roomId, threadId, userId } from "../../matrix/ids.ts";
import { receiptContent, receiptType } from "../../matrix/receipt.ts";
import { EXAMPLE_EVENT, EXAMPLE_EVENT_ID, fullyRead, membershipAt, order, position } from "./fields.ts";

const eventIds = z
  .array(eventId, { error: "must be an array of event ids" })
  .max(QUERY_EVENT_IDS_MAX, { error: `must have at most ${QUERY_EVENT_IDS_MAX} items` });

const count = z.int({ error: "must be an integer" }).min(0, { error: "must not be negative" });

/** Keys of answers are plain text: who indexes an answer has the ids that were asked about. */
const byEvent = <Value extends z.ZodType>(value: Value) => z.record(z.string(), value);

const pageOf = <Events extends z.ZodType>(events: Events) =>
  z.object({
    events,
    next: z.int().exactOptional().describe("There may be more: the `from` or the `since` to go on with."),
  });

const page = <Event extends z.ZodType>(event: Event) =>
  pageOf(z.array(event).describe("May be fewer than the limit, even none, although there are more."));

const pageLimit = z
  .int({ error: "must be an integer" })
  .min(1, { error: "must be at least 1" })
  .max(EVENTS_PAGE_MAX, { error: `must be at most ${EVENTS_PAGE_MAX}` })
  .optional()
  .describe(`Default: ${EVENTS_PAGE_DEFAULT}.`);

const unreadCount = z.object({ count: count.max(UNREAD_COUNT_MAX) });

const membership = membershipAt
  .extend({
    stay: z
      .tuple([order, order])
      .exactOptional()
      .describe(
        "Where the current or last stay began, and ended (0 while it lasts). Absent: the user was never joined.",
      ),
  })
  .meta({ id: "Membership" });

export type Membership = z.infer<typeof membership>;

const aggregation = z.object({
  thread: z
    .object({
      count: count.describe("Events that relate to the root by `m.thread` and are not redacted."),
      latest: orderedEvent.exactOptional().describe("The newest of them, with its edit in `unsigned`."),
      participated: z.boolean().describe("Whether the user sent one of them, or the root."),
    })
    .exactOptional(),
  replace: orderedEvent.exactOptional().describe("The newest valid edit."),
  references: z
    .array(z.string())
    .exactOptional()
    .describe(`The newest events that relate to it by \`m.reference\`, by order; at most ${REFERENCES_MAX}.`),
});

export type Aggregation = z.infer<typeof aggregation>;

const roomSummary = z
  .object({
    joined: count.describe("How many users are joined."),
    invited: count.describe("How many are invited."),
    heroes: z
      .array(z.string())
      .exactOptional()
      .describe(
        `Where neither a name nor an alias is set: the first ${HEROES_MAX + 1} users who are joined or invited; where that is one at most, those who left, too.`,
      ),
  })
  .meta({ id: "RoomSummary" });

export type RoomSummary = z.infer<typeof roomSummary>;

/** What any question may be refused with. `M_UNKNOWN`: nobody serves the partition at the moment. */
const ERRORS: readonly ErrorCode[] = ["M_BAD_JSON", "M_INVALID_PARAM", "M_TOO_LARGE", "M_UNKNOWN"];

/** Bodies of events are read from the log. */
const ERRORS_OF_BODIES: readonly ErrorCode[] = [...ERRORS, "BUS_UNAVAILABLE", "LOG_BROKEN", "RECORD_UNREADABLE"];

const viewer = userId.optional().describe("Only what this user may see; other events are as if unknown.");

const BOB = "@bob:example.org";

const snapshot = {
  summary: "A room as it is now, or what changed in it after a position.",
  errors: ERRORS_OF_BODIES,
  question: z.object({
    op: z.literal("snapshot"),
    user_id: userId.optional().describe("Whose private receipts and `m.fully_read` marker are in the answer, too."),
    viewer: viewer.describe("Implies `user_id`. The answer is what this user may see."),
    since: count.optional().describe("A position: only what came after it."),
    since_memberships: z
      .array(count, { error: "must be an array of positions" })
      .max(SINCE_MEMBERSHIPS_MAX, { error: `must have at most ${SINCE_MEMBERSHIPS_MAX} items` })
      .optional()
      .describe(
        "Positions after `since` at which a membership of the viewer changed that the reader knows all the same.",
      ),
    markers_limit: count
      .optional()
      .describe("No more markers than this, or a few more where several share a position. Default: as many as fit."),
    markers_after: z
      .string({ error: "must be a string" })
      .optional()
      .describe("With the page before's `markers_more` as `since`: the `markers_after` beside it."),
    members: z.boolean({ error: "must be a boolean" }).optional().describe("Default: true."),
    members_after: count.optional().describe("The `members_more` of the page before."),
    timeline_limit: count.optional().describe(`Default: ${TIMELINE_EVENTS_DEFAULT}. At most ${TIMELINE_EVENTS_MAX}.`),
  }),
  answer: z.object({
    room_id: roomId,
    position: position.describe("The answer has everything through this position."),
    receipts: receiptContent.describe("Public ones."),
    private: receiptContent.exactOptional().describe("`m.read.private` of the question's user."),
    fully_read: fullyRead.exactOptional().describe("Of the question's user."),
    timeline: z
      .array(orderedEvent)
      .describe("The newest events of positive order, by order. With `since`: those after the last one known by then."),
    timeline_position: position.exactOptional().describe("Where the log has the last event of the timeline."),
    limited: z.boolean().exactOptional().describe("There are more such events than the timeline has."),
    aggregations: byEvent(aggregation)
      .exactOptional()
      .describe("With a `viewer`, of the timeline: as in the answer to `aggregations`."),
    aggregations_next: eventId
      .exactOptional()
      .describe("There are more: ask `aggregations` for this event of the timeline, and those after it."),
    summary: roomSummary.exactOptional().describe("With a `viewer` who is joined."),
    members: z.record(z.string(), z.string()).exactOptional().describe("User id → membership."),
    membership: z.string().exactOptional().describe("The viewer's, now. Absent: none."),
    whole: z
      .boolean()
      .exactOptional()
      .describe("The viewer's stay began after `since`, so the answer is as without `since`."),
    member: storedEvent.exactOptional().describe("The member event of a viewer who isn't joined."),
    markers_more: position
      .exactOptional()
      .describe(
        "There are more markers, private ones included: the `since` to go on with, with a `timeline_limit` of 0.",
      ),
    markers_after: z
      .string()
      .exactOptional()
      .describe(
        "Beside `markers_more`: several markers may share that position, and the next page begins after this one.",
      ),
    members_more: position.exactOptional().describe("There are more members: the `members_after` to go on with."),
  }),
  examples: {
    question: { op: "snapshot", user_id: BOB, timeline_limit: 1 },
    answer: {
      room_id: "!tide:example.org",
      position: 19_456,
      receipts: { [EXAMPLE_EVENT_ID]: { "m.read": { [BOB]: { ts: 1_700_000_001_000, order: 17_408 } } } },
      private: {},
      fully_read: { event_id: EXAMPLE_EVENT_ID, order: 17_408 },
      members: { [BOB]: "join", "@alice:example.org": "join" },
      timeline: [EXAMPLE_EVENT],
      timeline_position: 17_408,
      limited: true,
    },
  },
};

const orders = {
  summary: "The orders of events; null for one that isn't known.",
  errors: ERRORS,
  question: z.object({
    op: z.literal("orders"),
    event_ids: eventIds,
    through: count.optional().describe("A position."),
  }),
  answer: z.object({
    position,
    orders: byEvent(order.nullable()),
    greatest: order
      .exactOptional()
      .describe("With `through`: the greatest order of the room's events up to that position; 0 if none is positive."),
  }),
  examples: {
    question: { op: "orders", event_ids: [EXAMPLE_EVENT_ID, "$never"] },
    answer: { position: 19_456, orders: { [EXAMPLE_EVENT_ID]: 17_408, $never: null } },
  },
};

const told = {
  summary: "Whether receipts would add nothing: a marker, or a held receipt, says as much already.",
  errors: ERRORS,
  question: z.object({
    op: z.literal("told"),
    receipts: z
      .array(
        z.object({
          user_id: userId,
          receipt_type: receiptType,
          event_id: eventId,
          thread_id: threadId.optional(),
          thread_known: z.literal(false).optional(),
          accepted: z.literal(true).optional(),
          remote: z.literal(true).optional(),
        }),
        { error: "must be an array of receipts" },
      )
      .max(ENTRIES_PER_RECORD_MAX, { error: `must have at most ${ENTRIES_PER_RECORD_MAX} items` })
      .describe("As in a request to `tidemark.in.receipt`."),
    inferred: z.literal(false).optional().describe("Only markers and held receipts count whose thread is known."),
  }),
  answer: z.object({ told: z.array(z.boolean()).describe("Of each receipt, in the order of the question.") }),
  examples: {
    question: { op: "told", receipts: [{ user_id: BOB, receipt_type: "m.read", event_id: EXAMPLE_EVENT_ID }] },
    answer: { told: [true] },
  },
};

const event = {
  summary: "An event with its order; null when it isn't known.",
  errors: ERRORS_OF_BODIES,
  question: z.object({ op: z.literal("event"), event_id: eventId, viewer }),
  answer: z.object({ event: orderedEvent.nullable() }),
  examples: {
    question: { op: "event", event_id: EXAMPLE_EVENT_ID },
    answer: { event: EXAMPLE_EVENT },
  },
};

const read = {
  summary: "Whether a user has read events; null for one that isn't known.",
  errors: ERRORS,
  question: z.object({ op: z.literal("read"), user_id: userId, event_ids: eventIds }),
  answer: z.object({ read: byEvent(z.boolean().nullable()) }),
  examples: {
    question: { op: "read", user_id: BOB, event_ids: [EXAMPLE_EVENT_ID, "$never"] },
    answer: { read: { [EXAMPLE_EVENT_ID]: true, $never: null } },
  },
};

const unread = {
  summary: "How many events a user has not read: in the room, in its main timeline, and in threads that have any.",
  errors: ERRORS,
  question: z.object({
    op: z.literal("unread"),
    user_id: userId,
    after: z.string({ error: "must be a string" }).optional().describe("The `next` of the page before."),
  }),
  answer: z.object({
    unthreaded: unreadCount,
    main: unreadCount,
    threads: z.record(z.string(), unreadCount),
    next: z.string().exactOptional().describe("There are more threads: the `after` to go on with."),
  }),
  examples: {
    question: { op: "unread", user_id: BOB },
    answer: { unthreaded: { count: 3 }, main: { count: 1 }, threads: { [EXAMPLE_EVENT_ID]: { count: 2 } } },
  },
};

const threads = {
  summary: "The threads of events; null for one that isn't known.",
  errors: ERRORS,
  question: z.object({ op: z.literal("threads"), event_ids: eventIds }),
  answer: z.object({ threads: byEvent(threadId.nullable()) }),
  examples: {
    question: { op: "threads", event_ids: [EXAMPLE_EVENT_ID, "$never"] },
    answer: { threads: { [EXAMPLE_EVENT_ID]: "main", $never: null } },
  },
};

const state = {
  summary: "State events that were set after a position, those set first before others.",
  errors: ERRORS_OF_BODIES,
  question: z.object({
    op: z.literal("state"),
    since: count.optional().describe("A position. Default: 0."),
    viewer: viewer.describe(
      "The state that this user may see: as of the leave for one who left, and only the own member event for one who never was there.",
    ),
    at: order.optional().describe("The state just after the event of this order. Default: now."),
    types: z
      .array(z.string({ error: "must be a string" }), { error: "must be an array of event types" })
      .max(STATE_TYPES_MAX, { error: `must have at most ${STATE_TYPES_MAX} items` })
      .optional()
      .describe("Only events of these types."),
    members: z
      .array(userId, { error: "must be an array of user ids" })
      .max(STATE_MEMBERS_MAX, { error: `must have at most ${STATE_MEMBERS_MAX} items` })
      .optional()
      .describe("No member events but those of these users."),
    stripped: z
      .boolean({ error: "must be a boolean" })
      .optional()
      .describe(
        "Only what an invitation shows (Matrix specification, “Stripped state”), and the viewer's member event.",
      ),
  }),
  answer: page(storedEvent),
  examples: {
    question: { op: "state", since: 16_384 },
    answer: { events: [{ ...EXAMPLE_EVENT, type: "m.room.name", state_key: "", content: { name: "Tide" } }] },
  },
};

const stateJson = {
  summary: "The same as `state`, with a page's events as JSON: what only passes them on need not read them.",
  errors: ERRORS_OF_BODIES,
  question: state.question.extend({ op: z.literal("state_json") }),
  answer: pageOf(z.string().describe("Events as JSON, with commas between, no key of them escaped. May be empty.")),
  examples: {
    question: { op: "state_json", since: 16_384 },
    answer: { events: JSON.stringify(state.examples.answer.events[0]) },
  },
};

const events = {
  summary: "Events by their order, backfilled ones before live ones.",
  errors: ERRORS_OF_BODIES,
  question: z.object({
    op: z.literal("events"),
    dir: z.enum(["b", "f"], { error: "must be b or f" }).describe("b: towards older events."),
    from: order
      .optional()
      .describe("The order beyond which the page begins. Default: at the newest or the oldest event."),
    to: order.optional().describe("The order before which it ends."),
    limit: pageLimit,
    relates_to: eventId.optional().describe("Only events that relate to this one."),
    rel_type: z.string({ error: "must be a string" }).optional().describe("With `relates_to`: the relation's type."),
    event_type: z.string({ error: "must be a string" }).optional().describe("With `relates_to`: the event's type."),
    viewer,
  }),
  answer: page(orderedEvent),
  examples: {
    question: { op: "events", dir: "b", limit: 1 },
    answer: { events: [EXAMPLE_EVENT], next: 17_408 },
  },
};

const aggregations = {
  summary:
    "What clients show of events besides themselves: the threads of which they are the root, their newest edits, and references to them.",
  errors: ERRORS_OF_BODIES,
  question: z.object({
    op: z.literal("aggregations"),
    event_ids: eventIds,
    viewer: viewer.describe("Who asks: only what this user may see, and `participated` is about this user."),
  }),
  answer: z.object({
    aggregations: byEvent(aggregation).describe("Events without any are absent."),
    next: eventId.exactOptional().describe("There are more: ask again for this event, and those after it."),
  }),
  examples: {
    question: { op: "aggregations", event_ids: [EXAMPLE_EVENT_ID], viewer: BOB },
    answer: {
      aggregations: { [EXAMPLE_EVENT_ID]: { thread: { count: 1, latest: EXAMPLE_EVENT, participated: false } } },
    },
  },
};

const roots = {
  summary: "The roots of a room's threads, by the last activity in the thread, the latest first.",
  errors: ERRORS_OF_BODIES,
  question: z.object({
    op: z.literal("roots"),
    viewer,
    participated: userId.optional().describe("Only threads in which this user has sent something."),
    from: order.optional().describe("The order of the activity beyond which the page begins. Default: at the latest."),
    limit: pageLimit,
  }),
  answer: page(orderedEvent),
  examples: {
    question: { op: "roots", limit: 1 },
    answer: { events: [EXAMPLE_EVENT], next: 17_408 },
  },
};

const summary = {
  summary: "How many users a room has, and who gives it a name if it has none.",
  errors: ERRORS_OF_BODIES,
  question: z.object({ op: z.literal("summary") }),
  answer: roomSummary.extend({}),
  examples: {
    question: { op: "summary" },
    answer: { joined: 2, invited: 0, heroes: [BOB, "@alice:example.org"] },
  },
};

const memberships = z.record(z.string(), membership);
const goOn = z.string({ error: "must be a string" }).optional().describe("The `next` of the page before.");

const rooms = {
  summary: "Asked about a user: the rooms in which the user has a membership.",
  errors: ERRORS,
  question: z.object({ op: z.literal("rooms"), from: goOn }),
  answer: z.object({
    rooms: memberships,
    next: z.string().exactOptional().describe("There are more: the `from` to go on with."),
    missing: z
      .array(z.int())
      .exactOptional()
      .describe("Partitions that nobody answers for at the moment: the user's rooms there are not in the answer."),
  }),
  examples: {
    question: { op: "rooms" },
    answer: { rooms: { "!tide:example.org": { membership: "join", position: 16_384, stay: [17_400, 0] } } },
  },
};

const changed = {
  summary:
    "Asked about a user: the user's rooms of one partition in which something changed that a sync shows this user.",
  errors: ERRORS,
  question: z.object({
    op: z.literal("changed"),
    partition: count.describe("Of which partition."),
    since: count.describe("A position of it."),
    from: goOn,
  }),
  answer: z.object({
    rooms: memberships.describe(
      "Rooms with events, public receipts, private receipts or `m.fully_read` of the user's, or a membership of the user's, after the position. Of a room that the user left, the membership alone counts.",
    ),
    position: position.describe("The answer has everything through this position of the partition."),
    next: z.string().exactOptional().describe("There are more: the `from` to go on with."),
  }),
  examples: {
    question: { op: "changed", partition: 3, since: 16_384 },
    answer: {
      rooms: { "!tide:example.org": { membership: "join", position: 16_384, stay: [17_400, 0] } },
      position: 19_456,
    },
  },
};

/** `rooms` and `changed` are asked about a user, all others about a room. */
export const QUESTIONS = {
  snapshot,
  orders,
  told,
  event,
  read,
  unread,
  threads,
  state,
  state_json: stateJson,
  events,
  aggregations,
  roots,
  summary,
  rooms,
  changed,
};

export type Op = keyof typeof QUESTIONS;

const OPS = Object.keys(QUESTIONS);

/** A question as it is asked, with plain ids. */
export type Asked<O extends Op> = { readonly op: O } & z.input<(typeof QUESTIONS)[O]["question"]>;

/** A question as it is answered. */
export type Question<O extends Op = Op> = z.infer<(typeof QUESTIONS)[O]["question"]>;

export type Answer<O extends Op> = Readonly<z.infer<(typeof QUESTIONS)[O]["answer"]>>;

/** A page of a room's events or of its state. */
export interface Page<Event> {
  readonly events: Event[];
  readonly next?: number;
}

export const question = z.discriminatedUnion(
  "op",
  [
    snapshot.question,
    orders.question,
    told.question,
    event.question,
    read.question,
    unread.question,
    threads.question,
    state.question,
    stateJson.question,
    events.question,
    aggregations.question,
    roots.question,
    summary.question,
    rooms.question,
    changed.question,
  ],
  {
    error: ({ input }) =>
      typeof input === "object" && input !== null && !Array.isArray(input)
        ? `must be ${OPS.slice(0, -1).join(", ")} or ${OPS.at(-1)}`
        : "must be a query (an object)",
  },
);

/** The rooms of an answer. Whoever asks may trust its keys: a worker wrote them. */
export function roomsIn({ rooms }: Pick<Answer<"rooms">, "rooms">): [room: RoomId, membership: Membership][] {
  return Object.entries(rooms) as [RoomId, Membership][];
}
