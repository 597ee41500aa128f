/** The answer to each question about a room (docs/design.md#queries), from its folded state. */
import { LRUCache } from "lru-cache";
import { RECEIPT, type ReceiptEntry, UNKNOWN_THREAD } from "../../../actors/entry.ts";
import { isRead } from "../../../actors/room/fold.ts";
import { addsNothing } from "../../../actors/room/fold-receipt.ts";
import { type Counting, NOTHING_UNREAD, summed } from "../../../actors/room/unread.ts";
import { Visibility } from "../../../actors/room/visibility.ts";
import type { Answer, Op, Question } from "../../bus/contract/questions.ts";
import { ANSWER_BYTES_MAX } from "../../limits.ts";
import { ID_SEPARATOR } from "../../matrix/id-grammar.ts";
import { type EventId, serverOf, type ThreadId, type UserId } from "../../matrix/ids.ts";
import { aggregations, rootPage } from "./aggregations.ts";
import type { Asking } from "./asking.ts";
import { eventPage } from "./event-pages.ts";
import { greatestOrder } from "./greatest-order.ts";
import { seenBodies } from "./seen-bodies.ts";
import type { SizeOf } from "./sizes.ts";
import { snapshot } from "./snapshot.ts";
import { stateJsonPage, statePage } from "./state-pages.ts";
import { summary } from "./summary.ts";

/** Threads of all rooms and users whose unread count is cached, so that the next count goes on from it. About 100 bytes each. */
const UNREAD_THREADS_CACHED_MAX = 200_000;

export type RoomOp = Exclude<Op, "rooms" | "changed">;

/** What an answer may need besides. */
interface Counted extends Asking {
  readonly counts: UnreadCache;
}

type Answers = {
  readonly [O in RoomOp]: (asking: Counted, question: Question<O>) => Answer<O> | Promise<Answer<O>>;
};

const ANSWERS: Answers = {
  snapshot: (asking, question) => snapshot(asking, question),
  state: (asking, question) => statePage(asking, question),
  state_json: (asking, question) => stateJsonPage(asking, question),
  events: (asking, question) => eventPage(asking, question),
  aggregations: (asking, question) => aggregations(asking, question),
  roots: (asking, question) => rootPage(asking, question),
  summary: (asking) => summary(asking),
  orders: ({ room }, { event_ids: ids, through }) => ({
    position: room.position,
    orders: byEvent(ids, (id) => room.events.get(id)?.order ?? null),
    ...(through !== undefined && { greatest: greatestOrder(room, through) }),
  }),
  told: ({ room }, { receipts, inferred }) => ({
    told: receipts.map((receipt) => addsNothing(room, entryOf(receipt), { inferred })),
  }),
  threads: ({ room }, { event_ids: ids }) => ({ threads: byEvent(ids, (id) => room.events.get(id)?.thread ?? null) }),
  event: async ({ bodies, room }, { event_id: id, viewer }) => {
    const order = room.events.get(id)?.order;
    const isSeen = viewer === undefined || (order !== undefined && new Visibility(room, viewer).sees(order));
    return { event: isSeen ? await bodies.one(room, id) : null };
  },
  read: ({ room }, { user_id: user, event_ids: ids }) => ({ read: byEvent(ids, (id) => isRead(room, user, id)) }),
  unread: ({ room, counts, sizeOf }, { user_id: user, after }) => {
    const key = `${room.id}${ID_SEPARATOR}${user}`;
    const counting = room.unread.counting(room.readingOf(user), counts.get(key));
    counts.set(key, counting);
    const { unthreaded, main, threads } = room.countsFor(user) ? summed(counting) : NOTHING_UNREAD;
    return { unthreaded: { count: unthreaded }, main: { count: main }, ...threadPage(threads, after, sizeOf) };
  },
};

export function answer<O extends RoomOp>(op: O, asking: Counted, question: Question<O>) {
  const { viewer } = question as { readonly viewer?: UserId };
  const bodies = viewer === undefined ? asking.bodies : seenBodies(asking.bodies, viewer);
  return ANSWERS[op]({ ...asking, bodies }, question);
}

type AskedReceipt = Question<"told">["receipts"][number];

/** A receipt as ingress would append it, but for its time. */
function entryOf(receipt: AskedReceipt): ReceiptEntry {
  const { user_id: user, receipt_type: type, event_id: event, thread_id = null, thread_known: known } = receipt;
  const thread = known === false ? UNKNOWN_THREAD : thread_id;
  const origin = receipt.remote === true ? serverOf(user) : null;
  const isAccepted = receipt.accepted === true || receipt.remote === true;
  return isAccepted
    ? [RECEIPT, user, type, event, thread, 0, origin, true]
    : [RECEIPT, user, type, event, thread, 0, origin];
}

/** The counts of threads, by root, as many as fit. */
function threadPage(
  counts: ReadonlyMap<ThreadId, number>,
  after: string | undefined,
  sizeOf: SizeOf,
): Pick<Answer<"unread">, "threads" | "next"> {
  const threads: Answer<"unread">["threads"] = {};
  let bytes = 0;
  let last = "";
  for (const root of [...counts.keys()].sort()) {
    if (after !== undefined && root <= after) continue;
    const count = { count: counts.get(root)! };
    bytes += sizeOf(root) + sizeOf(count) + 1;
    if (bytes > ANSWER_BYTES_MAX) return { threads, next: last };
    threads[root] = count;
    last = root;
  }
  return { threads };
}

/** By room and user. The counts of a user who is far behind are asked for at every new event, and a count from the start is expensive. */
export class UnreadCache extends LRUCache<string, Counting> {
  constructor() {
    super({ maxSize: UNREAD_THREADS_CACHED_MAX, sizeCalculation: ({ threads }) => threads.size + 1 });
  }
}

function byEvent<T>(ids: readonly EventId[], value: (id: EventId) => T): Record<string, T> {
  return Object.fromEntries(ids.map((id) => [id, value(id)]));
}
