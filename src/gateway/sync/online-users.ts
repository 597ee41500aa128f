/**
 * A cache of the users that are active on this gateway: their rooms, their unread counts, and the requests that wait
 * for changes.
 *
 * Missing data is queried from the workers, and then kept up to date by the deltas. When a partition is not served, what is known
 * of the user there stays, and it is asked again later.
 */
import type { Delta } from "../../bus/contract/messages.ts";
import type { Answer } from "../../bus/contract/questions.ts";
import type { Frontend } from "../../frontend/frontend.ts";
import { membershipsIn, type RoomsSource, type Said, UserRooms } from "../../frontend/user-rooms.ts";
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

/** Followed like those of any front-end (`src/frontend/user-rooms.ts`). */
export class OnlineUser extends UserRooms {
  /** Cached counts. */
  readonly #unread: CountsByRoom = new Map();
  readonly #counts: UnreadCache;
  #countsVersion = 0;
  /** Incremented with every change that may concern the user. */
  version = 0;
  /** Incremented with every change of a membership. */
  membershipsVersion = 0;
  usedAt = 0;
  /** Woken at the next change. */
  readonly waiting = new Set<{ wake(): void }>();

  /** `counts`: shared by all users. */
  constructor(id: UserId, counts = new UnreadCache()) {
    super(id);
    this.#counts = counts;
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
  readonly #source: RoomsSource;
  readonly #users = new Map<UserId, OnlineUser>();
  /** The cached users that are joined to a room. */
  readonly #inRoom = new Map<RoomId, Set<OnlineUser>>();
  readonly #toWake = new Set<OnlineUser>();
  readonly #counts = new UnreadCache();
  /** Rooms of all users. */
  #memberships = 0;
  readonly #timer: NodeJS.Timeout;

  constructor(frontend: Frontend) {
    this.#source = {
      partitions: frontend.partitions,
      query: (user, question) => frontend.query(user, question),
    };
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
      const isErasure = delta.erased !== undefined;
      for (const user of this.#inRoom.get(delta.room_id) ?? []) this.#touch(user, delta.room_id, isErasure);
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
      user.invalidate();
      user.invalidateUnread();
      user.wake();
    }
  }

  /** Forgets the memberships of a partition whose log was replaced: the new ones have other positions. Wakes all users. */
  restart(partition: number): void {
    for (const user of this.#users.values()) {
      for (const { room } of user.forget(partition)) {
        this.#memberships--;
        this.#leave(user, room);
      }
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
  async #loaded(user: OnlineUser): Promise<void> {
    const isFirst = user.loading === undefined;
    const isChanged = await user.load(this.#source, (room, said) => this.#setMembership(user, room, said));
    if (isChanged && isFirst) user.wake();
  }

  /** Returns whether the membership changed. */
  #setMembership(user: OnlineUser, room: RoomId, said: Said): boolean {
    const isNew = !user.rooms.has(room);
    if (!user.set(room, said, this.#source.partitions)) return false;
    if (isNew) this.#memberships++;
    user.membershipsVersion++;
    const present = this.#inRoom.get(room) ?? new Set();
    if (said.membership === "join") this.#inRoom.set(room, present.add(user));
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
