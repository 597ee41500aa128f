/**
 * A cache of the users that are active on this gateway: their rooms, their unread counts, and the requests that wait
 * for changes.
 *
 * Missing data is queried from the workers, and then kept up to date by the deltas. When a partition is not served, what is known
 * of the user there stays, and it is asked again later.
 */
import type { Position } from "../../../actors/entry.ts";
import type { MembershipAt } from "../../bus/contract/fields.ts";
import type { Delta } from "../../bus/contract/messages.ts";
import { type Answer, roomsIn } from "../../bus/contract/questions.ts";
import { partitionOf } from "../../bus/contract/subjects.ts";
import { TidemarkError } from "../../errors.ts";
import type { Frontend } from "../../frontend/frontend.ts";
import { ONLINE_USERS_BYTES_MAX } from "../../limits.ts";
import type { RoomId, UserId } from "../../matrix/ids.ts";
import { type ReceiptContent, receiptItems } from "../../matrix/receipt.ts";
import { type CountsByRoom, UnreadCache } from "./unread-cache.ts";

/** A user's rooms are asked for again after this time. Deltas of joins and leaves take effect at once. */
const USER_ROOMS_REFRESH_MS = 60_000;

/** The same when a user asks for a room that they don't seem to be in. */
const USER_ROOMS_REFRESH_MS_MIN = 1_000;

/** The same while the rooms of a partition are missing. */
const MISSING_ROOMS_REFRESH_MS = 2_000;

/** A user without requests for this long is evicted. The second value applies when users take too much memory. */
export const USER_IDLE_MS = 300_000;
const USER_IDLE_MS_MIN = 10_000;

/** Memory that a user takes, and each room of theirs. */
const USER_COST_BYTES = 3_000;
const MEMBERSHIP_COST_BYTES = 500;

export interface Membership {
  readonly room: RoomId;
  readonly partition: number;
  readonly membership: string;
  /** The position of the entry that set it. */
  readonly position: Position;
}

export class OnlineUser {
  readonly id: UserId;
  readonly rooms = new Map<RoomId, Membership>();
  /** Cached counts. */
  readonly #unread: CountsByRoom = new Map();
  readonly #counts: UnreadCache;
  #countsVersion = 0;
  /** Incremented with every change that may concern the user. */
  version = 0;
  /** Incremented with every change of a membership. */
  membershipsVersion = 0;
  loading: Promise<void> | undefined;
  /** When the rooms were last queried, as a `performance.now()` time. */
  loadedAt = Number.NEGATIVE_INFINITY;
  usedAt = 0;
  /** Woken at the next change. */
  readonly waiting = new Set<{ wake(): void }>();
  /** Partitions whose rooms were queried at least once: what is known of them is all there is. */
  readonly known = new Set<number>();
  /** Whether the last query lacked a partition. */
  isIncomplete = false;

  /** `counts`: shared by all users. */
  constructor(id: UserId, counts = new UnreadCache()) {
    this.id = id;
    this.#counts = counts;
  }

  /** Whether the user's rooms in a partition are known. */
  knows(partition: number): boolean {
    return this.known.has(partition);
  }

  isJoined(room: RoomId): boolean {
    return this.rooms.get(room)?.membership === "join";
  }

  /** Returns the cached unread counts of a room, if there are any. */
  cachedUnread(room: RoomId): Answer<"unread"> | undefined {
    return this.#counts.get(this.#unread, room);
  }

