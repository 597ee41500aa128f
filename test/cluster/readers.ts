/**
 * Sync front-ends that read while things go wrong, with the library that they would use: a view of each room for each
 * user, from a snapshot and deltas, and from another snapshot when a delta is missing.
 */
import { setTimeout as delay } from "node:timers/promises";
import * as assert from "uvu/assert";
import type { Frontend } from "../../src/frontend/frontend.ts";
import { connect, type RoomView } from "../../src/frontend/index.ts";
import { type SeenMarkers, uncovered } from "../support/delta-reader.ts";

const SETTLE_LIMIT_MS = 30_000;
const POLL_MS = 50;

/** The markers of a room that a user may see: everybody's public ones, and all of their own. */
export type MarkersFor = (room: string, user: string) => SeenMarkers;

export class Readers implements AsyncDisposable {
  /** Snapshots that were taken because deltas were missing. */
  reloads = 0;
  readonly #frontend: Frontend;
  readonly #views: RoomView[] = [];

  private constructor(frontend: Frontend) {
    this.#frontend = frontend;
  }

  /** For as long as it takes, as it may begin amid a fault. */
  static async start(nats: string, rooms: readonly string[], users: readonly string[]): Promise<Readers> {
    const readers = new Readers(await persistently(() => connect({ nats })));
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
  }

  /** Every view comes to show what it should, and nothing else. */
  async assertShow(wanted: MarkersFor): Promise<void> {
    const deadline = performance.now() + SETTLE_LIMIT_MS;
    for (const view of this.#views) {
      const markers = uncovered(wanted(view.room, view.user!));
      while (JSON.stringify(shownBy(view)) !== JSON.stringify(markers) && performance.now() < deadline) {
        await delay(POLL_MS);
      }
      assert.equal(shownBy(view), markers, `${view.room}: what a reader shows to ${view.user}`);
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
