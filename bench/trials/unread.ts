/**
 * The unread count of a user who is so many events behind, in a room of more than a million. Cold: the room is not in
 * memory, so it is activated first. Warm: asked again.
 */
import { join } from "node:path";
import { Rooms } from "../../actors/rooms.ts";
import { UNREAD_COUNT_MAX } from "../../src/limits.ts";
import { liveEvent, receipt, roomOf, userOf } from "../entries.ts";
import { openStore, StoreWriter } from "../stored-room.ts";
import type { Measured, Trial } from "../trial.ts";

const BEHIND = { full: [10, 10_000, 1_000_000], quick: [10, 10_000, 100_000] };
const ROOM = roomOf(0);
/** Events before the oldest marker. */
const BEFORE = 10;

export const unread: Trial = {
  id: "unread",
  measure: async ({ scale, dir }) => {
    const behind = BEHIND[scale];
    const events = Math.max(...behind) + BEFORE;
    const store = await openStore(join(dir, "unread"));
    const writer = new StoreWriter(store);
    for (let n = 0; n < events; n++) writer.fold(ROOM, liveEvent(n));
    for (const [user, count] of behind.entries()) writer.fold(ROOM, receipt(user, events - count - 1));
    writer.commit();
    await store.close();
    const opened = await openStore(join(dir, "unread"));
    const cold = behind.map((): number[] => []);
    const warm = behind.map((): number[] => []);
    for (let n = -20; n < (scale === "full" ? 200 : 50); n++) {
      for (const [user, count] of behind.entries()) {
        const rooms = new Rooms({
          store: opened,
          folded: () => {},
          failed: () => {},
          max: 1,
          idleMs: Number.POSITIVE_INFINITY,
          now: () => performance.now(),
        });
        for (const values of [cold, warm]) {
          const started = performance.now();
          const room = rooms.get(ROOM);
          const { unthreaded } = room.unread.count(userOf(user), room.markers);
          const elapsed = performance.now() - started;
          if (unthreaded !== Math.min(count, UNREAD_COUNT_MAX)) throw new Error(`${unthreaded} unread, not ${count}`);
          if (n >= 0) values[user]!.push(elapsed);
        }
      }
    }
    await opened.close();
    return [
      ...behind.map((count, i) => figure("cold", count, cold[i]!)),
      ...behind.map((count, i) => figure("warm", count, warm[i]!)),
    ];
  },
};

function figure(how: "cold" | "warm", behind: number, values: readonly number[]): Measured {
  const title = `unread count, ${behind.toLocaleString("en")} events behind, room ${how}`;
  return { id: `unread_${how}_${behind}`, title, unit: "ms", values };
}
