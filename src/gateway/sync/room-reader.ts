/**
 * Questions of `/sync` to the workers: rooms as one user may see them.
 *
 * A failure never leaves the room it is of: a room that can't be served is reported as failed, and a partition that nobody
 * serves isn't asked again for a while.
 */
import type { Position } from "../../../actors/entry.ts";
import { eachAtOnce, Slots } from "../../at-once.ts";
import type { Answer, Asked, RoomSummary } from "../../bus/contract/questions.ts";
import { TidemarkError } from "../../errors.ts";
import type { Frontend } from "../../frontend/frontend.ts";
import { type SnapshotQuestion, snapshotPages } from "../../frontend/snapshot-pages.ts";
import { SNAPSHOT_MARKERS_MAX, SYNC_TIMELINE_DEFAULT, TIMELINE_EVENTS_MAX } from "../../limits.ts";
import type { MatrixEvent } from "../../matrix/event.ts";
import type { RoomId, UserId } from "../../matrix/ids.ts";
import { askAggregations } from "../bundled-events.ts";
import { type Filter, isSelective, timelineLimit } from "../filter.ts";
import { receiptsJson } from "./receipt-merge.ts";
import { type RoomUpdate, updateFromSnapshot } from "./room-section.ts";
import { eventsIn, shownPage, shownState, type Viewer, withoutKeysOf } from "./shown-state.ts";
import type { RoomTask } from "./sync-plan.ts";

const MEMBER = "m.room.member";

type StateQuestion = Omit<Asked<"state_json">, "op">;

/** Rooms that one `/sync` asks the workers about at the same time. */
const SYNC_QUERIES_AT_ONCE = 16;

/**
 * Rooms of one partition that all `/sync` together read at the same time. An answer of `ANSWER_BYTES_MAX` may be 30 MB of objects,
 * if those who speak in a room want it.
 */
const PARTITION_READS_AT_ONCE = 4;

/** A partition that nobody serves is not asked again within this time: each question would wait for its timeout. */
const UNSERVED_MS = 1_000;

export interface Reader extends Viewer {
  /** Rooms are read with all of their state. */
  readonly fullState: boolean;
}

/** A room as it was read. `failed`: of all its partition, or of the room alone. */
export type RoomRead =
  | { readonly as: "join" | "leave"; readonly update: KeptUpdate }
  | { readonly as: "invite" | "knock"; readonly events: readonly object[] }
  | { readonly as: "nothing" }
  | { readonly as: "failed"; readonly unserved: boolean };

/**
 * An update as JSON, its state page by page. A sync that waits for the rest of its rooms keeps no contents as objects: they may take
 * twenty times as much memory.
 */
class KeptUpdate {
  readonly readThrough: Position | undefined;
  readonly bytes: number;
  readonly #state: readonly string[];
  readonly #receipts: string;
  readonly #rest: string;

