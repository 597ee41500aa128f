/**
 * The content of `GET /sync` responses (Matrix specification, "Syncing").
 *
 *     token ──▶ plan: by partition, what the client lacks ──▶ from the cache, or asked of the workers ──▶ sections
 *
 * Nearly every response comes from the cache alone. It is built synchronously, because one change in a large room means
 * a response to every client that waits for it.
 *
 * What workers answer may be ahead of the cached deltas. So the response waits until the deltas of all its events are cached,
 * and includes what else they brought. The new token then matches exactly what was sent, and no event is sent twice.
 *
 * What can't be served is left out and sent later, and nothing else waits for it: a room alone is noted in the token as owed; the
 * token doesn't move in a partition that nobody serves, or that didn't fit any more.
 */

import type { Answer, RoomSummary } from "../../bus/contract/questions.ts";
import { partitionOf } from "../../bus/contract/subjects.ts";
import type { DeltaMark } from "../../bus/deltas/delta-reader.ts";
import type { Frontend } from "../../frontend/frontend.ts";
import { GATEWAY_LAG_MAX, OWED_ROOMS_MAX, SETTLE_MS_MAX, SYNC_BYTES_MAX } from "../../limits.ts";
import type { RoomId } from "../../matrix/ids.ts";
import { CachedRooms, type JoinSection } from "./cached-rooms.ts";
import type { MemberEvents } from "./member-events.ts";
import type { OnlineUser } from "./online-users.ts";
import type { RecentDeltas } from "./recent-deltas.ts";
import { type RoomRead, RoomReader } from "./room-reader.ts";
import { countsSection, type RoomUpdate, roomSection, withoutEvents } from "./room-section.ts";
import type { RoomSummaries } from "./room-summaries.ts";
import type { FullyReadAt, RoomChanges } from "./shared-changes.ts";
import { withCounts, withSummary } from "./shared-sections.ts";
import type { Viewer } from "./shown-state.ts";
import { bodyOf, memberOf, NOTHING, type Sections } from "./sync-body.ts";
import { olderTasks, type PartitionPlan, planOf, type RoomTask, type Wanted } from "./sync-plan.ts";
import { lineageTag, type OwedRoom, type Place, type SyncToken, type SyncTokens } from "./sync-token.ts";

export interface SyncRequest extends Viewer, Wanted {
  /** The token as it came. */
  readonly sinceText: string | undefined;
}

export interface SyncAnswer {
  /** Whether there is nothing to tell. */
  readonly isEmpty: boolean;
  /** Where the next request goes on. */
  readonly next: SyncToken;
  /** JSON. */
  body(): string;
}

/** What is told of a room besides its events. */
interface Numbers {
  readonly summary: RoomSummary | undefined;
  readonly counts: Answer<"unread">;
}

interface Read {
  readonly task: RoomTask;
  readonly room: RoomRead;
}

/** Memberships may change while the workers are asked. The plan is made again then, so often. */
const PLANS_MAX = 4;
const POLL_MS = 5;

interface SyncResponsesOptions {
  readonly frontend: Frontend;
  readonly members: MemberEvents;
  readonly summaries: RoomSummaries;
  readonly recent: RecentDeltas;
  readonly tokens: SyncTokens;
}

export class SyncResponses {
  readonly #recent: RecentDeltas;
  readonly #reader: RoomReader;
  readonly #tokens: SyncTokens;
  readonly #cached: CachedRooms;
  readonly #partitions: number;

  constructor({ frontend, recent, tokens, members, summaries }: SyncResponsesOptions) {
    this.#recent = recent;
    this.#reader = new RoomReader(frontend);
    this.#tokens = tokens;
    this.#cached = new CachedRooms({ recent, members, summaries, reader: this.#reader });
    this.#partitions = frontend.partitions;
  }

