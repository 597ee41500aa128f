/**
 * The rooms of one user, kept up to date: what the workers answer, then deltas (`user-rooms.ts`).
 *
 *     loading ──answer──▶ following ──deltas were lost, or a partition was missing──▶ loading; what is known stays
 *                             └──deltas of another log──▶ without the rooms of its partition ──▶ loading ──▶ `snapshot`
 */
import { setTimeout as delay } from "node:timers/promises";
import type { MembershipAt } from "../bus/contract/fields.ts";
import { TidemarkError } from "../errors.ts";
import type { RoomId, UserId } from "../matrix/ids.ts";
import { ChangeFeed } from "./change-feed.ts";
import { type RoomsSource, type Said, UserRooms } from "./user-rooms.ts";

/** Pauses between attempts to get what is missing. */
const RETRY_MS = 50;
const RETRY_MS_MAX = 5_000;

/** One change of a user's rooms. The list already includes it. */
export type RoomListChange =
  /** `memberships` has the rooms as they are. The first change of every iterator, and the one that follows a log that was replaced. */
  | { readonly kind: "snapshot" }
  /** The user's membership in a room: `join`, `leave`, `ban`, `invite`, `knock`. `before`: absent if there was none. */
  | {
      readonly kind: "membership";
      readonly room: string;
      readonly membership: string;
      readonly position: number;
      readonly before?: string;
    };

interface RoomListOptions {
  readonly user: UserId;
  readonly source: RoomsSource;
  readonly closed: (list: RoomList) => void;
}

export class RoomList implements AsyncDisposable, Disposable, AsyncIterable<RoomListChange> {
  /** Whose rooms these are. */
  readonly user: UserId;
  readonly #options: RoomListOptions;
  readonly #rooms: UserRooms;
  readonly #feed = new ChangeFeed<RoomListChange>();
  #isRetrying = false;
  /** Whether a log was replaced since the last `snapshot`. */
  #isRestarted = false;

  /** @internal */
  constructor(options: RoomListOptions) {
    this.#options = options;
    this.user = options.user;
    this.#rooms = new UserRooms(options.user);
  }

  /** By room, the user's membership and the position of the entry that changed it. Rooms that the user has left stay. */
  get memberships(): ReadonlyMap<string, MembershipAt> {
    return this.#rooms.rooms;
  }

  /** Whether all partitions have answered. While one is not served, its rooms are as they were known, or missing. */
  get complete(): boolean {
    return !this.#rooms.isIncomplete;
  }

  /** Calls `listener` after each change from now on. Returns a function that unsubscribes it. */
  subscribe(listener: (change: RoomListChange) => void): () => void {
    return this.#feed.subscribe(listener);
  }

  /**
   * A `snapshot` at once, for the rooms as they are; then every change, until the list is closed. A reader that falls far
   * behind (about 1,000 changes) gets one `snapshot` in their place.
   */
  [Symbol.asyncIterator](): AsyncGenerator<RoomListChange, void, undefined> {
    return this.#feed.iterate();
  }

  /**
   * Asks for the rooms. What is missing is asked for again later. Throws when nobody answers.
   * @internal
   */
  async load(): Promise<void> {
    await this.#load();
    if (this.#rooms.known.size === 0)
      throw new TidemarkError("BUS_UNAVAILABLE", "nobody says which rooms the user has");
    if (this.#rooms.isIncomplete) void this.#untilComplete();
  }

  /**
   * Deltas were lost: what is known may be outdated until `reload`.
   * @internal
   */
  lost(): void {
    this.#rooms.invalidate();
  }

  /**
   * Forgets the rooms of a partition whose log was replaced. `reload` gets the new ones.
   * @internal
   */
  restart(partition: number): void {
    this.#isRestarted = true;
    this.#rooms.forget(partition);
  }

  /**
   * Asks for the rooms. What is missing is asked for again later.
   * @internal
   */
  async reload(): Promise<void> {
    if (this.#feed.closed) return;
    await this.#load();
    if (this.#isRestarted) {
      this.#isRestarted = false;
      this.#feed.notify({ kind: "snapshot" });
    }
    if (this.#rooms.isIncomplete) void this.#untilComplete();
  }

  /** @internal */
  set(room: RoomId, said: Said): boolean {
    const before = this.#rooms.rooms.get(room)?.membership;
    if (!this.#rooms.set(room, said, this.#options.source.partitions)) return false;
    const { membership, position } = said;
    if (this.#isRestarted) return true; // A snapshot follows.
    this.#feed.notify({ kind: "membership", room, membership, position, ...(before !== undefined && { before }) });
    return true;
  }

  /** Stops following the rooms, and ends the list's iterators. What it has can still be read. */
  close(): void {
    if (this.#feed.closed) return;
    this.#feed.close();
    this.#options.closed(this);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #load(): Promise<void> {
    await this.#rooms.load(this.#options.source, (room, said) => this.set(room, said));
  }

  async #untilComplete(): Promise<void> {
    if (this.#isRetrying) return;
    this.#isRetrying = true;
    for (let pauseMs = RETRY_MS; this.#rooms.isIncomplete; pauseMs = Math.min(pauseMs * 2, RETRY_MS_MAX)) {
      await delay(pauseMs, undefined, { ref: false });
      if (this.#feed.closed) break;
      await this.reload();
    }
    this.#isRetrying = false;
  }
}
