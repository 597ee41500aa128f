/**
 * Answers questions about rooms (docs/design.md#queries) from what is folded here.
 *
 * An unknown room answers like an empty one. Such a question activates nothing and caches nothing.
 */
import type { Logger } from "pino";
import type { Room } from "../../../actors/room/room.ts";
import type { Bus, BusMessage } from "../../bus/client/connection.ts";
import { publish } from "../../bus/client/gathered-writes.ts";
import { type LastingSubscription, subscribe } from "../../bus/client/subscribe.ts";
import { decodeUntrusted, encodeAs, encodingOf } from "../../bus/contract/codec.ts";
import { type Answer, type Op, type Question, question } from "../../bus/contract/questions.ts";
import { decodeAnswer, type Refusal, refusalOf } from "../../bus/contract/replies.ts";
import {
  decodeToken,
  isInbox,
  lastToken,
  ownerSubject,
  ownerWildcard,
  partitionOf,
  querySubject,
} from "../../bus/contract/subjects.ts";
import { TidemarkError } from "../../errors.ts";
import { OWNER_ANSWER_MS, REQUEST_BYTES_MAX } from "../../limits.ts";
import { type RoomId, roomId, type UserId, userId } from "../../matrix/ids.ts";
import { answer, UnreadCache } from "./answers.ts";
import { Bodies } from "./bodies.ts";
import { sizeIn } from "./sizes.ts";
import { beginningOf, changedPage, joinedPages, roomsPage, type UsersPartition } from "./users-rooms.ts";

const QUEUE = "tidemark-query";

/** The index of the partition in the tokens of `tidemark.owner.<partition>.<room or user>`. */
const OWNER_PARTITION_TOKEN = 2;

/** What questions are answered from. */
interface ServedPartition extends UsersPartition {
  room(id: RoomId): Room;
}

interface QueriesOptions {
  readonly nc: Bus;
  readonly partitions: number;
  /** Returns the partition if this process serves it now. */
  readonly served: (partition: number) => ServedPartition | undefined;
  readonly log: Logger;
  /** Called once per question with a reply subject. `errcode`: of a refusal. */
  readonly answered?: ((ms: number, errcode: string | undefined) => void) | undefined;
}

export class Queries {
  readonly #nc: Bus;
  readonly #bodies: readonly Bodies[];
  readonly #counts = new UnreadCache();
  readonly #partitions: number;
  readonly #served: (partition: number) => ServedPartition | undefined;
  readonly #log: Logger;
  readonly #answered: NonNullable<QueriesOptions["answered"]>;
  readonly #subscription: LastingSubscription;
  /** Subscriptions to questions that other workers forward, by partition. */
  readonly #owned = new Map<number, LastingSubscription>();
  /** Questions that are not answered yet. */
  #open = 0;
  #allAnswered: (() => void) | undefined;