  /** Returns a promise only if workers have to be asked, or deltas waited for. */
  answer(user: OnlineUser, request: SyncRequest): SyncAnswer | Promise<SyncAnswer> {
    if (this.#isBehind(request)) return this.#afterCatchingUp(user, request);
    const plans = this.#plan(user, request, new Set());
    const isCached = plans.every(({ situation, tasks }) => {
      return situation === "unknown" || (situation === "cached" && tasks.length === 0);
    });
    if (!isCached) return this.#fromWorkers(user, request);
    const lacking = this.#cached.lacking(request, this.#cached.rooms(user, plans));
    if (lacking.length === 0) return this.#fromCache(user, request, plans);
    return this.#cached.askMembers(user, lacking).then(() => {
      return this.#fromCache(user, request, this.#plan(user, request, NONE));
    });
  }

  #plan(user: OnlineUser, request: SyncRequest, replaced: ReadonlySet<number>): PartitionPlan[] {
    return planOf(user, request, { recent: this.#recent, replaced });
  }

  #fromCache(
    user: OnlineUser,
    request: SyncRequest,
    plans: readonly PartitionPlan[],
  ): SyncAnswer | Promise<SyncAnswer> {
    const sections = this.#cached.sections(request, this.#cached.rooms(user, plans));
    const places = this.#places(plans, NONE);
    const texts = this.#cachedNumbers(user, sections, request);
    const content = { join: texts ?? [], invite: [], knock: [], leave: [] };
    if (texts !== undefined) return this.#answerOf(content, { places, owed: [] }, request);
    return this.#numbered(user, sections, { request, content, places, owed: [] });
  }

  async #fromWorkers(user: OnlineUser, request: SyncRequest): Promise<SyncAnswer> {
    const replaced = new Set<number>();
    for (let attempt = 1; ; attempt++) {
      const version = user.membershipsVersion;
      const start = this.#recent.marks;
      const plans = this.#plan(user, request, replaced);
      const asked = await this.#askOlder(user, plans, replaced);
      if (asked === undefined) continue;
      const reads = await this.#read(request, asked);
      await this.#untilCached(reads);
      await this.#cached.askMembers(user, this.#cached.lacking(request, this.#cached.rooms(user, plans, start)));
      const isSettled = user.membershipsVersion === version && this.#hasAllSince(start, plans);
      if (!isSettled && attempt < PLANS_MAX) continue;
      if (isSettled) return this.#assemble(user, request, { plans, reads, start });
      // Nothing of it is sent: the client asks again.
      const token = request.since === "lost" ? undefined : request.since;
      const places = plans.map(({ from }) => from);
      return this.#answerOf(NOTHING, token ?? { places, owed: [] }, request);
    }
  }

  /**
   * Asks which rooms changed, in partitions whose deltas aren't cached. Returns all tasks; undefined if a log turned out to be
   * another one. A partition that nobody serves has no tasks then.
   */
  async #askOlder(user: OnlineUser, plans: PartitionPlan[], replaced: Set<number>): Promise<RoomTask[] | undefined> {
    let isReplaced = false;
    const tasks = await Promise.all(
      plans.map(async (plan, i): Promise<readonly RoomTask[]> => {
        const { situation, partition, from } = plan;
        if (situation !== "older") return plan.tasks;
        const changed = await this.#reader.changed(user.id, partition, from!.published);
        if (changed === undefined) {
          plans[i] = { ...plan, situation: "unknown" };
          return [];
        }
        if (changed.position < from!.published) {
          replaced.add(partition);
          isReplaced = true;
        }
        return olderTasks(plan, new Set(Object.keys(changed.rooms)));
      }),
    );
    return isReplaced ? undefined : tasks.flat();
  }

  /** Reads rooms, partition by partition, until there are enough for one response. */
  async #read(request: SyncRequest, tasks: readonly RoomTask[]): Promise<Map<RoomId, Read>> {
    const reads = new Map<RoomId, Read>();
    let bytes = 0;
    await this.#reader.read(tasks, request, {
      enough: ({ partition }) => bytes > SYNC_BYTES_MAX && partition !== tasks[0]!.partition,
      read: (task, room) => {
        reads.set(task.room, { task, room });
        if ("update" in room) bytes += room.update.bytes;
      },
    });
    for (const task of tasks) {
      if (!reads.has(task.room)) reads.set(task.room, { task, room: { as: "failed", unserved: true } });
    }
    return reads;
  }

  #assemble(
    user: OnlineUser,
    request: SyncRequest,
    {
      plans,
      reads,
      start,
    }: {
      readonly plans: readonly PartitionPlan[];
      readonly reads: ReadonlyMap<RoomId, Read>;
      readonly start: readonly DeltaMark[];
    },
  ): Promise<SyncAnswer> {
    const { staying, owed } = failuresOf(reads.values());
    const places = this.#places(plans, staying);
    const content: Sections = { join: [], invite: [], knock: [], leave: [] };
    const unread = plans
      .filter(({ partition }) => !staying.has(partition))
      .map((plan) => ({ ...plan, settled: plan.settled.filter(({ room }) => !reads.has(room)) }));
    const sections = this.#cached.sections(request, this.#cached.rooms(user, unread, start));
    for (const { task, room: read } of reads.values()) {
      const { room, partition } = task;
      if (staying.has(partition)) continue;
      if (read.as === "invite")
        content.invite.push(memberOf(room, JSON.stringify({ invite_state: { events: read.events } })));
      if (read.as === "knock")
        content.knock.push(memberOf(room, JSON.stringify({ knock_state: { events: read.events } })));
      if (!("update" in read)) continue;
      const known = this.#unsent(read.update.read(), task, plans[partition]!.from);
      const isJoined = read.as === "join";
      const changes = isJoined ? this.#recent.changes(room, user.id, start[partition]!.sequence) : undefined;
      const now = changes === undefined ? known : withChanges(known, changes);
      const text = roomSection(now, room, request) ?? countsSection(now.receipts, room, request);
      if (text === undefined) continue;
      const summary = changes?.changesSummary ? "ask" : now.summary;
      if (isJoined) sections.push({ room, partition, text, summary });
      else content.leave.push(memberOf(room, text));
    }
    return this.#numbered(user, sections, { request, content, places, owed });
  }

  /** What of an update the client with this place doesn't have, as far as the cache can tell. */
  #unsent(update: RoomUpdate, { room, partition, since }: RoomTask, from: Place | undefined): RoomUpdate {
    if (from === undefined || since === undefined || update.isNew || !this.#recent.covers(partition, from))
      return update;
    const sent = this.#recent.sentBefore(room, from.sequence);
    return sent.size === 0 ? update : withoutEvents(update, sent);
  }

  /** The texts of sections with their summaries and unread counts; undefined if any have to be asked for. */
  #cachedNumbers(user: OnlineUser, sections: readonly JoinSection[], request: SyncRequest): string[] | undefined {
    const texts: string[] = [];
    for (const section of sections) {
      const counts = user.cachedUnread(section.room);
      const summary = section.summary === "ask" ? this.#cached.summary(section.room) : section.summary;
      if (counts === undefined || (section.summary === "ask" && summary === undefined)) return undefined;
      texts.push(numbered(section, { counts, summary }, request));
    }
    return texts;
  }

  /** Adds the summaries and unread counts. A room of which nobody tells them is sent without, and owed. */
  async #numbered(
    user: OnlineUser,
    sections: readonly JoinSection[],
    {
      request,
      content,
      places,
      owed,
    }: {
      readonly request: SyncRequest;
      readonly content: Sections;
      readonly places: readonly (Place | undefined)[];
      readonly owed: readonly OwedRoom[];
    },
  ): Promise<SyncAnswer> {
    const unnumbered: OwedRoom[] = [];
    const join = await Promise.all(
      sections.map(async (section) => {
        const { room, partition, text } = section;
        const ask = () => this.#reader.unread(room, partition, user.id);
        const asked: Promise<Answer<"unread"> | undefined> = user.unread(room, ask);
        const summary = section.summary === "ask" ? await this.#cached.askSummary(room, partition) : section.summary;
        const counts = await asked;
        const isComplete = section.summary !== "ask" || summary !== undefined;
        if (counts !== undefined && isComplete) return numbered(section, { counts, summary }, request);
        unnumbered.push({ room, since: places[partition]?.published });
        return memberOf(room, text);
      }),
    );
    const all = [...owed, ...unnumbered].slice(0, OWED_ROOMS_MAX);
    return this.#answerOf({ ...content, join }, { places, owed: all }, request);
  }

  #answerOf(sections: Sections, next: SyncToken, request: SyncRequest): SyncAnswer {
    const { join, invite, knock, leave } = sections;
    return {
      isEmpty: join.length + invite.length + knock.length + leave.length === 0,
      next,
      body: () => bodyOf(this.#tokens.write(request.device.user, next), sections, request),
    };
  }

  /** Where a client is after everything through now was sent, but for the partitions that stay where they were. */
  #places(plans: readonly PartitionPlan[], staying: ReadonlySet<number>): (Place | undefined)[] {
    return plans.map(({ partition, situation, from, memberships }) => {
      if (situation === "unknown" || staying.has(partition)) return from;
      const { sequence, published, lineage } = this.#recent.marks[partition]!;
      if (situation !== "again" && from?.sequence === sequence) return { ...from, memberships };
      return {
        sequence,
        published,
        lineage: lineageTag(lineage) || (situation === "again" ? 0 : (from?.lineage ?? 0)),
        memberships: memberships.filter((position) => position > published),
      };
    });
  }

  /** Whether another gateway had read further when it wrote the token. */
  #isBehind({ since }: SyncRequest): boolean {
    if (since === undefined || since === "lost") return false;
    return since.places.some((place, partition) => {
      const ahead = (place?.sequence ?? 0) - this.#recent.marks[partition]!.sequence;
      return ahead > 0 && ahead <= GATEWAY_LAG_MAX;
    });
  }

  async #afterCatchingUp(user: OnlineUser, request: SyncRequest): Promise<SyncAnswer> {
    await until(() => !this.#isBehind(request));
    return this.#fromWorkers(user, request);
  }

  /** Whether the cache has every delta since these marks. */
  #hasAllSince(start: readonly DeltaMark[], plans: readonly PartitionPlan[]): boolean {
    return plans.every(({ partition, situation, from }) => {
      const { lineage } = this.#recent.marks[partition]!;
      const isSame = lineage === start[partition]!.lineage || start[partition]!.lineage === "";
      if (!isSame || !this.#recent.covers(partition, start[partition]!)) return false;
      return situation !== "cached" || this.#recent.covers(partition, from!);
    });
  }

  /** Resolves when the deltas of all events that were read are cached, or after `SETTLE_MS_MAX`. */
  async #untilCached(reads: ReadonlyMap<RoomId, Read>): Promise<void> {
    const awaited = [...reads.values()].flatMap(({ task, room }) => {
      const through = "update" in room ? room.update.readThrough : undefined;
      return through === undefined ? [] : { room: task.room, through };
    });
    await until(() =>
      awaited.every(({ room, through }) => this.#recent.hasEvents(partitionOf(room, this.#partitions), room, through)),
    );
  }
}

const NONE: ReadonlySet<number> = new Set();

/** Resolves when the condition holds, or after `SETTLE_MS_MAX`. */
async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + SETTLE_MS_MAX;
  while (!condition() && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
}

/** The partitions whose place in the token stays, and the rooms that are owed besides. */
function failuresOf(reads: Iterable<Read>): { staying: Set<number>; owed: OwedRoom[] } {
  const staying = new Set<number>();
  const failed: RoomTask[] = [];
  for (const { task, room } of reads) {
    if (room.as !== "failed") continue;
    if (room.unserved) staying.add(task.partition);
    else failed.push(task);
  }
  if (failed.length > OWED_ROOMS_MAX) for (const { partition } of failed) staying.add(partition);
  const alone = failed.filter(({ partition }) => !staying.has(partition));
  return { staying, owed: alone.map(({ room, since }) => ({ room, since })) };
}

function numbered({ room, text }: JoinSection, { counts, summary }: Numbers, { filter, device }: SyncRequest): string {
  const summed = summary === undefined ? text : withSummary(text, summary, device.user);
  return memberOf(room, withCounts(summed, counts, filter));
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
