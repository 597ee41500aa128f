/**
 * What `GET /sync` tells a user (Matrix specification, "Syncing").
 *
 *     token ──▶ each room: joined since?  ──▶ whole, from a snapshot
 *                          deltas here?   ──▶ what they say
 *                          otherwise      ──▶ what changed since the token's position, from a snapshot
 *
 * Where deltas say everything, which is nearly always, the answer is made in one go and without a promise: a change in
 * a room is told to all who wait for it.
 *
 * A snapshot may be ahead of the deltas. So the answer waits until the deltas of its events have come, and takes what else
 * they brought: the new token then says exactly what was shown, and no event is shown twice.
 */
import type { Position } from "../../../actors/entry.ts";
import { partitionOf } from "../../bus/contract/subjects.ts";
import type { DeltaMark } from "../../bus/deltas/delta-reader.ts";
import type { Frontend } from "../../frontend/frontend.ts";
import { SETTLE_MS_MAX } from "../../limits.ts";
import type { MatrixEvent } from "../../matrix/event.ts";
import type { RoomId } from "../../matrix/ids.ts";
import { roomPasses } from "../filter.ts";
import type { Membership, OnlineUser, UnreadCounts } from "./online-users.ts";
import type { RecentDeltas, RoomChanges } from "./recent-deltas.ts";
import { type Reading, RoomReader } from "./room-reader.ts";
import { type RoomNews, roomSection, type Viewer, wholeState } from "./room-section.ts";
import { sectionOf, withCounts } from "./shared-sections.ts";
import { encodeSyncToken, type SyncToken } from "./sync-token.ts";

export interface SyncRequest extends Viewer {
  readonly since: SyncToken | undefined;
  readonly fullState: boolean;
}

/** What there is to tell. */
interface Response {
  /** A token. */
  readonly next: string;
  /** Members of an object, as JSON text. */
  readonly join: readonly string[];
  /** By room; undefined for none. */
  readonly invite?: Record<string, unknown> | undefined;
  readonly leave?: Record<string, unknown> | undefined;
}

/** The user's rooms by what has to be done to show them. */
interface Sorted {
  /** Joined, and the deltas since the token are here. */
  readonly covered: Membership[];
  readonly readings: Reading[];
  readonly left: RoomId[];
  readonly invited: RoomId[];
}

/** A room's section, which lacks the unread counts. */
interface Section {
  readonly room: RoomId;
  readonly text: string;
}

const LEFT = new Set(["leave", "ban"]);

export class SyncNews {
  readonly #frontend: Frontend;
  readonly #recent: RecentDeltas;
  readonly #reader: RoomReader;

  constructor(frontend: Frontend, recent: RecentDeltas) {
    this.#frontend = frontend;
    this.#recent = recent;
    this.#reader = new RoomReader(frontend);
  }

