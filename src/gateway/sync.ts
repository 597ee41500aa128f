/**
 * `GET /sync` (Matrix specification, "Syncing").
 *
 *     token ──▶ each room: joined since?  ──▶ whole, from a snapshot
 *                          deltas here?   ──▶ what they say
 *                          otherwise      ──▶ what changed since the token's position, from a snapshot
 *           ──▶ nothing? wait for the first change, or the end of the time ──▶ again
 *
 * A snapshot may be ahead of the deltas. So the answer waits until the deltas of its events have come, and takes what else
 * they brought: the new token then says exactly what was shown, and no event is shown twice.
 */
import type { Position } from "../../actors/entry.ts";
import type { DeltaMark } from "../bus/delta-reader.ts";
import { partitionOf } from "../bus/partition.ts";
import type { Frontend } from "../frontend/frontend.ts";
import type { RoomSnapshot } from "../frontend/room-view.ts";
import { SETTLE_MS_MAX, SNAPSHOT_MARKERS_MAX, SYNC_QUERIES_AT_ONCE, SYNC_TIMELINE_DEFAULT } from "../limits.ts";
import type { MatrixEvent } from "../matrix/event.ts";
import type { RoomId } from "../matrix/ids.ts";
import { type Filter, roomPasses, timelineLimit } from "./filter.ts";
import type { Membership, OnlineUser, OnlineUsers, UnreadCounts } from "./online-users.ts";
import type { RecentDeltas } from "./recent-deltas.ts";
import { newsOf, type RoomNews, roomSection, unreadSection, type Viewer, wholeState } from "./room-section.ts";
import { encodeSyncToken, type SyncMark, type SyncToken } from "./sync-token.ts";

export interface SyncRequest extends Viewer {
  readonly since: SyncToken | undefined;
  readonly timeoutMs: number;
  readonly fullState: boolean;
}

interface SyncOptions {
  readonly frontend: Frontend;
  readonly recent: RecentDeltas;
  readonly users: OnlineUsers;
}

interface Response {
  readonly body: Record<string, unknown>;
  readonly empty: boolean;
}

/** A room that is read from a snapshot. */
interface Reading {
  readonly room: RoomId;
  /** undefined: the whole room. */
  readonly since: Position | undefined;
  readonly fullState: boolean;
}

interface StatePage {
  readonly events: readonly MatrixEvent[];
  readonly next?: Position;
}

interface Sorted {
  /** Joined, and the deltas since the token are here. */
  readonly covered: RoomId[];
  readonly readings: Reading[];
  readonly left: RoomId[];
  readonly invited: RoomId[];
}

const LEFT = new Set(["leave", "ban"]);
const STRIPPED = new Set([
  "m.room.create",
  "m.room.name",
  "m.room.avatar",
  "m.room.topic",
  "m.room.join_rules",
  "m.room.canonical_alias",
  "m.room.encryption",
]);

export class Sync {
  readonly #frontend: Frontend;
  readonly #recent: RecentDeltas;
  readonly #users: OnlineUsers;
  #closing = false;

  constructor({ frontend, recent, users }: SyncOptions) {
    this.#frontend = frontend;
    this.#recent = recent;
    this.#users = users;
  }

