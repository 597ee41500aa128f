/**
 * The markers of a room over a store.
 *
 * A user's markers are loaded together, because a count of unread events asks for most of them, and stored one by one.
 *
 * A reader that has everything up to a position asks what moved after it. In a room with many public markers the store has an index
 * of them by position for that; in a small room all are gone through, because the index costs two more rows whenever a marker moves.
 */
import type { UserId } from "../../src/matrix/ids.ts";
import { isPrivate } from "../../src/matrix/receipt-types.ts";
import type { Position } from "../entry.ts";
import type { Marker } from "./marker.ts";
import { Markers } from "./markers.ts";

/** The markers that a store has. */
export interface StoredMarkers {
  of(user: UserId): Iterable<Marker>;
  all(): Iterable<Marker>;
  /** By the index: public markers that stand at this position or after it, by position. */
  from(position: Position): Iterable<Marker>;
}

/** What a checkpoint writes of a room's markers. */
export interface MarkerWrites {
  set(marker: Marker): void;
  delete(marker: Marker): void;
  /** In the index: a public marker, and where it stands or stood. */
  place(marker: Marker, position: Position): void;
  unplace(marker: Marker, position: Position): void;
}

/** A room that has had more public markers is indexed. */
export const MARKERS_UNINDEXED_MAX = 512;

const NO_MARKERS: readonly Marker[] = [];

export class RoomMarkers extends Markers {
  readonly #stored: StoredMarkers | undefined;
  /** With the position that the store has of each; 0 for a new one. */
  #changed = new Map<Marker, Position>();
  #deleted = new Map<Marker, Position>();
  /** Changed markers that were collected, and are not stored yet. */
  #collected: readonly Marker[] = NO_MARKERS;
  /** How many public markers the room has ever got. */
  #publicGot: number;
  /** Whether the store has the index, or will have it once it has what was collected. */
  readonly #indexed: { stored: boolean; collected: boolean };

  /** `publicGot`: as of the store. */
  constructor(stored?: StoredMarkers, publicGot = 0) {
    super();
    this.#stored = stored;
    this.#publicGot = publicGot;
    const isIndexed = publicGot > MARKERS_UNINDEXED_MAX;
    this.#indexed = { stored: isIndexed, collected: isIndexed };
  }

  get publicGot(): number {
    return this.#publicGot;
  }

  override *[Symbol.iterator](): Generator<Marker> {
    for (const marker of this.#stored?.all() ?? []) if (!this.users.has(marker.user)) yield marker;
    yield* super[Symbol.iterator]();
  }

  /** Public markers that stand at this position or after it, by position. With an index, reads no more than is consumed. */
  *publicFrom(position: Position): Generator<Marker> {
    const recent = [...new Set([...this.#collected, ...this.#changed.keys()])]
      .filter((marker) => isPublicFrom(marker, position) && this.#current(marker) === marker)
      .sort(byPosition);
    let at = 0;
    for (const stored of this.#storedFrom(position)) {
      const marker = this.#current(stored);
      if (marker?.position !== stored.position) continue; // It has moved since, or is deleted.
      while (at < recent.length && recent[at]!.position < marker.position) yield recent[at++]!;
      yield marker;
    }
    while (at < recent.length) yield recent[at++]!;
  }

  /** The marker of this slot as it is now. */
  #current(marker: Marker): Marker | undefined {
    const own = this.users.get(marker.user);
    if (own === undefined) return marker;
    return marker.inferred ? own.inferred(marker.type, marker.thread!) : own.get(marker.type, marker.thread);
  }

  #storedFrom(position: Position): Iterable<Marker> {
    if (this.#stored === undefined) return NO_MARKERS;
    if (this.#indexed.stored) return this.#stored.from(position);
    return [...this.#stored.all()].filter((marker) => isPublicFrom(marker, position)).sort(byPosition);
  }

  /** Writes what changed since the last call. */
  collect(writes: MarkerWrites): void {
    const wasIndexed = this.#indexed.collected;
    const isIndexed = this.#publicGot > MARKERS_UNINDEXED_MAX;
    for (const [marker, stored] of this.#deleted) {
      writes.delete(marker);
      if (wasIndexed && stored > 0 && !isPrivate(marker.type)) writes.unplace(marker, stored);
    }
    for (const [marker, stored] of this.#changed) {
      writes.set(marker);
      if (!wasIndexed || isPrivate(marker.type)) continue;
      if (stored > 0) writes.unplace(marker, stored);
      writes.place(marker, marker.position);
    }
    if (isIndexed && !wasIndexed) {
      for (const marker of this) if (!isPrivate(marker.type)) writes.place(marker, marker.position);
    }
    this.#indexed.collected = isIndexed;
    this.#collected = [...this.#changed.keys()];
    this.#deleted = new Map();
    this.#changed = new Map();
  }

  /** Called when the store has the collected markers. Evicts users, those loaded first, until `hotMax` markers are left. */
  committed(hotMax: number): void {
    this.#collected = NO_MARKERS;
    this.#indexed.stored = this.#indexed.collected;
    if (this.#stored === undefined || this.count <= hotMax) return;
    const unstored = new Set(Array.from([...this.#changed.keys(), ...this.#deleted.keys()], ({ user }) => user));
    for (const [user, markers] of this.users) {
      if (this.count <= hotMax) return;
      if (unstored.has(user)) continue;
      for (const _ of markers) this.count--;
      this.users.delete(user);
    }
  }

  protected override stored(user: UserId): readonly Marker[] {
    return this.#stored === undefined ? NO_MARKERS : [...this.#stored.of(user)];
  }

  protected override changed(marker: Marker, before: Position): void {
    if (before === 0 && !isPrivate(marker.type)) this.#publicGot++;
    if (!this.#changed.has(marker)) this.#changed.set(marker, before);
  }

  protected override deleted(marker: Marker): void {
    this.#deleted.set(marker, this.#changed.get(marker) ?? marker.position);
    this.#changed.delete(marker);
  }
}

function isPublicFrom(marker: Marker, position: Position): boolean {
  return marker.position >= position && !isPrivate(marker.type);
}

function byPosition(a: Marker, b: Marker): number {
  return a.position - b.position;
}
