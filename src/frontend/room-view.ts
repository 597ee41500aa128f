/**
 * One room, kept up to date: a snapshot, then deltas (docs/design.md#what-is-published).
 *
 *     loading ──snapshot──▶ following ──gap in `previous`, or deltas lost──▶ loading
 *                               └──────deltas of another log──▶ emptied ──▶ loading
 *
 * Deltas that arrive during a load wait for its end. A delta at or before the view's position is a repetition and is dropped.
 * One whose `previous` is after that position shows that a delta is missing, and starts a new load.
 *
 * A view with a user has what that user may see (docs/design.md#who-sees-what), as `/sync` does:
 *
 *     not joined ──own join──▶ loading ──▶ joined: live events and receipts as they come; of older events,
 *         ▲                                  │     those that the workers show the user
 *         └──────own leave, kick or ban──────┘
 */

import type { EventArrival } from "../../actors/entry.ts";
import type { FullyRead } from "../bus/contract/fields.ts";
import type { Delta } from "../bus/contract/messages.ts";
import type { Answer, Asked } from "../bus/contract/questions.ts";
import { EVENTS_PAGE_MAX, ROOM_EVENTS_MAX, SNAPSHOT_MARKERS_MAX, TIMELINE_EVENTS_MAX } from "../limits.ts";
import type { OrderedEvent } from "../matrix/event.ts";
import type { RoomId, UserId } from "../matrix/ids.ts";
import { type ReceiptContent, receiptItems } from "../matrix/receipt.ts";
import { ChangeFeed } from "./change-feed.ts";
import { ReadState, type Unread } from "./read-state.ts";
import { type SnapshotQuestion, snapshotPages } from "./snapshot-pages.ts";
import { membershipsIn } from "./user-rooms.ts";

const NOTHING_UNREAD: Unread = { total: 0, main: 0, threads: new Map() };

/** One change of a room view. The view already includes it. */
export type RoomChange =
  /**
   * The view was filled from a snapshot, or lost what is of users who were erased. Recompute whatever was derived from the view. The first
   * change of every iterator, and the one that follows missed deltas.
   */
  | { readonly kind: "snapshot" }
  /**
   * Events that the view didn't have, in the order in which they came. Only `live` ones are new in the room, and only they change who
   * is in it; `history` may be unread, `backfill` is read by everybody.
   */
  | { readonly kind: "events"; readonly arrival: EventArrival; readonly events: readonly OrderedEvent[] }
  /** Members whom a room's `state` said, with their memberships: for a room that existed before Tidemark met it. */
  | { readonly kind: "members"; readonly members: Readonly<Record<string, string>> }
  /** Public receipts, any user's. */
  | { readonly kind: "receipts"; readonly content: ReceiptContent }
  /** Private receipts and the fully-read marker of the view's own user. */
  | { readonly kind: "private"; readonly content?: ReceiptContent; readonly fullyRead?: FullyRead };

interface RoomViewOptions {
  readonly room: RoomId;
  readonly user: UserId | undefined;
  readonly snapshot: (question: SnapshotQuestion) => Promise<Answer<"snapshot">>;
  readonly events: (question: Omit<Asked<"events">, "op">) => Promise<Answer<"events">>;
  readonly closed: (view: RoomView) => void;
}

export class RoomView extends ReadState implements AsyncDisposable, Disposable, AsyncIterable<RoomChange> {
  readonly room: RoomId;
  /** The user who sees this, with private receipts. undefined: all that is public. */
  readonly user: UserId | undefined;
  readonly #members = new Map<string, string>();
  readonly #options: RoomViewOptions;
  readonly #feed = new ChangeFeed<RoomChange>();
  readonly #at = { events: 0, receipts: 0 };
  #waiting: Delta[] | undefined;
  #again = false;
  /** Whether what is here is of another log. */
  #isStale = false;
  /** The membership of the view's user. */
  #membership: string | undefined;
  /** How many logs this has been of. */
  #logs = 0;

