/**
 * The library of a sync front-end: rooms that stay up to date, questions, and a way to send events and receipts.
 *
 *     const tidemark = await connect({ nats: "nats://127.0.0.1:4222" });
 *     const room = await tidemark.room("!a:example.org", { userId: "@me:example.org" });
 *     for await (const change of room) show(room.unread("@me:example.org"));
 *     const rooms = await tidemark.rooms("@me:example.org");
 *     await tidemark.close();
 *
 * All rooms of a partition share one subscription, opened with the first of them. A user's rooms are in all partitions.
 */

import { eachAtOnce } from "../at-once.ts";
import { type Bus, connectBus } from "../bus/client/connection.ts";
import { closeBus } from "../bus/client/gathered-writes.ts";
import { ask, send } from "../bus/client/request.ts";
import type { Delta } from "../bus/contract/messages.ts";
import type { Answer, Asked, Op } from "../bus/contract/questions.ts";
import type { RoomRequestKind, Sent } from "../bus/contract/requests.ts";
import { partitionOf } from "../bus/contract/subjects.ts";
import { type DeltaMark, DeltaReader } from "../bus/deltas/delta-reader.ts";
import { awaitStreams, partitionCount } from "../bus/partition-count.ts";
import { TidemarkError } from "../errors.ts";
import { CLUSTER_READY_MS_MAX } from "../limits.ts";
import { type RoomId, roomId, type UserId, userId } from "../matrix/ids.ts";
import type { ReceiptType } from "../matrix/receipt-types.ts";
import { RoomList } from "./room-list.ts";
import { RoomView } from "./room-view.ts";
import { membershipsIn } from "./user-rooms.ts";

/** Users whose rooms are asked for again at the same time, after deltas were lost. */
const RELOADS_AT_ONCE = 16;

export interface ConnectOptions {
  /** `nats://user:password@host:port`; several, separated by commas, for a cluster. */
  readonly nats: string;
  /** A file with the password, or with two, one a line, while it is being changed. It is read for each attempt to connect. */
  readonly passwordFile?: string;
  /** The connection's name in the broker's monitoring. Default: `tidemark front-end`. */
  readonly name?: string;
  /** How long a worker that starts may take to make the logs, in ms. Default: 60,000. */
  readonly readyMs?: number;
}

/** A receipt of a local user (docs/design.md#requests). */
export interface Receipt {
  readonly room_id: string;
  readonly user_id: string;
  readonly receipt_type: ReceiptType;
  readonly event_id: string;
  /** `main`, or a thread root's id. Default: an unthreaded receipt. Not allowed with `m.fully_read`. */
  readonly thread_id?: string;
  /** Unix time in ms. Default: the time of arrival. */
  readonly ts?: number;
}

/** A room event as homeservers exchange it (docs/design.md#requests). */
export interface RoomEvent {
  readonly event_id: string;
  readonly type: string;
  readonly sender: string;
  /** Unix time in ms. */
  readonly origin_server_ts: number;
  readonly content: Record<string, unknown>;
  readonly state_key?: string;
  readonly redacts?: string;
  readonly unsigned?: Record<string, unknown>;
}

export interface RoomOptions {
  /**
   * The view has what this user may see, with the user's private receipts and fully-read marker. Default: all events and public
   * receipts, whoever may see them.
   */
  readonly userId?: string;
}

/**
 * Callbacks for all deltas of a partition.
 * @internal
 */
export interface DeltaListener {
  /** Called once, before the first delta, with the place in the stream where reading starts. */
  readonly begin: (mark: DeltaMark) => void;
  /** Called for each delta, in stream order. */
  readonly delta: (delta: Delta, mark: DeltaMark) => void;
  /** Called when deltas at or before `mark` were evicted from the stream unread, or can't be read. */
  readonly lost: (mark: DeltaMark) => void;
  /** Called when what follows is of another log: positions and orders of before mean nothing any more. */
  readonly restarted: (mark: DeltaMark) => void;
}

interface FrontendOptions {
  /** How many of each partition's past deltas are read first. Default: 0. */
  readonly back?: number;
  /** Called for each delta that can't be read. Views are filled again from snapshots. */
  readonly unreadable?: (partition: number, error: unknown) => void;
  /** Called by `close`. Default: the connection stays open. */
  readonly disconnect?: () => Promise<void>;
}

interface Feed {
  readonly reader: Promise<DeltaReader>;
  readonly listeners: Set<DeltaListener>;
  readonly views: Map<RoomId, Set<RoomView>>;
}

