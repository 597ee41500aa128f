/**
 * The content of `GET /sync` responses (Matrix specification, "Syncing").
 *
 *     token ──▶ for each room: joined since the token?   ──▶ the whole room, from a snapshot
 *                              deltas still cached?      ──▶ the changes, from the cache
 *                              otherwise                 ──▶ the changes since the token's position, from a snapshot
 *
 * Nearly every response comes from the cache alone. It is built synchronously, because one change in a large room means
 * a response to every client that waits for it.
 *
 * A snapshot may be ahead of the cached deltas. So the response waits until the deltas of all its events are cached,
 * and includes what else they brought. The new token then matches exactly what was sent, and no event is sent twice.
 */
import type { Position } from "../../../actors/entry.ts";
import { partitionOf } from "../../bus/contract/subjects.ts";
import type { DeltaMark } from "../../bus/deltas/delta-reader.ts";
import type { Frontend } from "../../frontend/frontend.ts";
import { SETTLE_MS_MAX } from "../../limits.ts";
import type { MatrixEvent, OrderedEvent } from "../../matrix/event.ts";
import type { RoomId } from "../../matrix/ids.ts";
import { roomPasses } from "../filter.ts";
import type { Membership, OnlineUser } from "./online-users.ts";
import type { RecentDeltas } from "./recent-deltas.ts";
import { type RoomRead, RoomReader } from "./room-reader.ts";
import { type RoomUpdate, roomSection, updateWithState, type Viewer } from "./room-section.ts";
import type { FullyReadAt, RoomChanges } from "./shared-changes.ts";
import { sharedSection, withCounts } from "./shared-sections.ts";
import { encodeSyncToken, type SyncToken } from "./sync-token.ts";

export interface SyncRequest extends Viewer {
  readonly since: SyncToken | undefined;
  readonly fullState: boolean;
}

interface Response {
  /** The sync token for the next request. */
  readonly next: string;
  /** Sections by room, each rendered as the JSON text of an object member. */
  readonly join: readonly string[];
  /** Sections by room. */
  readonly invite?: Record<string, unknown> | undefined;
  readonly leave?: Record<string, unknown> | undefined;
}

/** The user's rooms, by how their sections are built. */
interface SortedRooms {
  /** Joined, and the cache has the deltas since the token. */
  readonly covered: Membership[];
  readonly reads: RoomRead[];
  readonly left: RoomId[];
  readonly invited: RoomId[];
}

/** A room's section as JSON text, still without unread counts. */
interface Section {
  readonly room: RoomId;
  readonly text: string;
}

const LEFT = new Set(["leave", "ban"]);

export class SyncResponses {
  readonly #frontend: Frontend;
  readonly #recent: RecentDeltas;
  readonly #reader: RoomReader;

  constructor(frontend: Frontend, recent: RecentDeltas) {
    this.#frontend = frontend;
    this.#recent = recent;
    this.#reader = new RoomReader(frontend);
  }

