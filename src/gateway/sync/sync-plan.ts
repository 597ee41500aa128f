/**
 * What a `/sync` has to send, and from where: by partition, then by room.
 *
 *     the client was sent nothing of the partition ──▶ first     every joined room, whole
 *     the cache has the deltas since the token     ──▶ cached    what changed, without asking anybody
 *     the log is the same                          ──▶ older     what changed, from the workers
 *     otherwise                                    ──▶ again     every room, whole and marked as limited: the client may have
 *                                                                missed anything; rooms that were left, too
 *
 * In each of them, a room in which the user's membership is newer than the token is sent as what it is now: whole, left, or as an
 * invite or a knock.
 */
import type { Position } from "../../../actors/entry.ts";
import type { UserRoom } from "../../frontend/user-rooms.ts";
import { SYNC_TIMELINE_DEFAULT } from "../../limits.ts";
import type { RoomId } from "../../matrix/ids.ts";
import { type Filter, roomPasses, timelineLimit } from "../filter.ts";
import type { OnlineUser } from "./online-users.ts";
import type { RecentDeltas } from "./recent-deltas.ts";
import { lineageTag, type OwedRoom, type Place, type SyncToken } from "./sync-token.ts";

/** What has to be asked of the workers. */
export type RoomTask =
  /** What changed after a position, or the whole room. Of a room that the user has left: what came up to the leave. */
  | {
      readonly how: "read";
      readonly room: RoomId;
      readonly partition: number;
      readonly since: Position | undefined;
      /** Memberships beyond `since` that the client knows: positions of the partition. */
      readonly memberships?: readonly Position[];
      /** Whether the client may lack older events than those that are sent. */
      readonly isGap: boolean;
    }
  /** The user is invited, or knocks. */
  | {
      readonly how: "stripped";
      readonly room: RoomId;
      readonly partition: number;
      readonly since: Position | undefined;
      readonly as: Stripped;
    };

type Stripped = "invite" | "knock";

type Situation = "first" | "cached" | "older" | "again" | "unknown";

export interface PartitionPlan {
  readonly partition: number;
  /** `unknown`: nobody says which rooms the user has there. Nothing is sent, and the token stays where it is. */
  readonly situation: Situation;
  readonly from: Place | undefined;
  readonly tasks: RoomTask[];
  /** Joined rooms with nothing to ask: a `cached` partition has their changes; of an `older` one, the workers know which changed. */
  readonly settled: UserRoom[];
  /** Positions of memberships beyond what is published now. */
  readonly memberships: Position[];
}

export interface Wanted {
  /** undefined: a first sync. `lost`: a token that can't be opened, so that the client may have missed anything. */
  readonly since: SyncToken | "lost" | undefined;
  readonly filter: Filter;
  readonly fullState: boolean;
}

/** Whether the client may have nothing, or wants everything. */
export function isFull({ since, fullState }: Pick<Wanted, "since" | "fullState">): boolean {
  return since === undefined || since === "lost" || fullState;
}

const LEFT = new Set(["leave", "ban"]);

/** `replaced`: partitions whose log is known to be another one than that of the token. */
export function planOf(
  user: OnlineUser,
  { since, filter, fullState }: Wanted,
  { recent, replaced }: { readonly recent: RecentDeltas; readonly replaced: ReadonlySet<number> },
): PartitionPlan[] {
  const token = since === "lost" ? undefined : since;
  const plans = recent.marks.map((_, partition): PartitionPlan => {
    const from = token?.places[partition];
    const isLost = since === "lost" || replaced.has(partition);
    const situation = user.knows(partition) ? situationOf(from, partition, { recent, isLost }) : "unknown";
    return { partition, situation, from, tasks: [], settled: [], memberships: [] };
  });
  const owed = new Map(token?.owed.map((each) => [each.room, each]));
  const includeLeft = filter.room?.include_leave === true;
  const limit = timelineLimit(filter.room?.timeline, SYNC_TIMELINE_DEFAULT);
  for (const membership of user.rooms.values()) {
    const { room, partition, position } = membership;
    const plan = plans[partition]!;
    if (plan.situation === "unknown") continue;
    if (position > recent.marks[partition]!.published) plan.memberships.push(position);
    if (!roomPasses(filter.room, room)) continue;
    const isLong = plan.situation === "cached" && recent.isLong(room, plan.from!.sequence, limit);
    const task = taskOf(membership, plan, { owed: owed.get(room), isRead: isLong || fullState, includeLeft });
    if (task !== undefined) plan.tasks.push(task);
    else if (membership.membership === "join") plan.settled.push(membership);
  }
  return plans;
}

function situationOf(
  from: Place | undefined,
  partition: number,
  { recent, isLost }: { readonly recent: RecentDeltas; readonly isLost: boolean },
): Situation {
  if (isLost) return "again";
  if (from === undefined) return "first";
  const lineage = lineageTag(recent.marks[partition]!.lineage);
  if (lineage !== 0 && from.lineage !== 0 && lineage !== from.lineage) return "again";
  const isCached = recent.covers(partition, from) && recent.publishedAt(partition, from.sequence) === from.published;
  return isCached ? "cached" : "older";
}

interface Options {
  readonly owed: OwedRoom | undefined;
  /** Whether a joined room is read from workers, although the cache has its changes. */
  readonly isRead: boolean;
  readonly includeLeft: boolean;
}

function taskOf(
  membership: UserRoom,
  { situation, from }: PartitionPlan,
  { owed, isRead, includeLeft }: Options,
): RoomTask | undefined {
  const { room, partition, membership: as } = membership;
  const isAgain = situation === "again";
  const isNew = from === undefined || isAgain || isNewerThan(membership, from);
  if (!isNew && owed === undefined && !(isRead && as === "join")) return undefined;
  const since = isNew ? undefined : owed === undefined ? from.published : owed.since;
  if (as === "join") return { how: "read", room, partition, since, isGap: isAgain };
  if (as === "invite" || as === "knock") return { how: "stripped", room, partition, as, since };
  if (!LEFT.has(as) || (situation === "first" && !includeLeft)) return undefined;
  if (isAgain || from === undefined) return { how: "read", room, partition, since: undefined, isGap: isAgain };
  return { how: "read", room, partition, since: from.published, memberships: from.memberships, isGap: false };
}

/** Whether the client with this place does not know the membership. */
function isNewerThan({ position }: UserRoom, { published, memberships }: Place): boolean {
  return position > published && !memberships.includes(position);
}

/** The tasks of an `older` partition: those of the plan, and the rooms that changed. */
export function olderTasks({ settled, from, tasks }: PartitionPlan, changed: ReadonlySet<string>): RoomTask[] {
  const reads = settled.filter(({ room }) => changed.has(room));
  return [
    ...tasks,
    ...reads.map(
      ({ room, partition }): RoomTask => ({ how: "read", room, partition, since: from!.published, isGap: false }),
    ),
  ];
}