  /** @internal */
  constructor(options: RoomViewOptions) {
    super();
    this.#options = options;
    this.room = options.room;
    this.user = options.user;
  }

  /** Membership (`join`, `leave`, `invite` …) by user. */
  get members(): ReadonlyMap<string, string> {
    return this.#members;
  }

  /** Calls `listener` after each change from now on. Returns a function that unsubscribes it. */
  subscribe(listener: (change: RoomChange) => void): () => void {
    return this.#feed.subscribe(listener);
  }

  /**
   * A `snapshot` at once, for the state as it is; then every change, until the view is closed. A reader that falls far
   * behind (about 1,000 changes) gets one `snapshot` in their place.
   */
  [Symbol.asyncIterator](): AsyncGenerator<RoomChange, void, undefined> {
    return this.#feed.iterate();
  }

  /**
   * Fills the view from a snapshot, then applies the deltas that arrived meanwhile. Throws when nobody answers.
   * @internal
   */
  async load(): Promise<void> {
    if (this.#waiting !== undefined) {
      this.#again = true;
      return;
    }
    const waiting: Delta[] = [];
    this.#waiting = waiting;
    try {
      do {
        this.#again = false;
        await this.#fill();
      } while (this.#again && !this.#feed.closed);
    } finally {
      this.#waiting = undefined;
    }
    this.#feed.notify({ kind: "snapshot" });
    for (const delta of waiting) this.receive(delta);
  }

  /** @internal */
  receive(delta: Delta): void {
    if (this.#waiting !== undefined) this.#waiting.push(delta);
    else if (delta.type === "private") {
      if (this.#isJoined) this.#receivePrivate(delta);
    } else if (delta.position > this.#at[delta.type]) {
      if (delta.previous > this.#at[delta.type]) void this.reload();
      else this.#receivePublic(delta);
    }
  }

  /** F13. All figures are 0 for a user who is known not to be joined. */
  override unread(user: string): Unread {
    const membership = this.#members.get(user);
    return membership === undefined || membership === "join" ? super.unread(user) : NOTHING_UNREAD;
  }

  /**
   * Loads, and retries until it succeeds or the view is closed.
   * @internal
   */
  async reload(): Promise<void> {
    for (let pauseMs = 50; !this.#feed.closed; pauseMs = Math.min(pauseMs * 2, 5_000)) {
      try {
        return await this.load();
      } catch {
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    }
  }

  /**
   * Empties the view and loads it again, because its log was replaced by one with other positions and orders.
   * @internal
   */
  async restart(): Promise<void> {
    this.#isStale = true;
    this.#logs++;
    if (this.#waiting !== undefined) this.#waiting.length = 0;
    await this.reload();
  }

  /** Stops following the room, and ends the view's iterators. Its contents can still be read. */
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

  async #fill(): Promise<void> {
    const { user, snapshot } = this.#options;
    const question = {
      markers_limit: SNAPSHOT_MARKERS_MAX,
      timeline_limit: TIMELINE_EVENTS_MAX,
      ...(user !== undefined && { viewer: user }),
    };
    let position: number | undefined;
    const readers = new Set<string>();
    for await (const page of snapshotPages(snapshot, question)) {
      if (position === undefined) {
        position = page.position;
        this.#begin(page);
      }
      this.apply(page.receipts);
      this.apply(page.private ?? {});
      for (const { user: reader } of receiptItems(page.receipts)) readers.add(reader);
      for (const [member, membership] of Object.entries(page.members ?? {})) this.#members.set(member, membership);
    }
    if (user !== undefined) readers.add(user);
    // Whoever is not there was erased meanwhile, or is not shown any more.
    for (const { user: reader } of [...this.markers]) if (!readers.has(reader)) this.forget(reader);
    this.#at.events = position!;
    this.#at.receipts = position!;
  }

  /** The first page of a snapshot. */
  #begin({ fully_read: fullyRead, timeline, membership }: Answer<"snapshot">): void {
    if (this.#isStale) {
      this.#isStale = false;
      this.clear();
      this.#members.clear();
    }
    if (fullyRead !== undefined) this.fullyRead(this.#options.user!, fullyRead);
    for (const event of timeline) this.note(event);
    this.#membership = membership;
    if (this.user !== undefined && membership !== undefined) this.#members.set(this.user, membership);
  }

  /** Whether what is published about the room is shown. */
  get #isJoined(): boolean {
    return this.user === undefined || this.#membership === "join";
  }

  #receivePublic(delta: Delta<"events" | "receipts">): void {
    this.#at[delta.type] = delta.position;
    if (delta.type === "events") this.#receiveEvents(delta);
    else if (this.#isJoined) {
      const erased = Object.entries(delta.erased ?? {});
      if (erased.some(([, events]) => events.length > 0)) {
        void this.restart(); // The events, and what counts of them, as they are now.
        return;
      }
      for (const [user] of erased) this.forget(user);
      this.apply(delta.event.content);
      if (delta.erased === undefined) this.#feed.notify({ kind: "receipts", content: delta.event.content });
      else this.#feed.notify({ kind: "snapshot" });
    }
  }

  #receiveEvents(delta: Delta<"events">): void {
    const said = [...membershipsIn(delta)].map(([user, { membership }]) => [user, membership] as const);
    const own = said.find(([user]) => user === this.user)?.[1];
    const wasJoined = this.#isJoined;
    if (own !== undefined) this.#membership = own;
    if (wasJoined) this.#show(delta, said);
    else if (this.#isJoined) void this.reload();
    else if (own !== undefined) this.#showMembers([[this.user!, own]]);
  }

  #show(delta: Delta<"events">, said: readonly (readonly [user: string, membership: string])[]): void {
    if (delta.kind === "state") this.#showMembers(said);
    else if (delta.kind === "live" || this.user === undefined) {
      for (const [user, membership] of said) this.#members.set(user, membership);
      this.#showEvents(delta.kind, delta.events);
    } else {
      void this.#showVisible(delta.kind, delta.events);
    }
  }

  #showMembers(said: readonly (readonly [user: string, membership: string])[]): void {
    for (const [user, membership] of said) this.#members.set(user, membership);
    this.#feed.notify({ kind: "members", members: Object.fromEntries(said) });
  }

  #showEvents(arrival: EventArrival, events: readonly OrderedEvent[]): void {
    for (const event of events) this.note(event);
    this.trim(ROOM_EVENTS_MAX);
    this.#feed.notify({ kind: "events", arrival, events });
  }

