/**
 * Answers questions about rooms (docs/design.md#queries) from what is folded here.
 *
 * A room that nobody has heard of answers like an empty one. Nothing is activated or kept for a question.
 */

import { LRUCache } from "lru-cache";
import type { Logger } from "pino";
import * as z from "zod";
import { isRead } from "../../../actors/room/fold.ts";
import type { Room } from "../../../actors/room/room.ts";
import { type Counting, summed } from "../../../actors/room/unread.ts";
import type { Bus, BusMessage, BusSubscription } from "../../bus/client/connection.ts";
import { publish } from "../../bus/client/gathered-writes.ts";
import { decodeUntrusted, encodeAs, encodingOf } from "../../bus/contract/codec.ts";
import {
  decodeToken,
  isInbox,
  lastToken,
  ownerSubject,
  ownerWildcard,
  partitionOf,
  queryWildcard,
} from "../../bus/contract/subjects.ts";
import { reasonOf, TidemarkError } from "../../errors.ts";
import {
  EVENTS_PAGE_MAX,
  OWNER_ANSWER_MS,
  QUERY_EVENT_IDS_MAX,
  REQUEST_BYTES_MAX,
  UNREAD_THREADS_CACHED_MAX,
} from "../../limits.ts";
import { type EventId, eventId, type RoomId, roomId, type UserId, userId } from "../../matrix/ids.ts";
import type { Membership } from "../memberships.ts";
import type { Partition } from "../partition.ts";
import { Bodies } from "./bodies.ts";
import { eventPage, statePage } from "./event-pages.ts";
import { snapshot } from "./snapshot.ts";

const QUEUE = "tidemark-query";

const eventIds = z
  .array(eventId, { error: "must be an array of event ids" })
  .max(QUERY_EVENT_IDS_MAX, { error: `must have at most ${QUERY_EVENT_IDS_MAX} items` });

const count = z.int({ error: "must be an integer" }).min(0, { error: "must not be negative" });

const query = z.discriminatedUnion(
  "op",
  [
    z.object({
      op: z.literal("snapshot"),
      user_id: userId.optional(),
      since: count.optional(),
      markers_limit: count.optional(),
      members: z.boolean({ error: "must be a boolean" }).optional(),
      timeline_limit: z.int({ error: "must be an integer" }).min(0, { error: "must not be negative" }).optional(),
    }),
    z.object({ op: z.literal("orders"), event_ids: eventIds }),
    z.object({ op: z.literal("event"), event_id: eventId }),
    z.object({ op: z.literal("read"), user_id: userId, event_ids: eventIds }),
    z.object({ op: z.literal("unread"), user_id: userId }),
    z.object({ op: z.literal("threads"), event_ids: eventIds }),
    z.object({ op: z.literal("state"), since: count.optional() }),
    z.object({
      op: z.literal("events"),
      dir: z.enum(["b", "f"], { error: "must be b or f" }),
      from: z.int({ error: "must be an order" }).optional(),
      to: z.int({ error: "must be an order" }).optional(),
      limit: z
        .int({ error: "must be an integer" })
        .min(1, { error: "must be at least 1" })
        .max(EVENTS_PAGE_MAX, { error: `must be at most ${EVENTS_PAGE_MAX}` })
        .optional(),
      relates_to: eventId.optional(),
      rel_type: z.string({ error: "must be a string" }).optional(),
      event_type: z.string({ error: "must be a string" }).optional(),
    }),
    z.object({ op: z.literal("rooms") }),
  ],
  {
    error: ({ input }) =>
      typeof input === "object" && input !== null && !Array.isArray(input)
        ? "must be snapshot, orders, event, read, unread, threads, state, events or rooms"
        : "must be a query (an object)",
  },
);

type Query = z.infer<typeof query>;
type RoomQuery = Exclude<Query, { op: "rooms" }>;
type Answer = Record<string, unknown>;

interface RoomsAnswer {
  /** Missing in a refusal. */
  readonly rooms?: Record<RoomId, Membership>;
}

/** Which token of `tidemark.owner.<partition>.<room or user>` is the partition. */
const OWNER_PARTITION_TOKEN = 2;

interface QueriesOptions {
  readonly nc: Bus;
  readonly partitions: number;
  /** The partition when this process serves it now. */
  readonly served: (partition: number) => Partition | undefined;
  readonly log: Logger;
}

