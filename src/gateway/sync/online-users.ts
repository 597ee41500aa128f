/**
 * The users that use this gateway: which rooms they are in, their unread counts, and who waits for news.
 *
 * All of it is asked from the workers when it is missing, and follows the deltas from then on. A membership says at which
 * delta this gateway learned of it, so that a room which a user joined between two `/sync` requests is shown as a whole.
 */
import type { Position } from "../../../actors/entry.ts";
import { partitionOf } from "../../bus/contract/subjects.ts";
import type { Delta, DeltaMark } from "../../bus/deltas/delta-reader.ts";
import type { Frontend } from "../../frontend/frontend.ts";
import { USER_IDLE_MS, USER_ROOMS_REFRESH_MS, USER_ROOMS_REFRESH_MS_MIN } from "../../limits.ts";
import type { RoomId, UserId } from "../../matrix/ids.ts";
import type { ReceiptContent } from "../../matrix/receipt.ts";

export interface Membership {
  readonly room: RoomId;
  readonly partition: number;
  readonly membership: string;
  /** The entry that changed it. */
  readonly position: Position;
  /** The delta that told it; undefined when a worker did. */
  readonly sequence: number | undefined;
}

export interface UnreadCounts {
  readonly unthreaded: { readonly count: number };
  readonly main: { readonly count: number };
  readonly threads: Record<string, { readonly count: number }>;
}

type RoomsAnswer = { readonly rooms: Record<RoomId, { readonly membership: string; readonly position: Position }> };

export class OnlineUser {
  readonly id: UserId;
  readonly rooms = new Map<RoomId, Membership>();
  /** Of rooms where nothing changed them since they were asked for. */
  readonly #unread = new Map<RoomId, UnreadCounts>();
  #countsVersion = 0;
  /** Rises with every change that may concern the user. */
  version = 0;
  loading: Promise<void> | undefined;
  /** `performance.now()` */
  loadedAt = Number.NEGATIVE_INFINITY;
  usedAt = 0;
  /** Who is to be told of the next change. */
  readonly waiting = new Set<{ wake(): void }>();
  /** By partition: the position of the newest membership. */
  newestMemberships: readonly Position[];

  constructor(id: UserId, partitions: number) {
    this.id = id;
    this.newestMemberships = new Array(partitions).fill(0);
  }

  isJoined(room: RoomId): boolean {
    return this.rooms.get(room)?.membership === "join";
  }

  /** Unread counts of a room; undefined when they may have changed since they were asked for. */
  knownUnread(room: RoomId): UnreadCounts | undefined {
    return this.#unread.get(room);
  }

  /** Unread counts of a room, asked for when they may have changed. */
  async unread(room: RoomId, ask: () => Promise<UnreadCounts>): Promise<UnreadCounts> {
    const known = this.#unread.get(room);
    if (known !== undefined) return known;
    const version = this.#countsVersion;
    const counts = await ask();
    if (version === this.#countsVersion) this.#unread.set(room, counts);
    return counts;
  }

  /** Counts of a room, or of all, may be others from now on; answers that are on their way may be of before. */
  countsChanged(room?: RoomId): void {
    this.#countsVersion++;
    if (room === undefined) this.#unread.clear();
    else this.#unread.delete(room);
  }

  wake(): void {
    this.version++;
    for (const waiter of [...this.waiting]) waiter.wake();
  }
}

export class OnlineUsers {
  readonly #frontend: Frontend;
  readonly #users = new Map<UserId, OnlineUser>();
  /** Who of them is in a room. */
  readonly #inRoom = new Map<RoomId, Set<OnlineUser>>();
  readonly #toWake = new Set<OnlineUser>();
  readonly #timer: NodeJS.Timeout;

  constructor(frontend: Frontend) {
    this.#frontend = frontend;
    this.#timer = setInterval(() => this.forgetIdle(), USER_IDLE_MS / 4);
    this.#timer.unref();
  }

  /** A user whose rooms are known well enough; undefined when they have to be asked for. */
  ready(id: UserId): OnlineUser | undefined {
    const user = this.#users.get(id);
    if (user === undefined) return undefined;
    user.usedAt = performance.now();
    return user.usedAt - user.loadedAt > USER_ROOMS_REFRESH_MS ? undefined : user;
  }