  /** What changed for who asks. `gone` says that nobody waits for it any more. */
  async answer(request: SyncRequest, gone: AbortSignal): Promise<Record<string, unknown>> {
    const deadline = performance.now() + request.timeoutMs;
    for (;;) {
      const user = await this.#users.get(request.device.user);
      const { version } = user;
      const { body, empty } = await this.#respond(user, request);
      const leftMs = deadline - performance.now();
      if (!empty || request.since === undefined || request.fullState || leftMs <= 0) return body;
      if (this.#closing || gone.aborted) return body;
      await user.changed(version, leftMs, gone);
    }
  }

  /** Answers everybody who waits, and lets nobody wait any more. */
  close(): void {
    this.#closing = true;
    this.#users.wakeAll();
  }

  async #respond(user: OnlineUser, request: SyncRequest): Promise<Response> {
    const { since, filter } = request;
    const began = this.#recent.marks();
    const { covered, readings, left, invited } = this.#sort(user, request);
    const news = await this.#read(user, readings, filter);
    const invites = await this.#invites(user, invited);
    const states = new Map<RoomId, MatrixEvent[]>();
    if (request.fullState) for (const room of covered) states.set(room, await this.#state(room, 0));
    await this.#settled(news);
    const marks = this.#recent.marks();
    for (const [room, found] of news) this.#addChanges(user, room, found, began[this.#partitionOf(room)]!.sequence);
    for (const room of covered) {
      const changes = this.#recent.changes(room, user.id, since![this.#partitionOf(room)]!.sequence);
      const state = states.get(room);
      if (state !== undefined) news.set(room, wholeState(state, changes));
      else if (changes !== undefined) news.set(room, { ...changes, limited: false, state: [], whole: false });
    }
    const leave = Object.fromEntries(left.map((room) => [room, this.#left(user, room, request)]));
    const next = this.#next(user, since, marks);
    const join = await this.#joined(user, news, request);
    return {
      body: {
        next_batch: encodeSyncToken(next),
        rooms: { join, invite: invites, leave },
        account_data: { events: [] },
        presence: { events: [] },
        to_device: { events: [] },
      },
      empty: Object.keys(join).length + left.length + invited.length === 0,
    };
  }

  /** The user's rooms by what has to be done to show them. */
  #sort(user: OnlineUser, { since, filter, fullState }: SyncRequest): Sorted {
    const sorted: Sorted = { covered: [], readings: [], left: [], invited: [] };
    for (const [room, membership] of user.rooms) {
      if (!roomPasses(filter.room, room)) continue;
      const partition = this.#partitionOf(room);
      const from = since?.[partition];
      const isNew = from === undefined || isAfter(membership, from);
      if (membership.membership === "join") {
        if (isNew) sorted.readings.push({ room, since: undefined, fullState: true });
        else if (this.#recent.covers(partition, from)) sorted.covered.push(room);
        else sorted.readings.push({ room, since: from.published, fullState });
      } else if (membership.membership === "invite" && isNew) {
        sorted.invited.push(room);
      } else if (LEFT.has(membership.membership) && isNew) {
        if (from !== undefined || filter.room?.include_leave) sorted.left.push(room);
      }
    }
    return sorted;
  }

  /** Where the client is to go on. A gateway that lags behind another doesn't take it back. */
  #next(user: OnlineUser, since: SyncToken | undefined, marks: readonly DeltaMark[]): SyncToken {
    const memberships = marks.map((_, partition) => since?.[partition]?.memberships ?? 0);
    for (const [room, { position }] of user.rooms) {
      const partition = this.#partitionOf(room);
      memberships[partition] = Math.max(memberships[partition]!, position);
    }
    return marks.map((mark, partition) => {
      const from = since?.[partition];
      const ahead = from !== undefined && from.sequence > mark.sequence && this.#recent.covers(partition, from);
      return { ...(ahead ? from : mark), memberships: memberships[partition]! };
    });
  }

  /** A room that the user has left: what happened until then, and nothing later. */
  #left(user: OnlineUser, room: RoomId, request: SyncRequest): Record<string, unknown> {
    const from = request.since?.[this.#partitionOf(room)];
    const changes = from === undefined ? undefined : this.#recent.changes(room, user.id, from.sequence);
    const until = user.rooms.get(room)!.position;
    const events = (changes?.events ?? []).filter(({ unsigned }) => unsigned.order <= until);
    const news = { events, receipts: [], limited: false, state: [], whole: true };
    return roomSection(news, room, request)!;
  }

  async #invites(user: OnlineUser, rooms: readonly RoomId[]): Promise<Record<string, unknown>> {
    const invites = rooms.map(async (room) => [room, await this.#invite(user, room)] as const);
    return Object.fromEntries(await Promise.all(invites));
  }

  /** What a room tells who is not in it yet (Matrix specification, "Stripped state"). */
  async #invite(user: OnlineUser, room: RoomId): Promise<Record<string, unknown>> {
    const events = (await this.#state(room, 0))
      .filter(({ type, state_key: key }) => STRIPPED.has(type) || (type === "m.room.member" && key === user.id))
      .map(({ type, state_key, sender, content }) => ({ type, state_key, sender, content }));
    return { invite_state: { events } };
  }

  async #read(user: OnlineUser, readings: readonly Reading[], filter: Filter): Promise<Map<RoomId, RoomNews>> {
    const news = new Map<RoomId, RoomNews>();
    const queue = readings.values();
    const work = async () => {
      for (const reading of queue) news.set(reading.room, await this.#readRoom(user, reading, filter));
    };
    await Promise.all(Array.from({ length: Math.min(SYNC_QUERIES_AT_ONCE, readings.length) }, work));
    return news;
  }

  async #readRoom(user: OnlineUser, { room, since, fullState }: Reading, { room: wanted }: Filter): Promise<RoomNews> {
    const ask = { op: "snapshot", user_id: user.id, markers_limit: SNAPSHOT_MARKERS_MAX, members: false };
    const pages: RoomSnapshot[] = [];
    const limit = timelineLimit(wanted?.timeline, SYNC_TIMELINE_DEFAULT);
    for (let from = since; ; from = pages.at(-1)!.markers_more) {
      const page = await this.#frontend.query<RoomSnapshot>(room, {
        ...ask,
        timeline_limit: pages.length === 0 ? limit : 0,
        ...(from !== undefined && { since: from }),
      });
      pages.push(page);
      if (page.markers_more === undefined) break;
    }
    const withState = since === undefined || fullState || pages[0]!.limited;
    const state = withState ? await this.#state(room, fullState ? 0 : (since ?? 0)) : [];
    return newsOf(pages, state, since === undefined);
  }

  /** The current state that changed after a position. */
  async #state(room: RoomId, since: Position): Promise<MatrixEvent[]> {
    const state: MatrixEvent[] = [];
    for (let from: Position | undefined = since; from !== undefined; ) {
      const page: StatePage = await this.#frontend.query(room, { op: "state", since: from });
      state.push(...page.events);
      from = page.next;
    }
    return state;
  }