export class Queries {
  readonly #nc: Bus;
  readonly #bodies: readonly Bodies[];
  /** By room and user. Who is far behind asks at every new event, and counting from the start again is dear. */
  readonly #counts = new LRUCache<string, Counting>({
    maxSize: UNREAD_THREADS_CACHED_MAX,
    sizeCalculation: ({ threads }) => threads.size + 1,
  });
  readonly #partitions: number;
  readonly #served: (partition: number) => Partition | undefined;
  readonly #log: Logger;
  readonly #subscription: BusSubscription;
  /** Questions that other workers were asked. */
  readonly #owned = new Map<number, BusSubscription>();

  constructor({ nc, partitions, served, log }: QueriesOptions) {
    this.#nc = nc;
    this.#bodies = Array.from({ length: partitions }, (_, partition) => new Bodies(nc, partition));
    this.#partitions = partitions;
    this.#served = served;
    this.#log = log;
    this.#subscription = nc.subscribe(queryWildcard, {
      queue: QUEUE,
      callback: (error, message) => {
        if (error === null) void this.#receive(message, true);
      },
    });
  }

  /** Answers for other workers what they are asked about the partitions that are served here now. */
  own(): void {
    for (let partition = 0; partition < this.#partitions; partition++) {
      const subscription = this.#owned.get(partition);
      const isServed = this.#served(partition) !== undefined;
      if (isServed && subscription === undefined) {
        const callback = (error: Error | null, message: BusMessage) => {
          if (error === null) void this.#receive(message, false);
        };
        this.#owned.set(partition, this.#nc.subscribe(ownerWildcard(partition), { callback }));
      } else if (!isServed && subscription !== undefined) {
        // What is on its way is refused at once, rather than left without an answer.
        void subscription.drain();
        this.#owned.delete(partition);
      }
    }
  }

  /** Takes no more questions. Those for partitions that are still served here are answered until `close`. */
  drain(): Promise<void> {
    return this.#subscription.drain();
  }

  async close(): Promise<void> {
    const owned = [...this.#owned.values()];
    this.#owned.clear();
    await Promise.all(owned.map((subscription) => subscription.drain()));
  }

  async #receive(message: BusMessage, mayForward: boolean): Promise<void> {
    const to = message.reply;
    if (!isInbox(to)) return;
    const encoding = encodingOf(message.data);
    let answer: Answer;
    try {
      const own = await this.#answer(message, mayForward);
      if (own instanceof Uint8Array) {
        publish(this.#nc, to, own);
        return;
      }
      answer = { ok: true, ...own };
    } catch (error) {
      answer = refusal(error);
      if (!(error instanceof TidemarkError)) this.#log.error({ err: error }, "a query failed in an unforeseen way");
    }
    let bytes = encodeAs(answer, encoding);
    const payloadMax = this.#nc.info?.max_payload ?? Number.POSITIVE_INFINITY;
    if (bytes.length > payloadMax) {
      const error = `the answer has ${bytes.length} bytes, the broker takes ${payloadMax}: raise its max_payload`;
      bytes = encodeAs(refusal(new TidemarkError("M_TOO_LARGE", error)), encoding);
    }
    publish(this.#nc, to, bytes);
  }

  /** The answer, or what the partition's owner has answered. */
  async #answer({ data, subject }: BusMessage, mayForward: boolean): Promise<Answer | Uint8Array> {
    if (data.length > REQUEST_BYTES_MAX) {
      throw new TidemarkError(
        "M_TOO_LARGE",
        `the query has ${data.length} bytes, at most ${REQUEST_BYTES_MAX} are allowed`,
      );
    }
    const about = aboutOf(lastToken(subject));
    const parsed = query.safeParse(decodeUntrusted(data, encodingOf(data)));
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      const field = issue?.path.map(String).join(".") ?? "";
      throw new TidemarkError("M_INVALID_PARAM", field === "" ? `${issue?.message}` : `${field}: ${issue?.message}`);
    }
    if (parsed.data.op === "rooms") {
      if (about.user === undefined) throw new TidemarkError("M_INVALID_PARAM", "op: rooms is asked about a user");
      return mayForward
        ? this.#roomsOf(about.user, lastToken(subject), data)
        : this.#roomsIn(about.user, Number(subject.split(".")[OWNER_PARTITION_TOKEN]));
    }
    const { room } = about;
    if (room === undefined) throw new TidemarkError("M_INVALID_PARAM", `op: ${parsed.data.op} is asked about a room`);
    const partition = partitionOf(room, this.#partitions);
    const served = this.#served(partition);
    if (served !== undefined) return this.#ask(parsed.data, partition, served.room(room));
    if (mayForward) return this.#forward(partition, lastToken(subject), data);
    throw notServed(partition);
  }

  async #forward(partition: number, target: string, data: Uint8Array): Promise<Uint8Array> {
    try {
      return (await this.#nc.request(ownerSubject(partition, target), data, { timeout: OWNER_ANSWER_MS })).data;
    } catch (error) {
      throw notServed(partition, error);
    }
  }

  /** All rooms that a user has a membership in. Each partition must answer: part of the rooms would look like all. */
  async #roomsOf(user: UserId, target: string, data: Uint8Array): Promise<Answer> {
    const parts = await Promise.all(
      Array.from({ length: this.#partitions }, async (_, partition) => {
        if (this.#served(partition) !== undefined) return this.#roomsIn(user, partition).rooms;
        const reply = decodeUntrusted(await this.#forward(partition, target, data), encodingOf(data)) as RoomsAnswer;
        if (reply.rooms === undefined) throw notServed(partition);
        return reply.rooms;
      }),
    );
    return { rooms: Object.assign({}, ...parts) };
  }

  #roomsIn(user: UserId, partition: number): { rooms: Record<RoomId, Membership> } {
    const served = this.#served(partition);
    if (served === undefined) throw notServed(partition);
    return { rooms: Object.fromEntries(served.roomsOf(user)) };
  }

  async #ask(query: RoomQuery, partition: number, room: Room): Promise<Answer> {
    switch (query.op) {
      case "snapshot":
        return snapshot(this.#bodies[partition]!, room, query);
      case "threads":
        return { threads: byEvent(query.event_ids, (id) => room.events.get(id)?.thread ?? null) };
      case "state":
        return { ...(await statePage(this.#bodies[partition]!, room, query.since ?? 0)) };
      case "events":
        return { ...(await eventPage(this.#bodies[partition]!, room, query)) };
      case "orders":
        return {
          position: room.position,
          orders: byEvent(query.event_ids, (id) => room.events.get(id)?.order ?? null),
        };
      case "event":
        return { event: await this.#bodies[partition]!.one(room, query.event_id) };
      case "read":
        return { read: byEvent(query.event_ids, (id) => isRead(room, query.user_id, id)) };
      case "unread": {
        const key = `${room.id} ${query.user_id}`;
        const counting = room.unread.counting(query.user_id, room.markers, this.#counts.get(key));
        this.#counts.set(key, counting);
        const { unthreaded, main, threads } = summed(counting);
        return {
          unthreaded: { count: unthreaded },
          main: { count: main },
          threads: Object.fromEntries([...threads].map(([root, count]) => [root, { count }])),
        };
      }
    }
  }
}

/** What a token names: a user or a room. To have both parsers look at it would cost more than to answer. */
function aboutOf(token: string): { readonly user?: UserId; readonly room?: RoomId } {
  const target = decodeToken(token);
  if (target?.startsWith("@")) {
    const user = userId.safeParse(target);
    if (user.success) return { user: user.data };
  }
  const room = roomId.safeParse(target);
  if (room.success) return { room: room.data };
  throw new TidemarkError("M_INVALID_PARAM", `room_id: ${room.error.issues[0]?.message}`);
}

function notServed(partition: number, cause?: unknown): TidemarkError {
  return new TidemarkError("M_UNKNOWN", `partition ${partition} is not served at the moment`, { cause });
}

function byEvent<T>(ids: readonly EventId[], value: (id: EventId) => T): Record<string, T> {
  return Object.fromEntries(ids.map((id) => [id, value(id)]));
}

function refusal(error: unknown): Answer {
  if (!(error instanceof TidemarkError)) return { ok: false, errcode: "M_UNKNOWN", error: "internal error" };
  return { ok: false, errcode: error.code, error: reasonOf(error) };
}