  /** A user with their rooms. Throws when nobody can tell them. */
  async get(id: UserId): Promise<OnlineUser> {
    const ready = this.ready(id);
    if (ready !== undefined) return ready;
    const user = this.#users.get(id) ?? new OnlineUser(id, this.#frontend.partitions);
    this.#users.set(id, user);
    user.usedAt = performance.now();
    user.loading ??= this.#load(user).finally(() => {
      user.loading = undefined;
    });
    await user.loading;
    return user;
  }

  /**
   * Whether a user is joined to a room. Who seems not to be is asked about again, if that was not done just now: what a
   * homeserver imports is told by no delta.
   */
  async isJoined(id: UserId, room: RoomId): Promise<boolean> {
    const user = this.ready(id) ?? (await this.get(id));
    if (user.isJoined(room)) return true;
    if (performance.now() - user.loadedAt < USER_ROOMS_REFRESH_MS_MIN) return false;
    user.loadedAt = Number.NEGATIVE_INFINITY;
    return (await this.get(id)).isJoined(room);
  }

  /** Follows a delta, and wakes whom it concerns. */
  receive(delta: Delta, { sequence }: DeltaMark): void {
    if (delta.kind === "private") {
      this.#touch(this.#users.get(delta.user_id), delta.room_id, delta.event !== undefined);
      return;
    }
    if (delta.kind === "receipts") {
      for (const user of this.#inRoom.get(delta.room_id) ?? []) this.#touch(user, delta.room_id, false);
      for (const id of usersIn(delta.event.content)) this.#users.get(id)?.countsChanged(delta.room_id);
      return;
    }
    for (const { type, state_key: member, content, unsigned } of delta.events) {
      if (type !== "m.room.member" || member === undefined || unsigned.order < 0) continue;
      const user = this.#users.get(member as UserId);
      if (user === undefined || typeof content.membership !== "string") continue;
      this.#setMembership(user, delta.room_id, {
        membership: content.membership,
        position: unsigned.order,
        sequence,
      });
      this.#touch(user, delta.room_id, true);
    }
    for (const user of this.#inRoom.get(delta.room_id) ?? []) this.#touch(user, delta.room_id, true);
  }

  /** Wakes everybody: deltas were missed, or the gateway is about to close. */
  wakeAll(): void {
    for (const user of this.#users.values()) {
      user.loadedAt = Number.NEGATIVE_INFINITY;
      user.countsChanged();
      user.wake();
    }
  }

  /** Lets go of users who have not asked for anything for long. Called from time to time. */
  forgetIdle(): void {
    const idleSince = performance.now() - USER_IDLE_MS;
    for (const [id, user] of this.#users) {
      if (user.waiting.size > 0 || user.usedAt > idleSince) continue;
      this.#users.delete(id);
      for (const room of user.rooms.keys()) this.#leave(user, room);
    }
  }

  close(): void {
    clearInterval(this.#timer);
    this.wakeAll();
  }

  async #load(user: OnlineUser): Promise<void> {
    const askedAt = performance.now();
    const { rooms } = await this.#frontend.query<RoomsAnswer>(user.id, { op: "rooms" });
    let isNews = false;
    for (const [room, found] of Object.entries(rooms) as [RoomId, RoomsAnswer["rooms"][RoomId]][]) {
      if (this.#setMembership(user, room, { ...found, sequence: undefined })) isNews = true;
    }
    user.loadedAt = askedAt;
    if (isNews) user.wake();
  }

  /** Returns whether it is one that was not known. */
  #setMembership(user: OnlineUser, room: RoomId, membership: Omit<Membership, "room" | "partition">): boolean {
    const known = user.rooms.get(room);
    if (known !== undefined && (known.position >= membership.position || known.membership === membership.membership)) {
      return false;
    }
    const partition = known?.partition ?? partitionOf(room, this.#frontend.partitions);
    user.rooms.set(room, { ...membership, room, partition });
    const newest = Math.max(user.newestMemberships[partition]!, membership.position);
    user.newestMemberships = user.newestMemberships.with(partition, newest);
    const present = this.#inRoom.get(room) ?? new Set();
    if (membership.membership === "join") this.#inRoom.set(room, present.add(user));
    else this.#leave(user, room);
    return true;
  }

  #leave(user: OnlineUser, room: RoomId): void {
    const present = this.#inRoom.get(room);
    present?.delete(user);
    if (present?.size === 0) this.#inRoom.delete(room);
  }

  /** What came with the same read of the socket wakes a user once. */
  #touch(user: OnlineUser | undefined, room: RoomId, counts: boolean): void {
    if (user === undefined) return;
    if (counts) user.countsChanged(room);
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
  for (const types of Object.values(content)) {
    for (const users of Object.values(types)) yield* Object.keys(users ?? {}) as UserId[];
  }
}