  /** Resolves when the deltas of all events that are shown have come. */
  async #settled(news: ReadonlyMap<RoomId, RoomNews>): Promise<void> {
    const deadline = performance.now() + SETTLE_MS_MAX;
    for (const [room, { events }] of news) {
      const newest = events.at(-1)?.unsigned.order;
      if (newest === undefined) continue;
      while (!this.#recent.hasEvents(this.#partitionOf(room), room, newest) && performance.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
  }

  /** What came while a room was read. */
  #addChanges(user: OnlineUser, room: RoomId, news: RoomNews, after: number): void {
    const changes = this.#recent.changes(room, user.id, after);
    if (changes === undefined) return;
    const newest = news.events.at(-1)?.unsigned.order ?? Number.NEGATIVE_INFINITY;
    news.events.push(...changes.events.filter(({ unsigned }) => unsigned.order > newest));
    news.receipts.push(...changes.receipts);
    if (changes.fullyRead !== undefined) news.fullyRead = changes.fullyRead;
  }

  async #joined(
    user: OnlineUser,
    news: ReadonlyMap<RoomId, RoomNews>,
    viewer: Viewer,
  ): Promise<Record<string, unknown>> {
    const join: Record<string, unknown> = {};
    await Promise.all(
      Array.from(news, async ([room, found]) => {
        const section = roomSection(found, room, viewer);
        if (section === undefined) return;
        join[room] = { ...section, ...unreadSection(await this.#unread(user, room), viewer.filter) };
      }),
    );
    return join;
  }

  #unread(user: OnlineUser, room: RoomId): Promise<UnreadCounts> {
    return user.unread(room, () => this.#frontend.query(room, { op: "unread", user_id: user.id }));
  }

  #partitionOf(room: RoomId): number {
    return partitionOf(room, this.#frontend.partitions);
  }
}

/** Whether a membership is newer than what a token knows. */
function isAfter({ sequence, position }: Membership, from: SyncMark): boolean {
  return sequence === undefined ? position > from.memberships : sequence > from.sequence;
}
