/**
 * The markers of one user in a room. They are looked up by slot, so that a user with ten thousand threads costs no more per receipt
 * than a user with one.
 */
import type { ThreadId } from "../../src/matrix/ids.ts";
import { READING_TYPES, type ReceiptType } from "../../src/matrix/receipt-types.ts";
import type { Order } from "../entry.ts";
import type { Marker } from "./marker.ts";

const NONE: readonly Marker[] = [];

/** Changes of one user that a count of unread events can go on over. */
const CHANGES_MAX = 8;

interface Change {
  version: number;
  /** null: all threads. */
  readonly thread: ThreadId | null;
}

/** Most users have one or two: a list costs a fraction of what maps cost. */
const LISTED_MAX = 8;

/** Markers of one user, all with a known thread or all inferred. Looked up by slot, whatever their number. */
class MarkerSet {
  #listed: Marker[] = [];
  /** Of each thread one marker a type. undefined while all are listed. */
  #byThread: Map<ThreadId | null, Marker[]> | undefined;

  get(type: ReceiptType, thread: ThreadId | null): Marker | undefined {
    for (const marker of this.#near(thread)) if (marker.type === type && marker.thread === thread) return marker;
    return undefined;
  }

  *[Symbol.iterator](): Generator<Marker> {
    if (this.#byThread === undefined) yield* this.#listed;
    else for (const markers of this.#byThread.values()) yield* markers;
  }

  set(marker: Marker): void {
    this.delete(marker);
    if (this.#byThread === undefined && this.#listed.length === LISTED_MAX) {
      const listed = this.#listed;
      this.#listed = [];
      this.#byThread = new Map();
      for (const marker of listed) this.#add(this.#byThread, marker);
    }
    if (this.#byThread === undefined) this.#listed.push(marker);
    else this.#add(this.#byThread, marker);
  }

  #add(byThread: Map<ThreadId | null, Marker[]>, marker: Marker): void {
    const together = byThread.get(marker.thread);
    if (together === undefined) byThread.set(marker.thread, [marker]);
    else together.push(marker);
  }

  delete({ type, thread }: Marker): void {
    const markers = this.#near(thread);
    const at = markers.findIndex((marker) => marker.type === type && marker.thread === thread);
    if (at >= 0) markers.splice(at, 1);
    if (markers.length === 0) this.#byThread?.delete(thread);
  }

  /** Markers among which those of a thread are. */
  #near(thread: ThreadId | null): Marker[] {
    return this.#byThread === undefined ? this.#listed : (this.#byThread.get(thread) ?? []);
  }
}

/** The markers of one user. */
export class UserMarkers {
  readonly #known = new MarkerSet();
  /** undefined until the first one: few users have inferred markers. */
  #inferred: MarkerSet | undefined;
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
    yield* this.#known;
    if (this.#inferred !== undefined) yield* this.#inferred;
  }

  /** The marker whose thread is known. */
  get(type: ReceiptType, thread: ThreadId | null): Marker | undefined {
    return this.#known.get(type, thread);
  }

  inferred(type: ReceiptType, thread: ThreadId): Marker | undefined {
    return this.#inferred?.get(type, thread);
  }

  /** A marker of this type that covers an event of this thread and order. `inferred`: whether an inferred one counts. Default: true. */
  covering(
    type: ReceiptType,
    thread: ThreadId,
    { order, inferred = true }: { readonly order: Order; readonly inferred?: boolean },
  ): Marker | undefined {
    const near = [this.get(type, null), this.get(type, thread), inferred ? this.inferred(type, thread) : undefined];
    return near.find((marker) => marker !== undefined && marker.order >= order);
  }

  /** The inferred markers that this one covers. */
  superseded({ type, thread, order }: Marker): readonly Marker[] {
    if (this.#inferred === undefined) return NONE;
    const candidates = thread === null ? [...this.#inferred] : [this.#inferred.get(type, thread)];
    return candidates.filter((marker) => marker?.type === type && marker.order <= order) as Marker[];
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
    if (marker.inferred) this.#inferred ??= new MarkerSet();
    (marker.inferred ? this.#inferred! : this.#known).set(marker);
  }

  delete(marker: Marker): void {
    (marker.inferred ? this.#inferred : this.#known)?.delete(marker);
  }

  /** Called when what the user has read in a thread (null: in all of them) has changed. */
  changed(version: number, thread: ThreadId | null): void {
    this.#version = version;
    this.#changes ??= [];
    const last = this.#changes.at(-1);
    if (last?.thread === thread) {
      last.version = version;
      return;
    }
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