  constructor({ state, receipts, ...rest }: RoomUpdate) {
    this.readThrough = rest.readThrough;
    this.#state = state;
    this.#receipts = receiptsJson(receipts);
    this.#rest = JSON.stringify(rest);
    this.bytes = state.reduce((sum, text) => sum + text.length, this.#receipts.length + this.#rest.length);
  }

  read(): RoomUpdate {
    return { ...JSON.parse(this.#rest), state: this.#state, receipts: [this.#receipts] };
  }
}

export class RoomReader {
  readonly #frontend: Frontend;
  /** By partition: one that nobody serves holds up no other. */
  readonly #slots: Slots[];
  /** By partition: not asked before this `performance.now()` time. */
  readonly #askAt: number[] = [];

  constructor(frontend: Frontend) {
    this.#frontend = frontend;
    this.#slots = Array.from({ length: frontend.partitions }, () => new Slots(PARTITION_READS_AT_ONCE));
  }

  /**
   * Reads rooms, `SYNC_QUERIES_AT_ONCE` at a time, in the order of the tasks. `enough` is asked before each of them: when it
   * says yes, the rest is not read.
   */
  async read(
    tasks: readonly RoomTask[],
    reader: Reader,
    {
      read,
      enough,
    }: { readonly read: (task: RoomTask, room: RoomRead) => void; readonly enough: (next: RoomTask) => boolean },
  ): Promise<void> {
    await eachAtOnce(tasks, SYNC_QUERIES_AT_ONCE, async (task) => {
      if (enough(task)) return;
      const { partition } = task;
      const slot = this.#slots[partition]!;
      read(task, await slot.during(() => this.#guarded(partition, () => this.#read(task, reader), FAILED)));
    });
  }

  /** Which of a user's rooms in a partition changed after a position; undefined if nobody answers. */
  async changed(user: UserId, partition: number, since: Position): Promise<Answer<"changed"> | undefined> {
    const ask = async () => {
      const question = { op: "changed" as const, partition, since };
      let page: Answer<"changed"> = await this.#frontend.query(user, question);
      const rooms = { ...page.rooms };
      const { position } = page;
      while (page.next !== undefined) {
        page = await this.#frontend.query(user, { ...question, from: page.next });
        Object.assign(rooms, page.rooms);
      }
      return { rooms, position };
    };
    return this.#guarded<Answer<"changed"> | undefined>(partition, ask, () => undefined);
  }

  /** Unread counts; undefined if nobody answers. */
  async unread(room: RoomId, partition: number, user: UserId): Promise<Answer<"unread"> | undefined> {
    const ask = async () => {
      const first = await this.#frontend.query(room, { op: "unread", user_id: user });
      const threads = { ...first.threads };
      for (let { next } = first; next !== undefined; ) {
        const page: Answer<"unread"> = await this.#frontend.query(room, { op: "unread", user_id: user, after: next });
        Object.assign(threads, page.threads);
        next = page.next;
      }
      return { unthreaded: first.unthreaded, main: first.main, threads };
    };
    return this.#guarded<Answer<"unread"> | undefined>(partition, ask, () => undefined);
  }

  /** The member events of some users of a room; undefined if nobody answers. */
  members(
    { room, partition }: { readonly room: RoomId; readonly partition: number },
    viewer: UserId,
    users: readonly UserId[],
  ): Promise<MatrixEvent[] | undefined> {
    return this.#guarded<MatrixEvent[] | undefined>(
      partition,
      () => this.#state(room, { viewer, types: [MEMBER], members: [...users] }),
      () => undefined,
    );
  }

  /** The summary of a room; undefined if nobody answers. */
  summary(room: RoomId, partition: number): Promise<RoomSummary | undefined> {
    return this.#guarded<RoomSummary | undefined>(
      partition,
      async () => {
        const { joined, invited, heroes } = await this.#frontend.query(room, { op: "summary" });
        return { joined, invited, ...(heroes !== undefined && { heroes }) };
      },
      () => undefined,
    );
  }

  async #guarded<T>(partition: number, ask: () => Promise<T>, failed: (unserved: boolean) => T): Promise<T> {
    if (performance.now() < (this.#askAt[partition] ?? 0)) return failed(true);
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof TidemarkError)) throw error;
      const unserved = error.code === "BUS_UNAVAILABLE" || error.code === "M_UNKNOWN";
      if (unserved) this.#askAt[partition] = performance.now() + UNSERVED_MS;
      return failed(unserved);
    }
  }

  async #read(task: RoomTask, reader: Reader): Promise<RoomRead> {
    const { user } = reader.device;
    if (task.how === "stripped") return this.#stripped(task.room, task.as, user);
    const { room, since, isGap } = task;
    const pages = await this.#snapshots(task, reader);
    const [first] = pages;
    switch (first!.membership) {
      case "join": {
        const isWhole = since === undefined || first!.whole === true;
        const update = await this.#joined(pages, { room, since: isWhole ? undefined : since, reader });
        return { as: "join", update: new KeptUpdate(isGap ? { ...update, limited: true } : update) };
      }
      case "leave":
      case "ban":
        return {
          as: "leave",
          update: new KeptUpdate(await this.#left(first!, { room, since, isGap, reader })),
        };
      case "invite":
      case "knock":
        return this.#stripped(room, first!.membership, user);
      default:
        return { as: "nothing" };
    }
  }

  async #snapshots(
    { room, since, memberships = [] }: Extract<RoomTask, { readonly how: "read" }>,
    { device: { user }, filter }: Reader,
  ): Promise<Answer<"snapshot">[]> {
    const question = {
      viewer: user,
      markers_limit: SNAPSHOT_MARKERS_MAX,
      members: false,
      timeline_limit: readLimit(filter),
      ...(since !== undefined && { since }),
      ...(memberships.length > 0 && { since_memberships: [...memberships] }),
    };
    const pages: Answer<"snapshot">[] = [];
    const ask = (page: SnapshotQuestion) => this.#frontend.query(room, { op: "snapshot", ...page });
    for await (const page of snapshotPages(ask, question)) pages.push(page);
    const [first, ...others] = pages;
    const { aggregations, aggregations_next: next } = first!;
    if (next === undefined) return pages;
    const ids = first!.timeline.map(({ event_id: id }) => id);
    const rest = await askAggregations(this.#frontend, room, { ids: ids.slice(ids.indexOf(next)), viewer: user });
    return [{ ...first!, aggregations: { ...aggregations, ...rest } }, ...others];
  }

  async #joined(
    pages: readonly Answer<"snapshot">[],
    { room, since, reader }: { readonly room: RoomId; readonly since: Position | undefined; readonly reader: Reader },
  ): Promise<RoomUpdate> {
    const { device, filter, fullState } = reader;
    const viewer = device.user;
    const { timeline, limited } = pages[0]!;
    const isWhole = since === undefined || fullState;
    const isGap = isWhole || limited === true;
    const update = (state: readonly string[]) => updateFromSnapshot(pages, state, isWhole);
    const read = (question: StateQuestion) => this.#shown(room, question, reader);
    const from = isWhole ? {} : { since };
    if (!loadsLazily(filter)) return update(isGap ? await read({ viewer, ...from }) : []);
    const heroes = (update([]).summary?.heroes ?? []) as UserId[];
    const members = [...sendersOf(timeline), ...(isGap ? [viewer] : []), ...heroes];
    // Which members the client has been sent isn't known: those of old are sent, too.
    if (isWhole) return update(await read({ viewer, members }));
    const [others, own] = await Promise.all([
      isGap ? read({ viewer, ...from, members: [] }) : [],
      members.length === 0 ? [] : read({ viewer, types: [MEMBER], members }),
    ]);
    return update([...others, ...own]);
  }