/** Connects. Throws `BUS_UNAVAILABLE` when there is no broker, or when no worker makes the logs on it in time. */
export async function connect({
  nats,
  passwordFile,
  name = "tidemark front-end",
  readyMs = CLUSTER_READY_MS_MAX,
}: ConnectOptions): Promise<Frontend> {
  const nc = await connectBus({ url: nats, passwordFile, name });
  try {
    const partitions = await awaitStreams(AbortSignal.timeout(readyMs), () => partitionCount(nc));
    return new Frontend(nc, partitions, { disconnect: () => closeBus(nc) });
  } catch (error) {
    await closeBus(nc);
    throw error;
  }
}

export class Frontend implements AsyncDisposable {
  /** @internal */
  readonly partitions: number;
  readonly #nc: Bus;
  readonly #back: number;
  readonly #unreadable: (partition: number, error: unknown) => void;
  readonly #disconnect: () => Promise<void>;
  readonly #feeds = new Map<number, Feed>();
  readonly #lists = new Map<UserId, Set<RoomList>>();

  /** @internal */
  constructor(
    nc: Bus,
    partitions: number,
    { back = 0, unreadable = () => {}, disconnect = async () => {} }: FrontendOptions = {},
  ) {
    this.#nc = nc;
    this.partitions = partitions;
    this.#back = back;
    this.#unreadable = unreadable;
    this.#disconnect = disconnect;
  }

  readonly receipts = {
    /**
     * Sends a receipt. Resolves to its position once the log has stored it; a receipt for an unknown event is held until the
     * event arrives. Throws `TidemarkError`: `code` says what is wrong, `shouldRetry()` whether it may succeed later.
     */
    send: async ({ room_id: room, ...receipt }: Receipt): Promise<number> => {
      const [position] = await this.send("receipt", parseRoom(room), receipt);
      return position!;
    },
  };

  readonly events = {
    /** Sends new events of a room, oldest first. Resolves to their positions once the log has stored them. Throws as receipts do. */
    send: async (room: string, events: RoomEvent | readonly RoomEvent[]): Promise<number[]> =>
      this.send("event", parseRoom(room), events),
    /**
     * Sends events older than all that are known of a room, newest first. They may be unread, unless older events were
     * backfilled before. Otherwise as `send`.
     */
    history: async (room: string, events: RoomEvent | readonly RoomEvent[]): Promise<number[]> =>
      this.send("history", parseRoom(room), events),
    /** Sends older events of a room, newest first: they count as read by everybody. Otherwise as `send`. */
    backfill: async (room: string, events: RoomEvent | readonly RoomEvent[]): Promise<number[]> =>
      this.send("backfill", parseRoom(room), events),
  };

