/**
 * Answers questions about rooms (DESIGN 4.5) from what is folded here.
 *
 * A room that nobody has heard of answers like an empty one. Nothing is activated or kept for a question.
 */
import type { Logger } from "pino";
import * as z from "zod";
import { receiptEvent } from "../../actors/changes.ts";
import { type Position, RECEIPT } from "../../actors/entry.ts";
import type { EventInfo } from "../../actors/event-info.ts";
import { isRead } from "../../actors/fold.ts";
import type { Marker } from "../../actors/markers.ts";
import type { Room } from "../../actors/room.ts";
import { decodeUntrusted, encodeAs, encodingOf } from "../bus/codec.ts";
import type { Bus, BusMessage, BusSubscription } from "../bus/connection.ts";
import { readEntry } from "../bus/log.ts";
import { partitionOf } from "../bus/partition.ts";
import { decodeToken, lastToken, queryWildcard } from "../bus/subjects.ts";
import { reasonOf, TidemarkError } from "../errors.ts";
import { QUERY_EVENT_IDS_MAX, REQUEST_BYTES_MAX, TIMELINE_EVENTS_DEFAULT, TIMELINE_EVENTS_MAX } from "../limits.ts";
import { type MatrixEvent, type OrderedEvent, redacted, withOrder } from "../matrix/event.ts";
import { type EventId, eventId, type RoomId, roomId, userId } from "../matrix/ids.ts";
import { FULLY_READ, READ, READ_PRIVATE } from "../matrix/receipt.ts";
import { fullyReadOf } from "./messages.ts";
import type { Partition } from "./partition.ts";

const QUEUE = "tidemark-query";

const eventIds = z
  .array(eventId, { error: "must be an array of event ids" })
  .max(QUERY_EVENT_IDS_MAX, { error: `must have at most ${QUERY_EVENT_IDS_MAX} items` });

const query = z.discriminatedUnion(
  "op",
  [
    z.object({
      op: z.literal("snapshot"),
      user_id: userId.optional(),
      timeline_limit: z.int({ error: "must be an integer" }).min(0, { error: "must not be negative" }).optional(),
    }),
    z.object({ op: z.literal("orders"), event_ids: eventIds }),
    z.object({ op: z.literal("event"), event_id: eventId }),
    z.object({ op: z.literal("read"), user_id: userId, event_ids: eventIds }),
    z.object({ op: z.literal("unread"), user_id: userId }),
  ],
  {
    error: ({ input }) =>
      typeof input === "object" && input !== null && !Array.isArray(input)
        ? "must be snapshot, orders, event, read or unread"
        : "must be a query (an object)",
  },
);

type Query = z.infer<typeof query>;
type Answer = Record<string, unknown>;

interface QueriesOptions {
  readonly nc: Bus;
  readonly partitions: readonly Partition[];
  readonly log: Logger;
}

export class Queries {
  readonly #nc: Bus;
  readonly #partitions: readonly Partition[];
  readonly #log: Logger;
  readonly #subscription: BusSubscription;

