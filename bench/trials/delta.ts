/**
 * One delta: a receipt of a random member is folded, and its change is added, taken, and encoded as a message. All
 * members have a marker. Once with the room in memory, as the fold keeps it, which shows the cost of size alone. Once
 * over a store with all markers, of which memory has 1,024, which shows the cost of reading them, too.
 */
import { join } from "node:path";
import { type Entry, sequenceOf } from "../../actors/entry.ts";
import { Changes } from "../../actors/partition/changes.ts";
import { fold } from "../../actors/room/fold.ts";
import { Room } from "../../actors/room/room.ts";
import type { PartitionStore } from "../../src/store/partition-store.ts";
import { markerMessages } from "../../src/worker/delta-messages.ts";
import { LONG_AGO, liveEvent, receipt, roomOf } from "../entries.ts";
import { openStore, StoreWriter } from "../stored-room.ts";
import type { Measured, Trial, TrialContext } from "../trial.ts";

const MEMBERS = [100, 10_000, 100_000];
const ROOM = roomOf(0);
/** How many deltas are timed together. */
const BATCH = 2_000;
/** A prime that divides no size, so it reaches all members, in an order that has little to do with theirs. */
const STRIDE = 7_919;

export const delta: Trial = {
  id: "delta",
  measure: async (context) => [...(await inMemory(context)), ...(await overStore(context))],
};

interface Bench {
  readonly members: number;
  readonly room: Room;
  readonly store?: PartitionStore;
  position: number;
  /** How many events were folded so far. */
  events: number;
  /** Determines the next member. */
  next: number;
}

async function inMemory({ scale }: TrialContext): Promise<Measured[]> {
  const benches = MEMBERS.map((members): Bench => {
    const room = new Room(ROOM, 0);
    let position = 1;
    fold(room, position++, liveEvent(0));
    for (let user = 0; user < members; user++) fold(room, position++, receipt(user, 0));
    return { members, room, position, events: 1, next: 0 };
  });
  return rounds("delta", "room in memory", benches, scale === "full" ? 15 : 5);
}

async function overStore({ scale, dir }: TrialContext): Promise<Measured[]> {
  const closing: (() => Promise<void>)[] = [];
  const benches: Bench[] = [];
  for (const members of MEMBERS) {
    const store = await openStore(join(dir, `delta-${members}`));
    closing.push(() => store.close());
    const writer = new StoreWriter(store);
    writer.fold(ROOM, liveEvent(0));
    for (let user = 0; user < members; user++) writer.fold(ROOM, receipt(user, 0));
    writer.commit();
    benches.push({ members, room: store.load(ROOM), store, position: writer.position, events: 1, next: 0 });
  }
  // A checkpoint is not part of a delta, but it determines what stays in memory.
  const commit = ({ room, store, position }: Bench) => {
    const mark = { sequence: sequenceOf(position), room: ROOM, at: LONG_AGO, entries: 1 };
    store?.commit(store.collect([room], mark));
  };
  const measured = rounds("delta_stored", "markers in the store", benches, scale === "full" ? 15 : 5, commit);
  for (const close of closing) await close();
  return measured;
}

function rounds(
  id: string,
  how: string,
  benches: readonly Bench[],
  count: number,
  after: (bench: Bench) => void = () => {},
): Measured[] {
  const values = benches.map((): number[] => []);
  for (let n = -2; n < count; n++) {
    for (const [i, bench] of benches.entries()) {
      const us = batch(bench);
      after(bench);
      if (n >= 0) values[i]!.push(us);
    }
  }
  const costs = benches.map(
    ({ members }, i): Measured => ({
      id: `${id}_${members}`,
      title: `one delta in a room of ${members.toLocaleString("en")} members, ${how}`,
      unit: "µs",
      values: values[i]!,
    }),
  );
  const ratios = benches.slice(1).map(
    ({ members }, i): Measured => ({
      id: `${id}_${members}_to_${MEMBERS[0]}`,
      title: `one delta, ${how}: ${members.toLocaleString("en")} members : ${MEMBERS[0]}`,
      unit: "×",
      values: values[i + 1]!.map((us, n) => us / values[0]![n]!),
    }),
  );
  return [...costs, ...ratios];
}

/**
 * Returns the mean cost of a delta in µs. Whenever all members have read the newest event, the next one is folded,
 * which is not timed.
 */
function batch(bench: Bench): number {
  const { room, members } = bench;
  const changes = new Changes();
  let elapsed = 0;
  for (let left = BATCH; left > 0; ) {
    if (bench.next === 0) fold(room, bench.position++, liveEvent(bench.events++));
    const count = Math.min(left, members - bench.next);
    const receipts = Array.from({ length: count }, (_, i) =>
      receipt(((bench.next + i) * STRIDE) % members, bench.events - 1),
    );
    const started = performance.now();
    for (const entry of receipts) makeDelta(room, changes, bench.position++, entry);
    elapsed += performance.now() - started;
    bench.next = (bench.next + count) % members;
    left -= count;
  }
  return (elapsed * 1_000) / BATCH;
}

function makeDelta(room: Room, changes: Changes, position: number, entry: Entry): void {
  const outcome = fold(room, position, entry);
  if (!changes.add(room, { position, at: LONG_AGO, entry, outcome }, false))
    throw new Error("the receipt changed nothing");
  if (markerMessages(0, changes.take(room.id)!).length !== 1) throw new Error("not one message");
}