  /** Returns the cached unread counts of a room, or queries and caches them; undefined when `ask` says so. */
  async unread<A extends Answer<"unread"> | undefined>(
    room: RoomId,
    ask: () => Promise<A>,
  ): Promise<Answer<"unread"> | A> {
    const cached = this.cachedUnread(room);
    if (cached !== undefined) return cached;
    const version = this.#countsVersion;
    const counts = await ask();
    if (counts !== undefined && version === this.#countsVersion) this.#counts.set(this.#unread, room, counts);
    return counts;
  }

  /**
   * Invalidates the cached counts of one room, or of all. Answers to pending queries may be outdated: they are not
   * cached.
   */
  invalidateUnread(room?: RoomId): void {
    this.#countsVersion++;
    for (const each of room === undefined ? [...this.#unread.keys()] : [room]) this.#counts.delete(this.#unread, each);
  }

  wake(): void {
    this.version++;
    for (const waiter of [...this.waiting]) waiter.wake();
  }
}

export class OnlineUsers {
  readonly #frontend: Frontend;
  readonly #users = new Map<UserId, OnlineUser>();
  /** The cached users that are joined to a room. */
  readonly #inRoom = new Map<RoomId, Set<OnlineUser>>();
  readonly #toWake = new Set<OnlineUser>();
  readonly #counts = new UnreadCache();
  /** Rooms of all users. */
  #memberships = 0;
  readonly #timer: NodeJS.Timeout;

  constructor(frontend: Frontend) {
    this.#frontend = frontend;
    this.#timer = setInterval(() => this.evictIdle(), USER_IDLE_MS / 4);
    this.#timer.unref();
  }

  /** Returns a user if their rooms are cached, and not older than `USER_ROOMS_REFRESH_MS`. */
  cached(id: UserId): OnlineUser | undefined {
    const user = this.#users.get(id);
    if (user === undefined) return undefined;
    user.usedAt = performance.now();
    const age = user.usedAt - user.loadedAt;
    // What is missing is asked for again besides: nobody waits for it.
    if (user.isIncomplete && age > MISSING_ROOMS_REFRESH_MS) void this.#loaded(user);
    return age > USER_ROOMS_REFRESH_MS ? undefined : user;
  }

  /** Returns a user, after querying their rooms if necessary. What nobody answers stays as it was known, if it was. */
  async get(id: UserId): Promise<OnlineUser> {
    const cached = this.cached(id);
    if (cached !== undefined) return cached;
    const user = this.#users.get(id) ?? new OnlineUser(id, this.#counts);
    this.#users.set(id, user);
    user.usedAt = performance.now();
    await this.#loaded(user);
    if (this.#users.size * USER_COST_BYTES + this.#memberships * MEMBERSHIP_COST_BYTES > ONLINE_USERS_BYTES_MAX) {
      this.evictIdle(USER_IDLE_MS_MIN);
    }
    return user;
  }

  /**
   * Whether a user is joined to a room. If the cache says no, the rooms are queried again, at most once per
   * `USER_ROOMS_REFRESH_MS_MIN`: a delta may still be on its way.
   */
  async isJoined(id: UserId, room: RoomId): Promise<boolean> {
    const user = this.cached(id) ?? (await this.get(id));
    if (user.isJoined(room)) return true;
    if (performance.now() - user.loadedAt < USER_ROOMS_REFRESH_MS_MIN) return false;
    user.loadedAt = Number.NEGATIVE_INFINITY;
    return (await this.get(id)).isJoined(room);
  }

  /** Applies a delta to the cache, and wakes the users whom it concerns. */
  receive(delta: Delta): void {
    if (delta.type === "private") {
      this.#touch(this.#users.get(delta.user_id), delta.room_id, delta.event !== undefined);
      return;
    }
    if (delta.type === "receipts") {
      for (const user of this.#inRoom.get(delta.room_id) ?? []) this.#touch(user, delta.room_id, false);
      for (const id of usersIn(delta.event.content)) this.#users.get(id)?.invalidateUnread(delta.room_id);
      return;
    }
    for (const [id, membership] of membershipsIn(delta)) {
      const user = this.#users.get(id);
      if (user === undefined || !this.#setMembership(user, delta.room_id, membership)) continue;
      this.#touch(user, delta.room_id, true);
    }
    if (delta.kind === "state") return;
    for (const user of this.#inRoom.get(delta.room_id) ?? []) this.#touch(user, delta.room_id, true);
  }

  /** Invalidates everything and wakes all users. Called after deltas were lost, and when the gateway closes. */
  invalidateAll(): void {
    for (const user of this.#users.values()) {
      user.loadedAt = Number.NEGATIVE_INFINITY;
      user.invalidateUnread();
      user.wake();
    }
  }

  /** Forgets the memberships of a partition whose log was replaced: the new ones have other positions. Wakes all users. */
  restart(partition: number): void {
    for (const user of this.#users.values()) {
      for (const [room, membership] of user.rooms) {
        if (membership.partition !== partition) continue;
        user.rooms.delete(room);
        this.#memberships--;
        this.#leave(user, room);
      }
      user.known.delete(partition);
      user.membershipsVersion++;
    }
    this.invalidateAll();
  }

  /** Evicts users without requests for so long. Called by a timer, and when users take too much memory. */
  evictIdle(idleMs = USER_IDLE_MS): void {
    const idleSince = performance.now() - idleMs;
    for (const [id, user] of this.#users) {
      if (user.waiting.size > 0 || user.usedAt > idleSince) continue;
      this.#users.delete(id);
      user.invalidateUnread();
      this.#memberships -= user.rooms.size;
      for (const room of user.rooms.keys()) this.#leave(user, room);
    }
  }

  close(): void {
    clearInterval(this.#timer);
    this.invalidateAll();
  }

  /** Resolves when the rooms were queried, whatever came of it. */
  #loaded(user: OnlineUser): Promise<void> {
    user.loading ??= this.#load(user).finally(() => {
      user.loading = undefined;
    });
    return user.loading;
  }

  async #load(user: OnlineUser): Promise<void> {
    const askedAt = performance.now();
    const missing = new Set<number>();
    let isChanged = false;
    try {
      for (let from: string | undefined; ; ) {
        const answer: Answer<"rooms"> = await this.#frontend.query(user.id, {
          op: "rooms",
          ...(from !== undefined && { from }),
        });
        for (const [room, found] of roomsIn(answer)) if (this.#setMembership(user, room, found)) isChanged = true;
        for (const partition of answer.missing ?? []) missing.add(partition);
        if (answer.next === undefined) break;
        from = answer.next;
      }
    } catch (error) {
      if (!(error instanceof TidemarkError)) throw error;
      for (let partition = 0; partition < this.#frontend.partitions; partition++) missing.add(partition);
    }
    for (let partition = 0; partition < this.#frontend.partitions; partition++) {
      if (missing.has(partition) || user.known.has(partition)) continue;
      user.known.add(partition);
      isChanged = true;
    }
    user.isIncomplete = missing.size > 0;
    user.loadedAt = askedAt;
    if (isChanged) user.wake();
  }

  /** Returns whether the membership changed. What is not newer than the known one is ignored. */
  #setMembership(user: OnlineUser, room: RoomId, { membership, position, mayRepeat = false }: Said): boolean {
    const known = user.rooms.get(room);
    if (known !== undefined && known.position >= position) return false;
    if (mayRepeat && known?.membership === membership) return false;
    if (known === undefined) this.#memberships++;
    const partition = known?.partition ?? partitionOf(room, this.#frontend.partitions);
    user.rooms.set(room, { membership, position, room, partition });
    user.membershipsVersion++;
    const present = this.#inRoom.get(room) ?? new Set();
    if (membership === "join") this.#inRoom.set(room, present.add(user));
    else this.#leave(user, room);
    return true;
  }

  #leave(user: OnlineUser, room: RoomId): void {
    const present = this.#inRoom.get(room);
    present?.delete(user);
    if (present?.size === 0) this.#inRoom.delete(room);
  }

  /** Wakes the user at the end of this turn: once, however many deltas arrive in one read of the socket. */
  #touch(user: OnlineUser | undefined, room: RoomId, changesCounts: boolean): void {
    if (user === undefined) return;
    if (changesCounts) user.invalidateUnread(room);
    this.#toWake.add(user);
    if (this.#toWake.size > 1) return;
    setImmediate(() => {
      const users = [...this.#toWake];
      this.#toWake.clear();
      for (const waking of users) waking.wake();
    });
  }
}

function* usersIn(content: ReceiptContent): Generator<UserId> {
  for (const { user } of receiptItems(content)) yield user;
}

/** What an answer or a delta says of a membership. */
interface Said extends MembershipAt {
  /** A member event may leave the membership as it was: a new display name is no new membership. Default: it is new. */
  readonly mayRepeat?: boolean;
}

/**
 * The memberships that a delta of events sets. A live member event is the last of its message, so the position is its own.
 * Those of `state` entries have positions of their own.
 */
function* membershipsIn({ kind, events, members = {}, position }: Delta<"events">): Generator<[UserId, Said]> {
  for (const [member, membership] of Object.entries(members)) yield [member as UserId, membership];
  if (kind !== "live") return;
  for (const { type, state_key: member, content } of events.slice(-1)) {
    if (type !== "m.room.member" || member === undefined || typeof content.membership !== "string") continue;
    yield [member as UserId, { membership: content.membership, position, mayRepeat: true }];
  }
}