  /** Of older events, a user may see only some: the workers say which. Their orders follow each other (F1). */
  async #showVisible(arrival: EventArrival, events: readonly OrderedEvent[]): Promise<void> {
    const logs = this.#logs;
    const orders = events.map(({ unsigned }) => unsigned.order);
    const to = Math.min(...orders) - 1;
    const visible: OrderedEvent[] = [];
    try {
      for (let from: number | undefined = Math.max(...orders) + 1; from !== undefined; ) {
        const page: Answer<"events"> = await this.#options.events({
          dir: "b",
          viewer: this.user!,
          limit: EVENTS_PAGE_MAX,
          from,
          to,
        });
        visible.push(...page.events);
        from = page.next;
      }
    } catch {
      // Nobody answers: a snapshot has the newest of them.
      return this.reload();
    }
    if (this.#isJoined && logs === this.#logs && visible.length > 0) this.#showEvents(arrival, visible);
  }

  #receivePrivate({ event, fully_read: fullyRead, position }: Delta<"private">): void {
    if (event !== undefined) this.apply(event.content);
    const isNewer = fullyRead !== undefined && this.fullyRead(this.#options.user!, fullyRead, position);
    if (event === undefined && !isNewer) return;
    this.#feed.notify({ kind: "private", ...(event && { content: event.content }), ...(isNewer && { fullyRead }) });
  }
}