  constructor({ nc, partitions, log }: QueriesOptions) {
    this.#nc = nc;
    this.#partitions = partitions;
    this.#log = log;
    this.#subscription = nc.subscribe(queryWildcard, {
      queue: QUEUE,
      callback: (error, message) => {
        if (error === null) void this.#receive(message);
      },
    });
  }

  drain(): Promise<void> {
    return this.#subscription.drain();
  }

  async #receive(message: BusMessage): Promise<void> {
    if (message.reply === undefined || message.reply === "") return;
    const encoding = encodingOf(message.data);
    let answer: Answer;
    try {
      answer = { ok: true, ...(await this.#answer(message)) };
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
    message.respond(bytes);
  }

  async #answer({ data, subject }: BusMessage): Promise<Answer> {
    if (data.length > REQUEST_BYTES_MAX) {
      throw new TidemarkError(
        "M_TOO_LARGE",
        `the query has ${data.length} bytes, at most ${REQUEST_BYTES_MAX} are allowed`,
      );
    }
    const room = roomId.safeParse(decodeToken(lastToken(subject)));
    if (!room.success) throw new TidemarkError("M_INVALID_PARAM", `room_id: ${room.error.issues[0]?.message}`);
    const parsed = query.safeParse(decodeUntrusted(data, encodingOf(data)));
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      const field = issue?.path.map(String).join(".") ?? "";
      throw new TidemarkError("M_INVALID_PARAM", field === "" ? `${issue?.message}` : `${field}: ${issue?.message}`);
    }
    const partition = partitionOf(room.data, this.#partitions.length);
    if (!this.#partitions[partition]!.live) {
      throw new TidemarkError("M_UNKNOWN", `partition ${partition} is not served at the moment`);
    }
    return this.#ask(parsed.data, partition, room.data);
  }

  async #ask(query: Query, partition: number, id: RoomId): Promise<Answer> {
    const room = this.#partitions[partition]!.room(id);
    switch (query.op) {
      case "snapshot":
        return snapshot(room, query);
      case "orders":
        return {
          position: room.position,
          orders: byEvent(query.event_ids, (id) => room.events.get(id)?.order ?? null),
        };
      case "event":
        return { event: await this.#event(room, partition, query.event_id) };
      case "read":
        return { read: byEvent(query.event_ids, (id) => isRead(room, query.user_id, id)) };
      case "unread": {
        const { unthreaded, main, threads } = room.unread.count(query.user_id, room.markers);
        return {
          unthreaded: { count: unthreaded },
          main: { count: main },
          threads: Object.fromEntries([...threads].map(([root, count]) => [root, { count }])),
        };
      }
    }
  }

  /** The event from the log, as it would be served: without what a redaction took from it. */
  async #event(room: Room, partition: number, id: EventId): Promise<OrderedEvent | null> {
    const info = room.events.get(id);
    if (info === undefined) return null;
    let event = await this.#body(partition, info);
    const redaction = info.redaction === undefined ? undefined : room.events.get(info.redaction);
    if (redaction !== undefined) event = redacted(event, await this.#body(partition, redaction));
    return withOrder(event, info.order);
  }

  async #body(partition: number, { order }: EventInfo): Promise<MatrixEvent> {
    const entry = await readEntry(this.#nc, partition, Math.abs(order));
    if (entry === undefined || entry[0] === RECEIPT) {
      throw new TidemarkError(
        "LOG_BROKEN",
        `the log of partition ${partition} has no event at position ${Math.abs(order)}`,
      );
    }
    return entry[1];
  }
}

function snapshot(room: Room, { user_id: user, timeline_limit: limit }: Extract<Query, { op: "snapshot" }>): Answer {
  const shown: Marker[] = [];
  for (const marker of room.markers) if (marker.type === READ) shown.push(marker);
  const own = user === undefined ? [] : room.markers.of(user);
  const fullyRead = own.find(({ type }) => type === FULLY_READ);
  return {
    room_id: room.id,
    position: room.position satisfies Position,
    receipts: receiptEvent(shown).content,
    ...(user !== undefined && { private: receiptEvent(own.filter(({ type }) => type === READ_PRIVATE)).content }),
    ...(fullyRead !== undefined && { fully_read: fullyReadOf(fullyRead) }),
    timeline: room.timeline
      .latest(Math.min(limit ?? TIMELINE_EVENTS_DEFAULT, TIMELINE_EVENTS_MAX))
      .map(({ event, order }) => withOrder(event, order)),
    members: Object.fromEntries(room.members),
  };
}

function byEvent<T>(ids: readonly EventId[], value: (id: EventId) => T): Record<string, T> {
  return Object.fromEntries(ids.map((id) => [id, value(id)]));
}

function refusal(error: unknown): Answer {
  if (!(error instanceof TidemarkError)) return { ok: false, errcode: "M_UNKNOWN", error: "internal error" };
  return { ok: false, errcode: error.code, error: reasonOf(error) };
}
