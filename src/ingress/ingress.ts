/**
 * Ingress checks requests on `tidemark.in.*`, groups them, appends them to the log, and only then answers
 * (docs/design.md#requests). Its only state is what is in flight, so any number of processes share the work.
 */
import type { Logger } from "pino";
import { type Position, sequenceOf } from "../../actors/entry.ts";
import { AckedPublisher } from "../bus/client/acked-publisher.ts";
import type { Bus, BusMessage } from "../bus/client/connection.ts";
import { publish } from "../bus/client/gathered-writes.ts";
import { append } from "../bus/client/jetstream.ts";
import { ask } from "../bus/client/request.ts";
import { type LastingSubscription, subscribe } from "../bus/client/subscribe.ts";
import { decodePruned, decodeUntrusted, type Encoding, encodeAs, encodingOf } from "../bus/contract/codec.ts";
import type { OnPruned } from "../bus/contract/pruning.ts";
import { encodeEntries, FIRST_RECORD_VERSION, joinRecord } from "../bus/contract/record.ts";
import { type EduReply, type Refusal, refusalOf } from "../bus/contract/replies.ts";
import { REQUESTS, type RequestKind } from "../bus/contract/requests.ts";
import { decodeToken, isInbox, lastToken, logSubject, partitionOf, type Subject } from "../bus/contract/subjects.ts";
import { reasonOf, TidemarkError } from "../errors.ts";
import { REQUEST_BYTES_MAX } from "../limits.ts";
import { type RoomId, roomId, type ServerName, serverName } from "../matrix/ids.ts";
import { Appender } from "./appender.ts";
import { eduRecords, RefusedItems } from "./edu.ts";
import { KnownRooms } from "./known-rooms.ts";
import { plainReceipts } from "./plain-receipts.ts";
import { afterIn, eventEntries, type Request, receiptEntries } from "./validate.ts";
import { VersionGate } from "./version-gate.ts";

/** Rooms whose subject token is cached with its parsed id. */
const ROOM_TOKENS_MAX = 65_536;

const NOT_KNOWN = "room_id: is not known here";

const QUEUE = "tidemark-ingress";
const REQUEST_KINDS: readonly RequestKind[] = ["event", "history", "backfill", "state", "receipt", "edu"];

/** Positions of what was appended, or what is said of an EDU. */
type Reply = Position[] | EduReply | Refusal;

interface IngressOptions {
  readonly nc: Bus;
  readonly partitions: number;
  readonly log: Logger;
  /** Unix time in ms: the only clock that a fold ever sees. Default: `Date.now`. */
  readonly now?: () => number;
  /** Called for every record that the log has acknowledged. */
  readonly appended?: (entries: number, latencyMs: number) => void;
  /** Called for every record, when its requests are answered, with the time since the first of them came. */
  readonly answered?: (ms: number) => void;
  /** Called for every refused request. */
  readonly refused?: (errcode: string) => void;
  /** Called for every value of an event that is not stored. */
  readonly pruned?: OnPruned;
}

export class Ingress {
  readonly #nc: Bus;
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #publisher: AckedPublisher;
  readonly #appender: Appender;
  readonly #versions: VersionGate;
  readonly #subscriptions: LastingSubscription[];
  readonly #payloadMax: number;
  readonly #refused: ((errcode: string) => void) | undefined;
  readonly #pruned: OnPruned;
  /** By subject token. */
  readonly #rooms = new Map<string, RoomId>();
  readonly #knownRooms: KnownRooms;
  /** EDUs that are not answered yet. */
  readonly #edus = new Set<Promise<unknown>>();

