/**
 * Sync front-ends that read during faults, with the library that real ones use: one view per room and user, built from
 * a snapshot and deltas, and from a new snapshot when a delta is missing.
 */
import { setTimeout as delay } from "node:timers/promises";
import * as assert from "uvu/assert";
import type { Frontend } from "../../src/frontend/frontend.ts";
import { connect, type RoomView } from "../../src/frontend/index.ts";
import { type SeenMarkers, uncovered } from "../support/delta-reader.ts";

const SETTLE_LIMIT_MS = 30_000;
const POLL_MS = 50;

/** The markers of a room that a user may see: all public ones, and the private ones of this user. */
export type MarkersFor = (room: string, user: string) => SeenMarkers;

export class Readers implements AsyncDisposable {
  /** How often a view loaded a new snapshot because deltas were missing. */
  reloads = 0;
  readonly #frontend: Frontend;
  readonly #views: RoomView[] = [];

  private constructor(frontend: Frontend) {
    this.#frontend = frontend;
  }

  /** Retries until it is connected, because it may start during a fault. */
  static async start(nats: string, rooms: readonly string[], users: readonly string[]): Promise<Readers> {
    const readers = new Readers(await persistently(() => connect({ nats })));
    try {
      for (const room of rooms) {
        for (const userId of users) {
          const view = await persistently(() => readers.#frontend.room(room, { userId }));
          readers.#views.push(view);
          view.subscribe(({ kind }) => {
            if (kind === "snapshot") readers.reloads++;
          });
        }
      }
      return readers;
    } catch (error) {
      await readers[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Waits until every view shows the wanted markers and no others. Fails if one does not. */
  async assertShow(wanted: MarkersFor): Promise<void> {
    const deadline = performance.now() + SETTLE_LIMIT_MS;
    for (const view of this.#views) {
      const markers = uncovered(wanted(view.room, view.user!));
      while (JSON.stringify(shownBy(view)) !== JSON.stringify(markers) && performance.now() < deadline) {
        await delay(POLL_MS);
      }
      assert.equal(shownBy(view), markers, `${view.room}: the markers that a reader shows to ${view.user}`);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#frontend[Symbol.asyncDispose]();
  }
}

function shownBy(view: RoomView) {
  const markers: SeenMarkers = new Map();
  for (const { user, type, thread, event, order, ts } of view.markers) {
    markers.set(`${user} ${type} ${thread ?? ""}`, { event, order, ts });
  }
  return uncovered(markers);
}

async function persistently<T>(attempt: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + SETTLE_LIMIT_MS;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await delay(POLL_MS);
    }
  }
}
