/**
 * The markers of a room: one per (user, type, thread).
 *
 * Beside them are inferred markers, of receipts whose thread is unknown (`fold-receipt.ts`): they never replace a marker whose thread
 * is known, and are removed as soon as one of those covers them.
 *
 * A user's markers are loaded together, because a count of unread events asks for most of them. They are looked up by slot, and
 * stored by slot, so that a user with ten thousand threads costs no more per receipt than a user with one.
 *
 * Public markers are indexed by position, too: a reader that has everything up to a position reads what moved after it, and nothing
 * else.
 */

import type { EventId, ThreadId, UserId } from "../../src/matrix/ids.ts";
import { isPrivate, READING_TYPES, type ReceiptType } from "../../src/matrix/receipt-types.ts";
import type { Order, Position } from "../entry.ts";

export interface Marker {
  readonly user: UserId;
  readonly type: ReceiptType;
  /** null: unthreaded. */
  readonly thread: ThreadId | null;
  event: EventId;
  /** The event's own order, not clamped. */
  order: Order;
  /** Unix time in ms, as the receipt says. */
  ts: number;
  /** The entry that moved the marker here: the receipt, or the event that released it. */
  position: Position;
  /** Its receipt's thread is unknown: `thread` is the event's. */
  readonly inferred?: true;
}

/** F8. The order that a receipt shows for the event it points at. */
export function publishedOrder(marker: Marker): Order {
  return Math.max(0, marker.order);
}

/** The markers that a store has. */
export interface StoredMarkers {
  of(user: UserId): Iterable<Marker>;
  all(): Iterable<Marker>;
  /** Public markers that stand at this position or after it, by position. */
  from(position: Position): Iterable<Marker>;
}

/** Changes of one user that a count of unread events can go on over. */
const CHANGES_MAX = 8;

interface Change {
  readonly version: number;
  /** null: all threads. */
  readonly thread: ThreadId | null;
}

type ByThread = Map<ThreadId | null, Marker>;

/** The markers of one user. */
export class UserMarkers {
  readonly #known = new Map<ReceiptType, ByThread>();
  /** undefined until the first one: few users have inferred markers. */
  #inferred: Map<ReceiptType, ByThread> | undefined;
  readonly #since: number;
  /** undefined if nothing changed since the markers were loaded. */
  #changes: Change[] | undefined;
  #version: number;

  constructor(version: number, markers: Iterable<Marker>) {
    this.#since = version;
    this.#version = version;
    for (const marker of markers) this.set(marker);
  }

  /** Grows with every change of what the user has read. */
  get version(): number {
    return this.#version;
  }