  /** Returns a response without changes, as JSON. */
  empty(user: OnlineUser, { since }: SyncRequest): string {
    return bodyOf({ next: this.#next(user, since), join: [] });
  }

  /**
   * Returns the response as JSON; undefined if nothing changed. Returns a promise only if workers have to be queried.
   */
  changes(user: OnlineUser, request: SyncRequest): string | undefined | Promise<string | undefined> {
    const sorted = this.#sort(user, request);
    if (sorted.reads.length + sorted.invited.length > 0 || request.fullState) {
      return this.#fromWorkers(user, request, sorted);
    }
    const { since } = request;
    const { left } = sorted;
    const sections: Section[] = [];
    for (const { room, partition } of sorted.covered) {
      const changes = this.#recent.changes(room, user.id, since!.marks[partition]!.sequence);
      const text = changes && sharedSection(changes, room, request);
      if (text !== undefined) sections.push({ room, text });
    }
    if (sections.length + left.length === 0) return undefined;
    const next = this.#next(user, since);
    const leave = left.length === 0 ? undefined : this.#leave(user, left, request);
    const join = this.#withCounts(user, sections, request);
    return join instanceof Promise
      ? join.then((texts) => bodyOf({ next, join: texts, leave }))
      : bodyOf({ next, join, leave });
  }

  async #fromWorkers(user: OnlineUser, request: SyncRequest, sorted: SortedRooms): Promise<string | undefined> {
    const { since, filter } = request;
    const startMarks = this.#recent.marks;
    const { covered, reads, left, invited } = sorted;
    const updates = await this.#reader.read(reads, { user: user.id, filter });
    const invite = await this.#reader.invites(invited, user.id);
    const states = new Map<RoomId, MatrixEvent[]>();
    if (request.fullState) for (const { room } of covered) states.set(room, await this.#reader.state(room, 0));
    await this.#untilCached(updates);
    const next = this.#next(user, since);
    for (const [room, update] of updates) {
      const changes = this.#recent.changes(room, user.id, startMarks[this.#partitionOf(room)]!.sequence);
      if (changes !== undefined) updates.set(room, withChanges(update, changes));
    }
    for (const { room, partition } of covered) {
      const changes = this.#recent.changes(room, user.id, since!.marks[partition]!.sequence);
      const state = states.get(room);
      if (state !== undefined) updates.set(room, updateWithState(state, changes));
      else if (changes !== undefined) updates.set(room, { ...changes, limited: false, state: [], whole: false });
    }
    const sections: Section[] = [];
    for (const [room, update] of updates) {
      const section = roomSection(update, room, request);
      if (section !== undefined) sections.push({ room, text: JSON.stringify(section) });
    }
    if (sections.length + left.length + invited.length === 0) return undefined;
    const leave = this.#leave(user, left, request);
    return bodyOf({ next, join: await this.#withCounts(user, sections, request), invite, leave });
  }

  #sort(user: OnlineUser, { since, filter, fullState }: SyncRequest): SortedRooms {
    const sorted: SortedRooms = { covered: [], reads: [], left: [], invited: [] };
    for (const [room, membership] of user.rooms) {
      if (!roomPasses(filter.room, room)) continue;
      const { partition } = membership;
      const from = since?.marks[partition];
      const isNew = from === undefined || isAfter(membership, from, since!.memberships[partition]!);
      if (membership.membership === "join") {
        if (isNew) sorted.reads.push({ room, since: undefined, fullState: true });
        else if (this.#recent.covers(partition, from) && !this.#recent.isLong(room, from.sequence))
          sorted.covered.push(membership);
        else sorted.reads.push({ room, since: from.published, fullState });
      } else if (membership.membership === "invite" && isNew) {
        sorted.invited.push(room);
      } else if (LEFT.has(membership.membership) && isNew) {
        if (from !== undefined || filter.room?.include_leave) sorted.left.push(room);
      }
    }
    return sorted;
  }

  /** Returns the next token. It is never behind `since`, even if this gateway lags behind the one that wrote it. */
  #next({ newestMemberships }: OnlineUser, since: SyncToken | undefined): string {
    const { marks } = this.#recent;
    if (since === undefined || !isAhead(since, marks, newestMemberships)) {
      return encodeSyncToken(marks, newestMemberships);
    }
    return encodeSyncToken(
      marks.map((mark, partition) => {
        const from = since.marks[partition]!;
        return from.sequence > mark.sequence && this.#recent.covers(partition, from) ? from : mark;
      }),
      newestMemberships.map((position, partition) => Math.max(position, since.memberships[partition]!)),
    );
  }

  /** Sections of rooms that the user has left, with events until the leave and none after it. */
  #leave(user: OnlineUser, left: readonly RoomId[], request: SyncRequest): Record<string, unknown> {
    const sections = left.map((room) => {
      const { partition } = user.rooms.get(room)!;
      const from = request.since?.marks[partition];
      const changes = from === undefined ? undefined : this.#recent.changes(room, user.id, from.sequence);
      const events = untilLeave(changes?.events ?? [], user);
      const update = { events, receipts: [], limited: false, state: [], whole: true };
      return [room, roomSection(update, room, request)!];
    });
    return Object.fromEntries(sections);
  }

  /** Adds the unread counts to each section. Returns a promise only if counts have to be queried. */
  #withCounts(user: OnlineUser, sections: readonly Section[], { filter }: Viewer): string[] | Promise<string[]> {
    const texts: string[] = [];
    for (const { room, text } of sections) {
      const counts = user.cachedUnread(room);
      if (counts !== undefined) texts.push(member(room, withCounts(text, counts, filter)));
    }
    if (texts.length === sections.length) return texts;
    return Promise.all(
      sections.map(async ({ room, text }) => {
        const ask = () => this.#frontend.query(room, { op: "unread", user_id: user.id });
        return member(room, withCounts(text, await user.unread(room, ask), filter));
      }),
    );
  }

  /** Resolves when the deltas of all events in the updates are cached, or after `SETTLE_MS_MAX`. */
  async #untilCached(updates: ReadonlyMap<RoomId, RoomUpdate>): Promise<void> {
    const deadline = performance.now() + SETTLE_MS_MAX;
    for (const [room, { readThrough }] of updates) {
      if (readThrough === undefined) continue;
      while (!this.#recent.hasEvents(this.#partitionOf(room), room, readThrough) && performance.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
  }

  #partitionOf(room: RoomId): number {
    return partitionOf(room, this.#frontend.partitions);
  }
}

function member(room: RoomId, section: string): string {
  return `${JSON.stringify(room)}:${section}`;
}

/** Whether the token is ahead of this gateway, in any partition. */
function isAhead(since: SyncToken, marks: readonly DeltaMark[], memberships: readonly Position[]): boolean {
  for (let partition = 0; partition < marks.length; partition++) {
    if (since.marks[partition]!.sequence > marks[partition]!.sequence) return true;
    if (since.memberships[partition]! > memberships[partition]!) return true;
  }
  return false;
}

/** Whether the membership is newer than the token. */
function isAfter({ sequence, position }: Membership, from: DeltaMark, memberships: Position): boolean {
  return sequence === undefined ? position > memberships : sequence > from.sequence;
}

/** The events until the user left. None if the leave is not among them: it may have come before them all. */
function untilLeave(events: readonly OrderedEvent[], { id }: OnlineUser): readonly OrderedEvent[] {
  const leave = events.findLastIndex(({ type, state_key, content }) => {
    return type === "m.room.member" && state_key === id && LEFT.has(content.membership as string);
  });
  return events.slice(0, leave + 1);
}

/** Adds the changes that arrived while the snapshot was read. */
function withChanges(update: RoomUpdate, { events, receipts, fullyRead }: RoomChanges): RoomUpdate {
  const newest = update.events.at(-1)?.unsigned.order ?? Number.NEGATIVE_INFINITY;
  return {
    ...update,
    events: [...update.events, ...events.filter(({ unsigned }) => unsigned.order > newest)],
    receipts: [...update.receipts, ...receipts],
    fullyRead: newer(update.fullyRead, fullyRead),
  };
}

function newer(read: FullyReadAt | undefined, delta: FullyReadAt | undefined): FullyReadAt | undefined {
  return read === undefined || (delta !== undefined && delta.position >= read.position) ? delta : read;
}

function bodyOf({ next, join, invite, leave }: Response): string {
  return (
    `{"next_batch":"${next}",` +
    `"rooms":{"join":{${join.join(",")}},"invite":${objectText(invite)},"leave":${objectText(leave)}},` +
    '"account_data":{"events":[]},"presence":{"events":[]},"to_device":{"events":[]}}'
  );
}

function objectText(value: Record<string, unknown> | undefined): string {
  return value === undefined ? "{}" : JSON.stringify(value);
}
