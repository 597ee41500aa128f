/**
 * The markers of a room: one per (user, type, thread). `room-markers.ts` adds a store.
 *
 * Beside them are inferred markers, of receipts whose thread is unknown (`fold-receipt.ts`): they never replace a marker whose thread
 * is known, and are removed as soon as one of those covers them.
 */
import type { ThreadId, UserId } from "../../src/matrix/ids.ts";
import type { ReceiptType } from "../../src/matrix/receipt-types.ts";
import type { Position } from "../entry.ts";
import type { Marker } from "./marker.ts";
import { UserMarkers } from "./user-markers.ts";

export class Markers {
  protected readonly users = new Map<UserId, UserMarkers>();
  /** Markers in memory. */
  protected count = 0;
  #version = 0;

  of(user: UserId): UserMarkers {
    let markers = this.users.get(user);
    if (markers === undefined) {
      const stored = this.stored(user);
      markers = new UserMarkers(this.#version, stored);
      this.users.set(user, markers);
      this.count += stored.length;
    }
    return markers;
  }

  /** The marker whose thread is known. */
  get(user: UserId, type: ReceiptType, thread: ThreadId | null): Marker | undefined {
    return this.of(user).get(type, thread);
  }

  /** Adds a marker to those of its user. It replaces the inferred ones that it covers, unless it is inferred itself. */
  add(own: UserMarkers, marker: Marker): void {
    this.count++;
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

  /** Removes all markers of a user. Returns them. */
  removeAll(user: UserId): readonly Marker[] {
    const own = this.of(user);
    const removed = [...own];
    for (const marker of removed) {
      own.delete(marker);
      this.count--;
      this.deleted(marker);
    }
    own.changed(++this.#version, null);
    return removed;
  }

  /** Called when something other than a marker has changed what a user has read in a thread (null: in all of them). */
  touch(user: UserId, thread: ThreadId | null): void {
    const version = ++this.#version; // grows for a user who isn't in memory, too
    this.users.get(user)?.changed(version, thread);
  }

  *[Symbol.iterator](): Generator<Marker> {
    for (const markers of this.users.values()) yield* markers;
  }

  /** What the store has of a user who isn't in memory. */
  protected stored(_user: UserId): readonly Marker[] {
    return [];
  }

  /** `before`: where the marker stood; 0 for a new one. */
  protected changed(_marker: Marker, _before: Position): void {}

  protected deleted(_marker: Marker): void {}

  #moved(own: UserMarkers, marker: Marker, before: Position): void {
    this.changed(marker, before);
    if (marker.inferred === undefined) {
      for (const other of own.superseded(marker)) {
        own.delete(other);
        this.count--;
        this.deleted(other);
      }
    }
    own.changed(++this.#version, marker.thread);
  }
}