  *[Symbol.iterator](): Generator<Marker> {
    for (const byThread of this.#known.values()) yield* byThread.values();
    for (const byThread of this.#inferred?.values() ?? []) yield* byThread.values();
  }

  /** The marker whose thread is known. */
  get(type: ReceiptType, thread: ThreadId | null): Marker | undefined {
    return this.#known.get(type)?.get(thread);
  }

  inferred(type: ReceiptType, thread: ThreadId): Marker | undefined {
    return this.#inferred?.get(type)?.get(thread);
  }

  /** A marker of this type that covers an event of this thread and order. */
  covering(type: ReceiptType, thread: ThreadId, order: Order): Marker | undefined {
    return [this.get(type, null), this.get(type, thread), this.inferred(type, thread)].find(
      (marker) => marker !== undefined && marker.order >= order,
    );
  }

  /** The inferred markers that this one covers. */
  superseded({ type, thread, order }: Marker): readonly Marker[] {
    const byThread = this.#inferred?.get(type);
    if (byThread === undefined) return NO_MARKERS;
    const candidates = thread === null ? [...byThread.values()] : [byThread.get(thread)];
    return candidates.filter((marker) => marker !== undefined && marker.order <= order) as Marker[];
  }

  /**
   * F12, the part that markers decide: the greatest order that the user has read up to in a thread (unthreaded receipts count
   * there too), or in all threads (null). −∞ without a marker.
   */
  readUpTo(thread: ThreadId | null): Order {
    let upTo = Number.NEGATIVE_INFINITY;
    for (const type of READING_TYPES) {
      upTo = Math.max(upTo, this.get(type, null)?.order ?? upTo);
      if (thread === null) continue;
      upTo = Math.max(upTo, this.get(type, thread)?.order ?? upTo, this.inferred(type, thread)?.order ?? upTo);
    }
    return upTo;
  }

  set(marker: Marker): void {
    const { type, thread } = marker;
    if (marker.inferred) this.#inferred ??= new Map();
    const types = marker.inferred ? this.#inferred! : this.#known;
    const byThread = types.get(type);
    if (byThread === undefined) types.set(type, new Map([[thread, marker]]));
    else byThread.set(thread, marker);
  }

  delete({ type, thread, inferred }: Marker): void {
    (inferred ? this.#inferred : this.#known)?.get(type)?.delete(thread);
  }

  /** Called when what the user has read in a thread (null: in all of them) has changed. */
  changed(version: number, thread: ThreadId | null): void {
    this.#version = version;
    this.#changes ??= [];
    this.#changes.push({ version, thread });
    if (this.#changes.length > CHANGES_MAX) this.#changes.shift();
  }

  /** Returns the threads that changed since a version; undefined if all did, or if that is no longer known. */
  changedSince(version: number): readonly ThreadId[] | undefined {
    if (version === this.#version) return [];
    const first = this.#changes?.[0];
    if (this.#changes === undefined || version < this.#since || first === undefined) return undefined;
    if (this.#changes.length === CHANGES_MAX && version < first.version) return undefined;
    const threads: ThreadId[] = [];
    for (const change of this.#changes) {
      if (change.version <= version) continue;
      if (change.thread === null) return undefined;
      threads.push(change.thread);
    }
    return threads;
  }
}

const NO_MARKERS: readonly Marker[] = [];

export class Markers {
  readonly #users = new Map<UserId, UserMarkers>();
  readonly #stored: StoredMarkers | undefined;
  /** With the position that the store has of each; 0 for a new one. */
  #changed = new Map<Marker, Position>();
  #deleted = new Map<Marker, Position>();
  /** Changed markers that were collected, and are not stored yet. */
  #collected: readonly Marker[] = NO_MARKERS;
  /** Markers in memory. */
  #count = 0;
  #version = 0;

  constructor(stored?: StoredMarkers) {
    this.#stored = stored;
  }

  of(user: UserId): UserMarkers {
    let markers = this.#users.get(user);
    if (markers === undefined) {
      const stored = this.#stored === undefined ? NO_MARKERS : [...this.#stored.of(user)];
      markers = new UserMarkers(this.#version, stored);
      this.#users.set(user, markers);
      this.#count += stored.length;
    }
    return markers;
  }

  /** The marker whose thread is known. */
  get(user: UserId, type: ReceiptType, thread: ThreadId | null): Marker | undefined {
    return this.of(user).get(type, thread);
  }

  /** Adds a marker to those of its user. It replaces the inferred ones that it covers, unless it is inferred itself. */
  add(own: UserMarkers, marker: Marker): void {
    this.#count++;
    own.set(marker);
    this.#moved(own, marker, 0);
  }

  /** Moves a marker of the user's to another event. */
  move(own: UserMarkers, marker: Marker, to: Pick<Marker, "event" | "order" | "ts" | "position">): void {
    const before = marker.position;
    marker.event = to.event;
    marker.order = to.order;
    marker.ts = to.ts;
    marker.position = to.position;
    this.#moved(own, marker, before);
  }

  /** Called when something other than a marker has changed what a user has read in a thread (null: in all of them). */
  touch(user: UserId, thread: ThreadId | null): void {
    const version = ++this.#version; // grows for a user who isn't in memory, too
    this.#users.get(user)?.changed(version, thread);
  }

  *[Symbol.iterator](): Generator<Marker> {
    for (const marker of this.#stored?.all() ?? []) if (!this.#users.has(marker.user)) yield marker;
    for (const markers of this.#users.values()) yield* markers;
  }

  /** Public markers that stand at this position or after it, by position. Reads no more than is consumed. */
  *publicFrom(position: Position): Generator<Marker> {
    const recent = [...new Set([...this.#collected, ...this.#changed.keys()])]
      .filter((marker) => !isPrivate(marker.type) && marker.position >= position && this.#current(marker) === marker)
      .sort((a, b) => a.position - b.position);
    let at = 0;
    for (const stored of this.#stored?.from(position) ?? []) {
      const marker = this.#current(stored);
      if (marker?.position !== stored.position) continue; // It has moved since, or is deleted.
      while (at < recent.length && recent[at]!.position < marker.position) yield recent[at++]!;
      yield marker;
    }
    while (at < recent.length) yield recent[at++]!;
  }

  /** The marker of this slot as it is now. */
  #current(marker: Marker): Marker | undefined {
    const own = this.#users.get(marker.user);
    if (own === undefined) return marker;
    return marker.inferred ? own.inferred(marker.type, marker.thread!) : own.get(marker.type, marker.thread);
  }

  /** Calls back with each marker that was deleted, and each that changed, since the last call, and the position that the store has. */
  collect(
    deleted: (marker: Marker, stored: Position) => void,
    changed: (marker: Marker, stored: Position) => void,
  ): void {
    for (const [marker, stored] of this.#deleted) deleted(marker, stored);
    for (const [marker, stored] of this.#changed) changed(marker, stored);
    this.#collected = [...this.#changed.keys()];
    this.#deleted = new Map();
    this.#changed = new Map();
  }

  /** Called when the store has the collected markers. Evicts users, those loaded first, until `hotMax` markers are left. */
  committed(hotMax: number): void {
    this.#collected = NO_MARKERS;
    if (this.#stored === undefined || this.#count <= hotMax) return;
    const unstored = new Set(Array.from([...this.#changed.keys(), ...this.#deleted.keys()], ({ user }) => user));
    for (const [user, markers] of this.#users) {
      if (this.#count <= hotMax) return;
      if (unstored.has(user)) continue;
      for (const _ of markers) this.#count--;
      this.#users.delete(user);
    }
  }

  #moved(own: UserMarkers, marker: Marker, before: Position): void {
    if (!this.#changed.has(marker)) this.#changed.set(marker, before);
    if (marker.inferred === undefined) {
      for (const other of own.superseded(marker)) {
        own.delete(other);
        this.#count--;
        this.#deleted.set(other, this.#changed.get(other) ?? other.position);
        this.#changed.delete(other);
      }
    }
    own.changed(++this.#version, marker.thread);
  }
}
