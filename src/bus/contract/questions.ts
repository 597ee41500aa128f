/**
 * Questions to the workers and their answers (docs/design.md#queries): requests to `tidemark.query.<room or user>`.
 *
 * A question is declared once, with its answer: the types of whoever asks, of whoever answers, and the published
 * description of both follow from here. Ids are plain text where a question is written, and are parsed where it is
 * answered. An answer is what a worker wrote, so it is not validated again where it is read.
 */
import * as z from "zod";
import { EVENTS_PAGE_MAX, QUERY_EVENT_IDS_MAX } from "../../limits.ts";
import { matrixEvent, orderedEvent } from "../../matrix/event.ts";
import { eventId, type RoomId, roomId, threadId, userId } from "../../matrix/ids.ts";
import { receiptContent } from "../../matrix/receipt.ts";
import { fullyRead, order, position } from "./fields.ts";

const eventIds = z
  .array(eventId, { error: "must be an array of event ids" })
  .max(QUERY_EVENT_IDS_MAX, { error: `must have at most ${QUERY_EVENT_IDS_MAX} items` });

const count = z.int({ error: "must be an integer" }).min(0, { error: "must not be negative" });

/** Keys of answers are plain text: who indexes an answer has the ids that were asked about. */
const byEvent = <Value extends z.ZodType>(value: Value) => z.record(z.string(), value);

/** A page of events. It may be shorter than its limit, even empty: while there is a `next`, there may be more. */
const page = <Event extends z.ZodType>(event: Event) =>
  z.object({
    events: z.array(event),
    /** Where to go on: the `from` or the `since` of the next question. */
    next: z.int().exactOptional(),
  });

const unreadCount = z.object({ count });

/** A user's membership in a room. */
const membership = z.object({
  /** `join`, `leave`, `invite` …, as the member event says. */
  membership: z.string(),
  /** The entry that changed it. One that changed only a display name does not. */
  position,
});

export type Membership = z.infer<typeof membership>;

const snapshot = {
  question: z.object({
    op: z.literal("snapshot"),
    /** Whose private receipts and `m.fully_read` marker are added. */
    user_id: userId.optional(),
    /** Only what came after this position. */
    since: count.optional(),
    /** No more markers than this, or a few more where several share a position. */
    markers_limit: count.optional(),
    /** false: without them. */
    members: z.boolean({ error: "must be a boolean" }).optional(),
    timeline_limit: count.optional(),
  }),
  answer: z.object({
    room_id: roomId,
    position,
    receipts: receiptContent,
    /** Of the question's user. */
    private: receiptContent.exactOptional(),
    fully_read: fullyRead.exactOptional(),
    /** The newest live events, oldest first. */
    timeline: z.array(orderedEvent),
    /** There are more live events beyond `since`. */
    limited: z.boolean().exactOptional(),
    members: z.record(z.string(), z.string()).exactOptional(),
    /** There are more markers: the `since` to go on with. */
    markers_more: position.exactOptional(),
  }),
};

const orders = {
  question: z.object({ op: z.literal("orders"), event_ids: eventIds }),
  answer: z.object({ position, orders: byEvent(order.nullable()) }),
};

const event = {
  question: z.object({ op: z.literal("event"), event_id: eventId }),
  answer: z.object({ event: orderedEvent.nullable() }),
};

const read = {
  question: z.object({ op: z.literal("read"), user_id: userId, event_ids: eventIds }),
  answer: z.object({ read: byEvent(z.boolean().nullable()) }),
};

const unread = {
  question: z.object({ op: z.literal("unread"), user_id: userId }),
  answer: z.object({ unthreaded: unreadCount, main: unreadCount, threads: z.record(z.string(), unreadCount) }),
};

const threads = {
  question: z.object({ op: z.literal("threads"), event_ids: eventIds }),
  answer: z.object({ threads: byEvent(threadId.nullable()) }),
};

const state = {
  question: z.object({ op: z.literal("state"), since: count.optional() }),
  answer: page(matrixEvent),
};

const events = {
  question: z.object({
    op: z.literal("events"),
    /** b: towards older events. */
    dir: z.enum(["b", "f"], { error: "must be b or f" }),
    /** The page begins beyond this order, exclusive; at the newest or the oldest event without it. */
    from: order.optional(),
    /** It ends before this order, exclusive. */
    to: order.optional(),
    limit: z
      .int({ error: "must be an integer" })
      .min(1, { error: "must be at least 1" })
      .max(EVENTS_PAGE_MAX, { error: `must be at most ${EVENTS_PAGE_MAX}` })
      .optional(),
    relates_to: eventId.optional(),
    rel_type: z.string({ error: "must be a string" }).optional(),
    event_type: z.string({ error: "must be a string" }).optional(),
  }),
  answer: page(orderedEvent),
};

const rooms = {
  question: z.object({ op: z.literal("rooms") }),
  answer: z.object({ rooms: z.record(z.string(), membership) }),
};

/** `rooms` is asked about a user, all others about a room. */
export const QUESTIONS = { snapshot, orders, event, read, unread, threads, state, events, rooms };

export type Op = keyof typeof QUESTIONS;

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
    event.question,
    read.question,
    unread.question,
    threads.question,
    state.question,
    events.question,
    rooms.question,
  ],
  {
    error: ({ input }) =>
      typeof input === "object" && input !== null && !Array.isArray(input)
        ? "must be snapshot, orders, event, read, unread, threads, state, events or rooms"
        : "must be a query (an object)",
  },
);

/** The rooms of an answer. Whoever asks may trust its keys: a worker wrote them. */
export function roomsIn({ rooms }: Answer<"rooms">): [room: RoomId, membership: Membership][] {
  return Object.entries(rooms) as [RoomId, Membership][];
}