  /** The answer when nothing changed. */
  none(user: OnlineUser, { since }: SyncRequest): string {
    return bodyOf({ next: this.#next(user, since), join: [] });
  }

  /** The answer as JSON; undefined when nothing changed. A promise only where somebody has to be asked. */
  since(user: OnlineUser, request: SyncRequest): string | undefined | Promise<string | undefined> {
    const sorted = this.#sort(user, request);
    if (sorted.readings.length + sorted.invited.length > 0 || request.fullState) {
      return this.#fromWorkers(user, request, sorted);
    }
    const { since } = request;
    const { left } = sorted;
    const sections: Section[] = [];
    for (const { room, partition } of sorted.covered) {
      const changes = this.#recent.changes(room, user.id, since!.marks[partition]!.sequence);
      const text = changes && sectionOf(changes, room, request);
      if (text !== undefined) sections.push({ room, text });
    }
    if (sections.length + left.length === 0) return undefined;
    const next = this.#next(user, since);
    const leave = left.length === 0 ? undefined : this.#leave(user, left, request);
    const join = this.#counted(user, sections, request);
    return join instanceof Promise
      ? join.then((texts) => bodyOf({ next, join: texts, leave }))
      : bodyOf({ next, join, leave });
  }

  async #fromWorkers(user: OnlineUser, request: SyncRequest, sorted: Sorted): Promise<string | undefined> {
    const { since, filter } = request;
    const began = this.#recent.marks;
    const { covered, readings, left, invited } = sorted;
    const news = await this.#reader.news(readings, { user: user.id, filter });
    const invite = await this.#reader.invites(invited, user.id);
    const states = new Map<RoomId, MatrixEvent[]>();
    if (request.fullState) for (const { room } of covered) states.set(room, await this.#reader.state(room, 0));
    await this.#settled(news);
    const next = this.#next(user, since);
    for (const [room, found] of news) {
      const changes = this.#recent.changes(room, user.id, began[this.#partitionOf(room)]!.sequence);
      if (changes !== undefined) news.set(room, withChanges(found, changes));
    }
    for (const { room, partition } of covered) {
      const changes = this.#recent.changes(room, user.id, since!.marks[partition]!.sequence);
      const state = states.get(room);
      if (state !== undefined) news.set(room, wholeState(state, changes));
      else if (changes !== undefined) news.set(room, { ...changes, limited: false, state: [], whole: false });
    }
    const sections: Section[] = [];
    for (const [room, found] of news) {
      const section = roomSection(found, room, request);
      if (section !== undefined) sections.push({ room, text: JSON.stringify(section) });
    }
    if (sections.length + left.length + invited.length === 0) return undefined;
    const leave = this.#leave(user, left, request);
    return bodyOf({ next, join: await this.#counted(user, sections, request), invite, leave });
  }

  #sort(user: OnlineUser, { since, filter, fullState }: SyncRequest): Sorted {
    const sorted: Sorted = { covered: [], readings: [], left: [], invited: [] };
    for (const [room, membership] of user.rooms) {
      if (!roomPasses(filter.room, room)) continue;
      const { partition } = membership;
      const from = since?.marks[partition];
      const isNew = from === undefined || isAfter(membership, from, since!.memberships[partition]!);
      if (membership.membership === "join") {
        if (isNew) sorted.readings.push({ room, since: undefined, fullState: true });
        else if (this.#recent.covers(partition, from)) sorted.covered.push(membership);
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

  /** Rooms that the user has left: what happened until then, and nothing later. */
  #leave(user: OnlineUser, left: readonly RoomId[], request: SyncRequest): Record<string, unknown> {
    const sections = left.map((room) => {
      const { partition, position: until } = user.rooms.get(room)!;
      const from = request.since?.marks[partition];
      const changes = from === undefined ? undefined : this.#recent.changes(room, user.id, from.sequence);
      const events = (changes?.events ?? []).filter(({ unsigned }) => unsigned.order <= until);
      const news = { events, receipts: [], limited: false, state: [], whole: true };
      return [room, roomSection(news, room, request)!];
    });
    return Object.fromEntries(sections);
  }

  /** Sections with their unread counts, as members of an object. A promise only when counts have to be asked for. */
  #counted(user: OnlineUser, sections: readonly Section[], { filter }: Viewer): string[] | Promise<string[]> {
    const texts: string[] = [];
    for (const { room, text } of sections) {
      const counts = user.knownUnread(room);
      if (counts !== undefined) texts.push(member(room, withCounts(text, counts, filter)));
    }
    if (texts.length === sections.length) return texts;
    return Promise.all(
      sections.map(async ({ room, text }) => {
        const ask = () => this.#frontend.query<UnreadCounts>(room, { op: "unread", user_id: user.id });
        return member(room, withCounts(text, await user.unread(room, ask), filter));
      }),
    );
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

  #partitionOf(room: RoomId): number {
    return partitionOf(room, this.#frontend.partitions);
  }
}

function member(room: RoomId, section: string): string {
  return `${JSON.stringify(room)}:${section}`;
}

/** Whether a token knows of more, in any partition. */
function isAhead(since: SyncToken, marks: readonly DeltaMark[], memberships: readonly Position[]): boolean {
  for (let partition = 0; partition < marks.length; partition++) {
    if (since.marks[partition]!.sequence > marks[partition]!.sequence) return true;
    if (since.memberships[partition]! > memberships[partition]!) return true;
  }
  return false;
}

/** Whether a membership is newer than what a token knows. */
function isAfter({ sequence, position }: Membership, from: DeltaMark, memberships: Position): boolean {
  return sequence === undefined ? position > memberships : sequence > from.sequence;
}

/** News, and what came while they were read. */
function withChanges(news: RoomNews, { events, receipts, fullyRead }: RoomChanges): RoomNews {
  const newest = news.events.at(-1)?.unsigned.order ?? Number.NEGATIVE_INFINITY;
  return {
    ...news,
    events: [...news.events, ...events.filter(({ unsigned }) => unsigned.order > newest)],
    receipts: [...news.receipts, ...receipts],
    fullyRead: fullyRead ?? news.fullyRead,
  };
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
