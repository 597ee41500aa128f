/**
 * The unread count of a user who is this many events behind, in a room of more than a million events. Cold: the room is
 * not in memory, so it is activated first. Warm: the same query again. Then the count of a user who has read nothing,
 * in a room of many threads, after each new event: counted in full, and incrementally from the previous count.
 */
import { join } from "node:path";
import { LIVE } from "../../actors/entry.ts";
import { fold } from "../../actors/room/fold.ts";
import { Rooms } from "../../actors/room/rooms.ts";
import type { Counting } from "../../actors/room/unread.ts";
import { UNREAD_COUNT_MAX } from "../../src/limits.ts";
import type { MatrixEvent } from "../../src/matrix/event.ts";
import { liveEvent, receipt, roomOf, userOf } from "../entries.ts";
import { eventId, eventOf } from "../numbered.ts";
import { openStore, StoreWriter } from "../stored-room.ts";
import type { Measured, Trial } from "../trial.ts";

const BEHIND = { full: [10, 10_000, 1_000_000], quick: [10, 10_000, 100_000] };
const ROOM = roomOf(0);
const THREADS = 10_000;
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
          const { unthreaded } = room.unreadCounts(userOf(user));
          const elapsed = performance.now() - started;
          if (unthreaded !== Math.min(count, UNREAD_COUNT_MAX)) throw new Error(`${unthreaded} unread, not ${count}`);
          if (n >= 0) values[user]!.push(elapsed);
        }
      }
    }
    await opened.close();
    const { full, incremental } = await manyThreads(join(dir, "threads"), scale);
    return [
      ...behind.map((count, i) => figure("cold", count, cold[i]!)),
      ...behind.map((count, i) => figure("warm", count, warm[i]!)),
      {
        id: "unread_threads",
        title: `unread count, ${THREADS.toLocaleString("en")} unread threads`,
        unit: "ms",
        values: full,
      },
      {
        id: "unread_threads_further",
        title: "the same, incrementally from the previous count",
        unit: "ms",
        values: incremental,
      },
    ];
  },
};

/** Folds two events per thread, and then one event at a time. */
async function manyThreads(dir: string, scale: "full" | "quick") {
  const store = await openStore(dir);
  const writer = new StoreWriter(store);
  const threaded = (n: number) => {
    const relation = { rel_type: "m.thread", event_id: eventId(n % THREADS) };
    return [LIVE, { ...eventOf(n), content: { "m.relates_to": relation } } as unknown as MatrixEvent] as const;
  };
  for (let n = 0; n < THREADS * 2; n++) writer.fold(ROOM, threaded(n));
  writer.commit();
  const room = store.load(ROOM);
  const [full, incremental]: [number[], number[]] = [[], []];
  let before: Counting | undefined;
  for (let n = -5; n < (scale === "full" ? 50 : 10); n++) {
    fold(room, writer.position + n + 5, threaded(THREADS * 2 + n + 5));
    for (const [values, from] of [
      [full, undefined],
      [incremental, before],
    ] as const) {
      const started = performance.now();
      before = room.unread.counting(room.readingOf(userOf(0)), from);
      if (n >= 0) values.push(performance.now() - started);
    }
  }
  await store.close();
  return { full, incremental };
}

function figure(how: "cold" | "warm", behind: number, values: readonly number[]): Measured {
  const title = `unread count, ${behind.toLocaleString("en")} events behind, room ${how}`;
  return { id: `unread_${how}_${behind}`, title, unit: "ms", values };
}