  constructor({ nc, partitions, log, now = Date.now, appended, answered, refused, pruned = () => {} }: IngressOptions) {
    this.#refused = refused;
    this.#pruned = pruned;
    this.#nc = nc;
    this.#log = log;
    // A clock before 1970 would give receipts a time that no entry has.
    this.#now = () => Math.max(0, now());
    this.#publisher = new AckedPublisher(nc);
    this.#versions = new VersionGate(nc);
    this.#payloadMax = nc.info?.max_payload ?? Number.POSITIVE_INFINITY;
    // A room that the fold doesn't know answers like an empty one.
    this.#knownRooms = new KnownRooms(async (room) => {
      const { position } = await ask(nc, room, { op: "orders", event_ids: [] });
      return position > 0;
    });
    this.#appender = new Appender(async (room, entries, after) => {
      const record = joinRecord(this.#now(), entries);
      if (record.length > this.#payloadMax) {
        throw new TidemarkError(
          "M_TOO_LARGE",
          `the record has ${record.length} bytes, the broker takes ${this.#payloadMax}`,
        );
      }
      const sentAt = performance.now();
      const subject = logSubject(partitionOf(room, partitions), room);
      const sequence = await (after === undefined
        ? this.#publisher.publish(subject, record)
        : this.#appendAfter(subject, record, after));
      let count = 0;
      for (const part of entries) {
        count += part.count;
        if (!part.isReceipts) this.#knownRooms.add(room);
      }
      appended?.(count, performance.now() - sentAt);
      return sequence;
    }, answered);
    this.#subscriptions = REQUEST_KINDS.map((kind) =>
      subscribe(nc, REQUESTS[kind].subject.every, {
        queue: QUEUE,
        onMessage: (message) => this.#receive(kind, message),
      }),
    );
  }

  /** Accepts no more requests, and resolves when those in flight are answered. */
  async drain(): Promise<void> {
    await Promise.all(this.#subscriptions.map((subscription) => subscription.drain()));
    await Promise.allSettled(this.#edus);
    await this.#versions.drain();
    await this.#appender.drain();
    this.#publisher.close();
  }

  /**
   * A request in flight is one promise and its reply subject. At tens of thousands per second the garbage collector copies
   * everything in flight, so there is no promise per step, and the message itself is not referenced.
   */
  #receive(kind: RequestKind, message: BusMessage): void {
    const encoding = encodingOf(message.data);
    const to = message.reply;
    try {
      this.#handle(kind, message, encoding).then(
        (reply) => this.#answer(to, reply, encoding),
        (error) => this.#answer(to, this.#refusal(error), encoding),
      );
    } catch (error) {
      this.#answer(to, this.#refusal(error), encoding);
    }
  }

  #answer(to: string | undefined, reply: Reply, encoding: Encoding): void {
    if (!isInbox(to)) return;
    publish(this.#nc, to, encodeAs(whole(reply), encoding), {
      failed: (error) => this.#log.warn({ reason: reasonOf(error) }, "a reply could not be sent"),
    });
  }

  #handle(kind: RequestKind, { data, subject }: BusMessage, encoding: Encoding): Promise<Reply> {
    if (data.length > REQUEST_BYTES_MAX) {
      throw new TidemarkError(
        "M_TOO_LARGE",
        `the request has ${data.length} bytes, at most ${REQUEST_BYTES_MAX} are allowed`,
      );
    }
    const at = this.#now();
    if (kind === "receipt" && encoding === "msgpack") {
      const entries = plainReceipts(data, at);
      if (entries !== undefined) {
        return this.#appender.add({ room: this.#room(lastToken(subject)), entries, bytes: data.length });
      }
    }
    const value = kind === "receipt" ? decodeUntrusted(data, encoding) : decodePruned(data, encoding, this.#pruned);
    const request = { bytes: data.length, at, value };
    if (kind === "edu") return this.#edu(decodeToken(lastToken(subject)), request);

    const room = this.#room(lastToken(subject));
    const entries = encodeEntries(
      kind === "receipt" ? receiptEntries(request) : eventEntries(kind, room, request, this.#pruned),
    );
    const appending = { room, entries, bytes: data.length, after: afterIn(kind, value) };
    if (entries.version === FIRST_RECORD_VERSION) return this.#appender.add(appending);
    return this.#versions.pass(entries.version, data.length, () => this.#appender.add(appending));
  }

  /** The room's records have a subject of their own, so the broker itself can say whether there is a newer one. */
  async #appendAfter(subject: Subject, record: Uint8Array, after: Position): Promise<number> {
    const sequence = await append(this.#nc, subject, record, { after: { subjectSequence: sequenceOf(after) } });
    if (sequence !== undefined) return sequence;
    throw new TidemarkError("M_BAD_STATE", "after: the room's log has gone on since this position");
  }

  /** The room that a token names, cached: parsing it costs more than checking a receipt. */
  #room(token: string): RoomId {
    const known = this.#rooms.get(token);
    if (known !== undefined) return known;
    const room = roomId.safeParse(decodeToken(token));
    if (!room.success) throw new TidemarkError("M_INVALID_PARAM", `room_id: ${room.error.issues[0]?.message}`);
    if (this.#rooms.size >= ROOM_TOKENS_MAX) this.#rooms.clear();
    this.#rooms.set(token, room.data);
    return room.data;
  }

  #edu(target: string | undefined, request: Request): Promise<EduReply> {
    const origin = serverName.safeParse(target);
    if (!origin.success) throw new TidemarkError("M_INVALID_PARAM", `origin: ${origin.error.issues[0]?.message}`);
    const reply = this.#storeEdu(origin.data, request);
    this.#edus.add(reply);
    const done = () => this.#edus.delete(reply);
    reply.then(done, done);
    return reply;
  }

  /** An EDU has many rooms, so it becomes many records. Items that could not be stored are refused like those of wrong form. */
  async #storeEdu(origin: ServerName, request: Request): Promise<EduReply> {
    const refused = new RefusedItems();
    const records = eduRecords(origin, request, refused);
    const stored = await Promise.allSettled(
      records.map(async ({ room, entries, bytes }) => {
        const isKnown = this.#knownRooms.has(room, bytes);
        if (isKnown !== true && !(await isKnown)) throw new TidemarkError("M_INVALID_PARAM", NOT_KNOWN);
        await this.#appender.add({ room, entries: encodeEntries(entries), bytes });
      }),
    );

    let accepted = 0;
    let failure: TidemarkError | undefined;
    stored.forEach((result, i) => {
      const { room, entries } = records[i]!;
      if (result.status === "fulfilled") {
        accepted += entries.length;
        return;
      }
      const { reason } = result;
      if (!(reason instanceof TidemarkError)) throw reason;
      if (reason.shouldRetry()) failure = reason;
      for (const [, user] of entries) refused.add(room, user, reasonOf(reason));
    });
    if (failure !== undefined && accepted === 0) throw failure;
    return { accepted, ...refused.reply };
  }

  #refusal(error: unknown): Refusal {
    this.#refused?.(error instanceof TidemarkError ? error.code : "M_UNKNOWN");
    if (!(error instanceof TidemarkError)) this.#log.error({ err: error }, "a request failed unexpectedly");
    return refusalOf(error);
  }
}

/** A reply as it is sent. */
function whole(reply: Reply) {
  if (Array.isArray(reply)) return { ok: true, positions: reply };
  return "ok" in reply ? reply : { ok: true, ...reply };
}