  /**
   * A view of a room, filled, that stays up to date until it is closed. Throws `M_INVALID_PARAM` for a malformed id,
   * `BUS_UNAVAILABLE` when no worker answers.
   */
  async room(room: string, { userId: user }: RoomOptions = {}): Promise<RoomView> {
    const id = parseRoom(room);
    const feed = this.#feed(partitionOf(id, this.partitions));
    const view = new RoomView({
      room: id,
      user: user === undefined ? undefined : parse(userId, "user_id", user),
      snapshot: (question) => ask(this.#nc, id, { op: "snapshot", ...question }),
      events: (question) => ask(this.#nc, id, { op: "events", ...question }),
      closed: (closed) => {
        const left = feed.views.get(id);
        left?.delete(closed);
        if (left?.size === 0) feed.views.delete(id);
      },
    });
    const views = feed.views.get(id) ?? new Set();
    feed.views.set(id, views.add(view));
    try {
      await feed.reader;
      await view.load();
      return view;
    } catch (error) {
      view.close();
      throw error;
    }
  }

  /**
   * A user's rooms, as they are, which stay up to date until the list is closed. Throws `M_INVALID_PARAM` for a malformed id,
   * `BUS_UNAVAILABLE` when no worker answers.
   */
  async rooms(user: string): Promise<RoomList> {
    const id = parse(userId, "user_id", user);
    const list = new RoomList({
      user: id,
      source: { partitions: this.partitions, query: (of, question) => ask(this.#nc, of, question) },
      closed: (closed) => {
        const left = this.#lists.get(id);
        left?.delete(closed);
        if (left?.size === 0) this.#lists.delete(id);
      },
    });
    const lists = this.#lists.get(id) ?? new Set();
    this.#lists.set(id, lists.add(list));
    try {
      await Promise.all(Array.from({ length: this.partitions }, (_, partition) => this.#feed(partition).reader));
      await list.load();
      return list;
    } catch (error) {
      list.close();
      throw error;
    }
  }

  /**
   * Asks the workers about a room or, with `rooms`, about a user (docs/design.md#queries). The answer's type follows from the
   * question's `op`. Throws `M_INVALID_PARAM` for a malformed id or question, `BUS_UNAVAILABLE` when no worker answers.
   */
  async query<O extends Op>(about: string, question: Asked<O>): Promise<Answer<O>> {
    return ask(this.#nc, about.startsWith("@") ? parse(userId, "user_id", about) : parseRoom(about), question);
  }

  /**
   * Sends items to `tidemark.in.<kind>.<room>`. Resolves to their positions once the log has stored them.
   * @internal
   */
  send<Kind extends RoomRequestKind>(kind: Kind, room: RoomId, items: Sent<Kind>): Promise<number[]> {
    return send(this.#nc, { kind, room }, items);
  }

  /**
   * Subscribes to all deltas of a partition. Resolves once those that were there at the start have been delivered.
   * @internal
   */
  async follow(partition: number, listener: DeltaListener): Promise<void> {
    const feed = this.#feed(partition);
    const { mark, caughtUp } = await feed.reader;
    listener.begin(mark);
    feed.listeners.add(listener);
    await caughtUp;
  }

  /** Closes all room views, all lists of rooms, and the connection. */
  async close(): Promise<void> {
    for (const list of [...this.#allLists()]) list.close();
    for (const { reader, views } of this.#feeds.values()) {
      for (const room of [...views.values()]) for (const view of [...room]) view.close();
      await reader.then((open) => open.close()).catch(() => {});
    }
    this.#feeds.clear();
    await this.#disconnect();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #feed(partition: number): Feed {
    let feed = this.#feeds.get(partition);
    if (feed === undefined) {
      const listeners = new Set<DeltaListener>();
      const views = new Map<RoomId, Set<RoomView>>();
      const reader = DeltaReader.open(this.#nc, {
        partition,
        back: this.#back,
        onDelta: (delta, mark) => {
          for (const view of views.get(delta.room_id) ?? []) if (mayShow(view, delta)) view.receive(delta);
          if (delta.type === "events" && this.#lists.size > 0) this.#toLists(delta);
          for (const listener of listeners) listener.delta(delta, mark);
        },
        onLost: (mark) => {
          for (const room of views.values()) for (const view of room) void view.reload();
          for (const list of this.#allLists()) list.lost();
          void eachAtOnce([...this.#allLists()], RELOADS_AT_ONCE, (list) => list.reload());
          for (const listener of listeners) listener.lost(mark);
        },
        onOtherLineage: (mark) => {
          for (const room of views.values()) for (const view of room) void view.restart();
          for (const list of this.#allLists()) list.restart(partition);
          void eachAtOnce([...this.#allLists()], RELOADS_AT_ONCE, (list) => list.reload());
          for (const listener of listeners) listener.restarted(mark);
        },
        onUnreadable: (error) => this.#unreadable(partition, error),
      });
      feed = { reader, listeners, views };
      this.#feeds.set(partition, feed);
      reader.catch(() => this.#feeds.delete(partition)); // The next call opens another.
    }
    return feed;
  }

  #toLists(delta: Delta<"events">): void {
    for (const [user, said] of membershipsIn(delta)) {
      for (const list of this.#lists.get(user) ?? []) list.set(delta.room_id, said);
    }
  }

  *#allLists(): Generator<RoomList> {
    for (const lists of this.#lists.values()) yield* lists;
  }
}

/** A private delta is for its own user's views only. */
function mayShow(view: RoomView, delta: Delta): boolean {
  return delta.type !== "private" || delta.user_id === view.user;
}

const parseRoom = (room: string): RoomId => parse(roomId, "room_id", room);

function parse<T>(
  schema: {
    safeParse(
      text: string,
    ): { success: true; data: T } | { success: false; error: Error & { issues: readonly { message: string }[] } };
  },
  field: string,
  text: string,
): T {
  const result = schema.safeParse(text);
  if (result.success) return result.data;
  throw new TidemarkError("M_INVALID_PARAM", `${field}: ${result.error.issues[0]?.message}`);
}
