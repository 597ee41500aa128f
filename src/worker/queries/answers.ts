/** The answer to each question about a room (docs/design.md#queries), from its folded state. */
import { LRUCache } from "lru-cache";
import { isRead } from "../../../actors/room/fold.ts";
import type { Room } from "../../../actors/room/room.ts";
import { type Counting, NOTHING_UNREAD, summed } from "../../../actors/room/unread.ts";
import { Visibility } from "../../../actors/room/visibility.ts";
import type { Answer, Op, Question } from "../../bus/contract/questions.ts";
import { ID_SEPARATOR } from "../../matrix/id-grammar.ts";
import type { EventId } from "../../matrix/ids.ts";
import type { Bodies } from "./bodies.ts";
import { eventPage } from "./event-pages.ts";
import { greatestOrder } from "./greatest-order.ts";
import { snapshot } from "./snapshot.ts";
import { statePage } from "./state-pages.ts";

/** Threads of all rooms and users whose unread count is cached, so that the next count goes on from it. About 100 bytes each. */
const UNREAD_THREADS_CACHED_MAX = 200_000;

export type RoomOp = Exclude<Op, "rooms" | "changed">;

/** The room that a question is about, and what else its answer may need. */
export interface Asking {
  readonly room: Room;
  readonly bodies: Bodies;
  readonly counts: UnreadCache;
}

type Answers = {
  readonly [O in RoomOp]: (asking: Asking, question: Question<O>) => Answer<O> | Promise<Answer<O>>;
};

const ANSWERS: Answers = {
  snapshot: ({ bodies, room }, question) => snapshot(bodies, room, question),
  state: ({ bodies, room }, question) => statePage(bodies, room, question),
  events: ({ bodies, room }, question) => eventPage(bodies, room, question),
  orders: ({ room }, { event_ids: ids, through }) => ({
    position: room.position,
    orders: byEvent(ids, (id) => room.events.get(id)?.order ?? null),
    ...(through !== undefined && { greatest: greatestOrder(room, through) }),
  }),
  threads: ({ room }, { event_ids: ids }) => ({ threads: byEvent(ids, (id) => room.events.get(id)?.thread ?? null) }),
  event: async ({ bodies, room }, { event_id: id, viewer }) => {
    const order = room.events.get(id)?.order;
    const isSeen = viewer === undefined || (order !== undefined && new Visibility(room, viewer).sees(order));
    return { event: isSeen ? await bodies.one(room, id) : null };
  },
  read: ({ room }, { user_id: user, event_ids: ids }) => ({ read: byEvent(ids, (id) => isRead(room, user, id)) }),
  unread: ({ room, counts }, { user_id: user }) => {
    const key = `${room.id}${ID_SEPARATOR}${user}`;
    const counting = room.unread.counting(room.readingOf(user), counts.get(key));
    counts.set(key, counting);
    const { unthreaded, main, threads } = room.countsFor(user) ? summed(counting) : NOTHING_UNREAD;
    return {
      unthreaded: { count: unthreaded },
      main: { count: main },
      threads: Object.fromEntries([...threads].map(([root, count]) => [root, { count }])),
    };
  },
};

export function answer<O extends RoomOp>(op: O, asking: Asking, question: Question<O>) {
  return ANSWERS[op](asking, question);
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
