/**
 * The activation of a room that is not in memory. Two times from the same start, of every room once, in a newly opened
 * store (its pages are in the page cache):
 *
 *     `Rooms` gets a receipt ──▶ actor, room record and held receipts loaded, event and marker looked up, folded
 *     ──▶ a snapshot's state gathered: all markers as content, members, orders (the bodies come from the log, later)
 */
import { join } from "node:path";
import { receiptEvent } from "../../actors/partition/changes.ts";
import { Rooms } from "../../actors/room/rooms.ts";
import { ENTRIES_PER_RECORD_MAX } from "../../src/limits.ts";
import { LONG_AGO, liveEvent, receipt, roomOf } from "../entries.ts";
import { percentile } from "../stats.ts";
import { openStore, StoreWriter } from "../stored-room.ts";
import type { Measured, Trial } from "../trial.ts";

const EVENTS = 100;
const ROOMS_BY_MARKERS = {
  full: { 1: 2_000, 100: 2_000, 10000: 200 },
  quick: { 1: 500, 100: 500, 10000: 20 },
} as const;

export const activation: Trial = {
  id: "activation",
  measure: async ({ scale, dir }) => {
    const measured: Measured[] = [];
    for (const [markers, rooms] of Object.entries(ROOMS_BY_MARKERS[scale])) {
      measured.push(...(await withMarkers(Number(markers), rooms, join(dir, markers))));
    }
    return measured;
  },
};

async function withMarkers(markers: number, count: number, dir: string): Promise<Measured[]> {
  const written = await openStore(dir);
  const writer = new StoreWriter(written);
  for (let n = 0; n < count; n++) {
    for (let event = 0; event < EVENTS; event++) writer.fold(roomOf(n), liveEvent(event));
    for (let user = 0; user < markers; user++) writer.fold(roomOf(n), receipt(user, user % (EVENTS - 1)));
  }
  writer.commit();
  await written.close();

  const store = await openStore(dir);
  const failed = (error: unknown) => {
    throw error;
  };
  const rooms = new Rooms({
    store,
    folded: () => {},
    failed,
    max: count,
    idleMs: Number.POSITIVE_INFINITY,
    now: () => performance.now(),
  });
  const first: number[] = [];
  const snapshot: number[] = [];
  let sequence = Math.ceil(writer.position / ENTRIES_PER_RECORD_MAX) + 1;
  for (let n = 0; n < count; n++) {
    const room = roomOf(n);
    const entries = [receipt(n % markers, EVENTS - 1)];
    const started = performance.now();
    rooms.deliver([{ partition: 0, room, record: { sequence: sequence++, at: LONG_AGO, entries } }]);
    first.push(performance.now() - started);
    const active = rooms.get(room);
    const shown = receiptEvent(active.markers).content;
    active.memberships();
    active.timeline.slice();
    snapshot.push(performance.now() - started);
    if (Object.keys(shown).length === 0) throw new Error("a snapshot shows no markers");
  }
  await store.close();
  const of = `a cold room with ${markers.toLocaleString("en")} markers`;
  return [
    ...percentiles(`activation_${markers}`, `activation of ${of}: first receipt folded`, first),
    ...percentiles(`activation_snapshot_${markers}`, `activation of ${of}: and a snapshot's state gathered`, snapshot),
  ];
}

function percentiles(id: string, title: string, times: readonly number[]): Measured[] {
  const sorted = Float64Array.from(times).sort();
  return [50, 99].map((percent) => ({
    id: `${id}_p${percent}`,
    title: `${title}, p${percent}`,
    unit: "ms",
    values: [percentile(sorted, percent)],
  }));
}