  /** What came up to the leave, and the leave. */
  async #left(
    snapshot: Answer<"snapshot">,
    { room, since, isGap, reader }: { room: RoomId; since: Position | undefined; isGap: boolean; reader: Reader },
  ): Promise<RoomUpdate> {
    const { member, limited = false, whole: isNew = false } = snapshot;
    const isLimited = limited || isGap;
    const after = isNew ? undefined : since;
    const viewer = reader.device.user;
    const question = { viewer, ...(after !== undefined && { since: after }) };
    const older = isLimited ? await this.#shown(room, question, reader) : [];
    const state =
      member === undefined ? older : [...withoutKeysOf(older, [member]), shownState([member], room, reader)];
    return { ...updateFromSnapshot([snapshot], state, true), limited: isLimited, isNew };
  }

  async #stripped(room: RoomId, as: "invite" | "knock", viewer: UserId): Promise<RoomRead> {
    const state = await this.#state(room, { viewer, stripped: true });
    return {
      as,
      events: state.map(({ type, state_key, sender, content }) => ({ type, state_key, sender, content })),
    };
  }

  async #shown(room: RoomId, question: StateQuestion, reader: Reader): Promise<string[]> {
    const shown: string[] = [];
    for await (const page of this.#statePages(room, question)) shown.push(shownPage(page, room, reader));
    return shown;
  }

  async #state(room: RoomId, question: StateQuestion): Promise<MatrixEvent[]> {
    const events: MatrixEvent[] = [];
    for await (const page of this.#statePages(room, question)) events.push(...eventsIn(page));
    return events;
  }

  /** State events as texts (`shown-state.ts`). */
  async *#statePages(room: RoomId, question: StateQuestion): AsyncGenerator<string> {
    for (let from = question.since; ; ) {
      const since = from === undefined ? {} : { since: from };
      const page = await this.#frontend.query(room, { op: "state_json", ...question, ...since });
      yield page.events;
      if (page.next === undefined) return;
      from = page.next;
    }
  }
}

const FAILED = (unserved: boolean): RoomRead => ({ as: "failed", unserved });

/** How many events are read. A limit counts those that pass the filter, so there may be more of them. */
function readLimit({ room }: Filter): number {
  const limit = timelineLimit(room?.timeline, SYNC_TIMELINE_DEFAULT);
  return limit > 0 && isSelective(room?.timeline) ? TIMELINE_EVENTS_MAX : limit;
}

/** Whether the client wants only the members that it needs to show the timeline. */
export function loadsLazily(filter: Filter): boolean {
  return filter.room?.state?.lazy_load_members === true;
}

export function sendersOf(events: readonly MatrixEvent[]): Set<UserId> {
  return new Set(events.map(({ sender }) => sender));
}