  constructor({ nc, partitions, served, log, answered = () => {} }: QueriesOptions) {
    this.#answered = answered;
    this.#nc = nc;
    this.#bodies = Array.from({ length: partitions }, (_, partition) => new Bodies(nc, partition));
    this.#partitions = partitions;
    this.#served = served;
    this.#log = log;
    this.#subscription = subscribe(nc, querySubject.every, {
      queue: QUEUE,
      onMessage: (message) => void this.#take(message, true),
    });
  }

  /** Answers questions that other workers forward, about the partitions that are served here now. */
  own(): void {
    for (let partition = 0; partition < this.#partitions; partition++) {
      const subscription = this.#owned.get(partition);
      const isServed = this.#served(partition) !== undefined;
      if (isServed && subscription === undefined) {
        const onMessage = (message: BusMessage) => void this.#take(message, false);
        this.#owned.set(partition, subscribe(this.#nc, ownerWildcard(partition), { onMessage }));
      } else if (!isServed && subscription !== undefined) {
        // A question on its way is refused at once, not left without an answer.
        void subscription.drain();
        this.#owned.delete(partition);
      }
    }
  }

  /** Accepts no more questions, except forwarded ones: partitions that are still served here answer those until `close`. */
  drain(): Promise<void> {
    return this.#subscription.drain();
  }

  /** Resolves once every question has its answer, those that wait for another worker included. */
  async close(): Promise<void> {
    const owned = [...this.#owned.values()];
    this.#owned.clear();
    await Promise.all(owned.map((subscription) => subscription.drain()));
    if (this.#open > 0) await new Promise<void>((resolve) => (this.#allAnswered = resolve));
  }

  async #take(message: BusMessage, mayForward: boolean): Promise<void> {
    this.#open += 1;
    try {
      await this.#receive(message, mayForward);
    } finally {
      this.#open -= 1;
      if (this.#open === 0) this.#allAnswered?.();
    }
  }

  async #receive(message: BusMessage, mayForward: boolean): Promise<void> {
    const to = message.reply;
    if (!isInbox(to)) return;
    const began = performance.now();
    const encoding = encodingOf(message.data);
    let reply: ({ readonly ok: true } & Answer<Op>) | Refusal;
    try {
      const own = await this.#answer(message, mayForward);
      if (own instanceof Uint8Array) {
        publish(this.#nc, to, own);
        this.#answered(performance.now() - began, undefined);
        return;
      }
      reply = { ok: true, ...own };
    } catch (error) {
      reply = refusalOf(error);
      if (!(error instanceof TidemarkError)) this.#log.error({ err: error }, "a query failed unexpectedly");
    }
    let bytes = encodeAs(reply, encoding);
    const payloadMax = this.#nc.info?.max_payload ?? Number.POSITIVE_INFINITY;
    if (bytes.length > payloadMax) {
      const error = `the answer has ${bytes.length} bytes, the broker takes ${payloadMax}: raise its max_payload`;
      bytes = encodeAs(refusalOf(new TidemarkError("M_TOO_LARGE", error)), encoding);
    }
    publish(this.#nc, to, bytes);
    this.#answered(performance.now() - began, "errcode" in reply ? reply.errcode : undefined);
  }

  /** Returns the answer, or the encoded answer of the partition's owner. */
  async #answer({ data, subject }: BusMessage, mayForward: boolean): Promise<Answer<Op> | Uint8Array> {
    if (data.length > REQUEST_BYTES_MAX) {
      throw new TidemarkError(
        "M_TOO_LARGE",
        `the query has ${data.length} bytes, at most ${REQUEST_BYTES_MAX} are allowed`,
      );
    }
    const about = aboutOf(lastToken(subject));
    const parsed = question.safeParse(decodeUntrusted(data, encodingOf(data)));
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      const field = issue?.path.map(String).join(".") ?? "";
      throw new TidemarkError("M_INVALID_PARAM", field === "" ? `${issue?.message}` : `${field}: ${issue?.message}`);
    }
    if (parsed.data.op === "rooms" || parsed.data.op === "changed") {
      const { user } = about;
      if (user === undefined) throw new TidemarkError("M_INVALID_PARAM", `op: ${parsed.data.op} is asked about a user`);
      if (parsed.data.op === "changed") return this.#changed(parsed.data, user, { data, mayForward });
      if (mayForward) return this.#roomsOf(user, parsed.data, data);
      const partition = Number(subject.split(".")[OWNER_PARTITION_TOKEN]);
      return roomsPage(this.#own(partition), { user, partition, from: parsed.data.from });
    }
    const { room } = about;
    if (room === undefined) throw new TidemarkError("M_INVALID_PARAM", `op: ${parsed.data.op} is asked about a room`);
    const partition = partitionOf(room, this.#partitions);
    const served = this.#served(partition);
    if (served !== undefined) {
      try {
        const asking = {
          room: served.room(room),
          bodies: this.#bodies[partition]!,
          counts: this.#counts,
          sizeOf: sizeIn(encodingOf(data)),
        };
        return await answer(parsed.data.op, asking, parsed.data);
      } catch (error) {
        // Given up while the answer waited for bodies: its store is closed, and another worker is asked.
        if (this.#served(partition) === served) throw error;
      }
    }
    if (mayForward) return this.#forward(partition, room, data);
    throw notServed(partition);
  }

  async #forward(partition: number, about: RoomId | UserId, data: Uint8Array): Promise<Uint8Array> {
    try {
      return (await this.#nc.request(ownerSubject(partition, about), data, { timeout: OWNER_ANSWER_MS })).data;
    } catch (error) {
      throw notServed(partition, error);
    }
  }

  /** All rooms in which a user has a membership, but those of partitions that nobody answers for. */
  async #roomsOf(user: UserId, { from }: Question<"rooms">, data: Uint8Array): Promise<Answer<"rooms">> {
    const beginning = beginningOf(from);
    const pages = Array.from({ length: Math.max(0, this.#partitions - beginning.partition) }, async (_, i) => {
      const partition = beginning.partition + i;
      const served = this.#served(partition);
      if (served !== undefined) return roomsPage(served, { user, partition, from });
      try {
        return decodeAnswer("rooms", await this.#forward(partition, user, data), encodingOf(data));
      } catch {
        return undefined;
      }
    });
    return joinedPages(await Promise.all(pages), beginning);
  }

  async #changed(
    { partition, since, from }: Question<"changed">,
    user: UserId,
    { data, mayForward }: { readonly data: Uint8Array; readonly mayForward: boolean },
  ): Promise<Answer<"changed"> | Uint8Array> {
    if (partition >= this.#partitions) {
      throw new TidemarkError("M_INVALID_PARAM", `partition: must be less than ${this.#partitions}`);
    }
    const served = this.#served(partition);
    if (served === undefined && mayForward) return this.#forward(partition, user, data);
    return changedPage(this.#own(partition), { user, partition, since, from });
  }

  #own(partition: number): ServedPartition {
    const served = this.#served(partition);
    if (served === undefined) throw notServed(partition);
    return served;
  }
}

/** The user or room that a token names. Only the parser that its first character calls for is run: two cost more than the answer. */
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
