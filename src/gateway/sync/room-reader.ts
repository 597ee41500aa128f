/** Queries of `/sync` to the workers. */
import type { Position } from "../../../actors/entry.ts";
import { eachAtOnce } from "../../at-once.ts";
import type { Answer } from "../../bus/contract/questions.ts";
import type { Frontend } from "../../frontend/frontend.ts";
import { SNAPSHOT_MARKERS_MAX, SYNC_TIMELINE_DEFAULT } from "../../limits.ts";
import type { MatrixEvent } from "../../matrix/event.ts";
import type { RoomId, UserId } from "../../matrix/ids.ts";
import { type Filter, timelineLimit } from "../filter.ts";
import { type RoomUpdate, updateFromSnapshot } from "./room-section.ts";

/** Rooms that one `/sync` asks the workers about at the same time. */
const SYNC_QUERIES_AT_ONCE = 16;

/** A room to read from a snapshot. */
export interface RoomRead {
  readonly room: RoomId;
  /** Reads only what changed after this position; undefined reads the whole room. */
  readonly since: Position | undefined;
  readonly fullState: boolean;
}

interface Reader {
  readonly user: UserId;
  readonly filter: Filter;
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

  /** Reads rooms from snapshots, `SYNC_QUERIES_AT_ONCE` at a time. */
  async read(reads: readonly RoomRead[], reader: Reader): Promise<Map<RoomId, RoomUpdate>> {
    const updates = new Map<RoomId, RoomUpdate>();
    await eachAtOnce(reads, SYNC_QUERIES_AT_ONCE, async (read) => {
      updates.set(read.room, await this.#read(read, reader));
    });
    return updates;
  }

  /** Returns the current state events that changed after a position. */
  async state(room: RoomId, since: Position): Promise<MatrixEvent[]> {
    const state: MatrixEvent[] = [];
    for (let from: Position | undefined = since; from !== undefined; ) {
      const page: Answer<"state"> = await this.#frontend.query(room, { op: "state", since: from });
      state.push(...page.events);
      from = page.next;
    }
    return state;
  }

  /** Returns the `invite` section: stripped state by room (Matrix specification, "Stripped state"). */
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

  async #read({ room, since, fullState }: RoomRead, { user, filter }: Reader): Promise<RoomUpdate> {
    const ask = { op: "snapshot" as const, user_id: user, markers_limit: SNAPSHOT_MARKERS_MAX, members: false };
    const pages: Answer<"snapshot">[] = [];
    const limit = timelineLimit(filter.room?.timeline, SYNC_TIMELINE_DEFAULT);
    for (let from = since; ; from = pages.at(-1)!.markers_more) {
      const page = await this.#frontend.query(room, {
        ...ask,
        timeline_limit: pages.length === 0 ? limit : 0,
        ...(from !== undefined && { since: from }),
      });
      pages.push(page);
      if (page.markers_more === undefined) break;
    }
    const withState = since === undefined || fullState || pages[0]!.limited;
    const state = withState ? await this.state(room, fullState ? 0 : (since ?? 0)) : [];
    return updateFromSnapshot(pages, state, since === undefined);
  }
}
