/** What `/sync` asks the workers about rooms. */
import type { Position } from "../../../actors/entry.ts";
import type { Frontend } from "../../frontend/frontend.ts";
import type { RoomSnapshot } from "../../frontend/room-view.ts";
import { SNAPSHOT_MARKERS_MAX, SYNC_QUERIES_AT_ONCE, SYNC_TIMELINE_DEFAULT } from "../../limits.ts";
import type { MatrixEvent } from "../../matrix/event.ts";
import type { RoomId, UserId } from "../../matrix/ids.ts";
import { type Filter, timelineLimit } from "../filter.ts";
import { newsOf, type RoomNews } from "./room-section.ts";

/** A room that is read from a snapshot. */
export interface Reading {
  readonly room: RoomId;
  /** undefined: the whole room. */
  readonly since: Position | undefined;
  readonly fullState: boolean;
}

interface Reader {
  readonly user: UserId;
  readonly filter: Filter;
}

interface StatePage {
  readonly events: readonly MatrixEvent[];
  readonly next?: Position;
}

const STRIPPED = new Set([
  "m.room.create",
  "m.room.name",
  "m.room.avatar",
  "m.room.topic",
  "m.room.join_rules",
  "m.room.canonical_alias",
  "m.room.encryption",
]);

export class RoomReader {
  readonly #frontend: Frontend;

  constructor(frontend: Frontend) {
    this.#frontend = frontend;
  }

  async news(readings: readonly Reading[], reader: Reader): Promise<Map<RoomId, RoomNews>> {
    const news = new Map<RoomId, RoomNews>();
    const queue = readings.values();
    const work = async () => {
      for (const reading of queue) news.set(reading.room, await this.#newsOf(reading, reader));
    };
    await Promise.all(Array.from({ length: Math.min(SYNC_QUERIES_AT_ONCE, readings.length) }, work));
    return news;
  }

  /** The current state that changed after a position. */
  async state(room: RoomId, since: Position): Promise<MatrixEvent[]> {
    const state: MatrixEvent[] = [];
    for (let from: Position | undefined = since; from !== undefined; ) {
      const page: StatePage = await this.#frontend.query(room, { op: "state", since: from });
      state.push(...page.events);
      from = page.next;
    }
    return state;
  }

  /** What rooms tell who is not in them yet (Matrix specification, "Stripped state"). */
  async invites(rooms: readonly RoomId[], user: UserId): Promise<Record<string, unknown>> {
    const invites = rooms.map(async (room) => [room, await this.#invite(room, user)] as const);
    return Object.fromEntries(await Promise.all(invites));
  }

  async #invite(room: RoomId, user: UserId): Promise<Record<string, unknown>> {
    const events = (await this.state(room, 0))
      .filter(({ type, state_key: key }) => STRIPPED.has(type) || (type === "m.room.member" && key === user))
      .map(({ type, state_key, sender, content }) => ({ type, state_key, sender, content }));
    return { invite_state: { events } };
  }

  async #newsOf({ room, since, fullState }: Reading, { user, filter }: Reader): Promise<RoomNews> {
    const ask = { op: "snapshot", user_id: user, markers_limit: SNAPSHOT_MARKERS_MAX, members: false };
    const pages: RoomSnapshot[] = [];
    const limit = timelineLimit(filter.room?.timeline, SYNC_TIMELINE_DEFAULT);
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
    const state = withState ? await this.state(room, fullState ? 0 : (since ?? 0)) : [];
    return newsOf(pages, state, since === undefined);
  }
}
