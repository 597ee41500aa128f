/**
 * What a sync front-end builds on: rooms that stay up to date, and a way to send events and receipts.
 *
 *     await using tidemark = await connect({ nats: "nats://127.0.0.1:4222" });
 *     await using room = await tidemark.room("!a:example.org", { userId: "@me:example.org" });
 *     for await (const change of room) show(room.unread("@me:example.org"));
 *
 * All rooms of a partition share one subscription, which is opened when the first of them is asked for.
 */
import { type Bus, connectBus } from "../bus/client/connection.ts";
import { closeBus } from "../bus/client/gathered-writes.ts";
import { ask, send } from "../bus/client/request.ts";
import { partitionCount } from "../bus/client/streams.ts";
import type { Answer, Asked, Op } from "../bus/contract/questions.ts";
import { type Inlet, partitionOf } from "../bus/contract/subjects.ts";
import { type Delta, type DeltaMark, DeltaReader } from "../bus/deltas/delta-reader.ts";
import { TidemarkError } from "../errors.ts";
import { type RoomId, roomId, userId } from "../matrix/ids.ts";
import { RoomView } from "./room-view.ts";

export interface ConnectOptions {
  /** `nats://host:port`, several separated by commas. */
  readonly nats: string;
  /** Shown by the broker's monitoring. */
  readonly name?: string;
}

/** A receipt of a local user (docs/design.md#requests). Without a thread it is unthreaded. */
export interface Receipt {
  readonly room_id: string;
  readonly user_id: string;
  readonly receipt_type: "m.read" | "m.read.private" | "m.fully_read";
  readonly event_id: string;
  /** `main`, or a thread root's id. */
  readonly thread_id?: string;
  /** ms since 1970; when it arrives, without. */
  readonly ts?: number;
}

/** A room event, as a homeserver made it. */
export interface RoomEvent {
  readonly event_id: string;
  readonly type: string;
  readonly sender: string;
  /** ms since 1970 */
  readonly origin_server_ts: number;
  readonly content: Record<string, unknown>;
  readonly state_key?: string;
  readonly redacts?: string;
  readonly unsigned?: Record<string, unknown>;
}

export interface RoomOptions {
  /** Whose private receipts and fully-read marker the view shows too. */
  readonly userId?: string;
}

/** Who hears of a partition's deltas. */
export interface DeltaListener {
  readonly begin: (mark: DeltaMark) => void;
  readonly delta: (delta: Delta, mark: DeltaMark, bytes: number) => void;
  readonly lost: (mark: DeltaMark) => void;
}

interface FrontendOptions {
  /** How many deltas of each partition from before now are read too. */
  readonly back?: number;
  readonly disconnect?: () => Promise<void>;
}

interface Feed {
  readonly reader: Promise<DeltaReader>;
  readonly listeners: Set<DeltaListener>;
  readonly views: Map<RoomId, Set<RoomView>>;
}

/**
 * Connects. Throws `BUS_UNAVAILABLE` when there is no broker, or no Tidemark has run on it.
 */
export async function connect({ nats, name = "tidemark front-end" }: ConnectOptions): Promise<Frontend> {
  const nc = await connectBus({ url: nats, name });
  try {
    return new Frontend(nc, await partitionCount(nc), { disconnect: () => closeBus(nc) });
  } catch (error) {
    await closeBus(nc);
    throw error;
  }
}

export class Frontend implements AsyncDisposable {
  readonly partitions: number;
  readonly #nc: Bus;
  readonly #back: number;
  readonly #disconnect: () => Promise<void>;
  readonly #feeds = new Map<number, Feed>();

  constructor(nc: Bus, partitions: number, { back = 0, disconnect = async () => {} }: FrontendOptions = {}) {
    this.#nc = nc;
    this.partitions = partitions;
    this.#back = back;
    this.#disconnect = disconnect;
  }

  readonly receipts = {
    /**
     * Sends a receipt; resolves to its position once the log has it. A receipt on an event that isn't known is held until it
     * is. Throws `TidemarkError`: its `code` says what is wrong, `shouldRetry()` whether to send it again.
     */
    send: async ({ room_id: room, ...receipt }: Receipt): Promise<number> => {
      const [position] = await this.send("receipt", parseRoom(room), receipt);
      return position!;
    },
  };

  readonly events = {
    /** Sends live events of a room, oldest first; resolves to their positions once the log has them. Throws like receipts. */
    send: async (room: string, events: RoomEvent | readonly RoomEvent[]): Promise<number[]> =>
      this.send("event", parseRoom(room), events),
    /** The same for historical events, newest first. */
    backfill: async (room: string, events: RoomEvent | readonly RoomEvent[]): Promise<number[]> =>
      this.send("backfill", parseRoom(room), events),
  };

  /** A room from now on, filled. Throws `M_INVALID_PARAM` for what is no id, `BUS_UNAVAILABLE` when nobody answers. */
  async room(room: string, { userId: user }: RoomOptions = {}): Promise<RoomView> {
    const id = parseRoom(room);
    const feed = this.#feed(partitionOf(id, this.partitions));
    const view = new RoomView({
      room: id,
      user: user === undefined ? undefined : parse(userId, "user_id", user),
      snapshot: (question) => ask(this.#nc, id, { op: "snapshot", ...question }),
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
   * Asks about a room, or, with `rooms`, about a user (docs/design.md#queries). Throws `M_INVALID_PARAM` for what is no id,
   * `BUS_UNAVAILABLE` when nobody answers.
   */
  async query<O extends Op>(about: string, question: Asked<O>): Promise<Answer<O>> {
    return ask(this.#nc, about.startsWith("@") ? parse(userId, "user_id", about) : parseRoom(about), question);
  }

  /** Sends items of a room; resolves to their positions once the log has them. */
  send(inlet: Exclude<Inlet, "edu">, room: RoomId, items: unknown): Promise<number[]> {
    return send(this.#nc, { inlet, room }, items);
  }

  /** All deltas of a partition. `begin` is told first, behind which they begin; resolves once what was there has come. */
  async follow(partition: number, listener: DeltaListener): Promise<void> {
    const feed = this.#feed(partition);
    const { mark, caughtUp } = await feed.reader;
    listener.begin(mark);
    feed.listeners.add(listener);
    await caughtUp;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { reader, views } of this.#feeds.values()) {
      for (const room of [...views.values()]) for (const view of [...room]) view.close();
      await reader.then((open) => open.close()).catch(() => {});
    }
    this.#feeds.clear();
    await this.#disconnect();
  }

  #feed(partition: number): Feed {
    let feed = this.#feeds.get(partition);
    if (feed === undefined) {
      const listeners = new Set<DeltaListener>();
      const views = new Map<RoomId, Set<RoomView>>();
      const reader = DeltaReader.open(this.#nc, {
        partition,
        back: this.#back,
        onDelta: (delta, mark, bytes) => {
          for (const view of views.get(delta.room_id) ?? []) if (concerns(view, delta)) view.receive(delta);
          for (const listener of listeners) listener.delta(delta, mark, bytes);
        },
        onLost: (mark) => {
          for (const room of views.values()) for (const view of room) void view.reload();
          for (const listener of listeners) listener.lost(mark);
        },
      });
      feed = { reader, listeners, views };
      this.#feeds.set(partition, feed);
      reader.catch(() => this.#feeds.delete(partition)); // whoever asks next tries again
    }
    return feed;
  }
}

/** Whether a view may see a delta: a private one is its user's alone. */
function concerns(view: RoomView, delta: Delta): boolean {
  return delta.kind !== "private" || delta.user_id === view.user;
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
