/**
 * The time from send to delta, at a steady rate that does not wait for answers. The time of a receipt starts when it is
 * due, so that a stall counts for every receipt that it delays. It ends when both the delta and the reply have arrived.
 */
import type { Case, Load } from "../case.ts";
import { ReceiptLoad } from "../receipt-load.ts";
import { percentile } from "../stats.ts";
import type { World } from "../world.ts";

const RECEIPTS_PER_SECOND = 1_000;
const SIZE = { rooms: 200, events: 100, users: 20 };

const title = (percent: number) =>
  `from send to delta at ${RECEIPTS_PER_SECOND} receipts/s in ${SIZE.rooms} rooms, p${percent}`;

export const latency: Case = {
  id: "latency",
  figures: [
    { id: "latency_p50", title: title(50), unit: "ms" },
    { id: "latency_p99", title: title(99), unit: "ms" },
  ],
  prepare: async ({ url }: World): Promise<Load> => {
    const dueAt = new Float64Array(SIZE.rooms * SIZE.users);
    const times: number[] = [];
    const onDone = (slot: number) => void times.push(performance.now() - dueAt[slot]!);
    const load = await ReceiptLoad.open({ url, size: SIZE, perMessage: 1, onDone });
    return {
      run: async (seconds) => {
        await pace(load, dueAt, seconds);
        await load.settled();
        const sorted = Float64Array.from(times).sort();
        return { latency_p50: percentile(sorted, 50), latency_p99: percentile(sorted, 99) };
      },
      [Symbol.asyncDispose]: () => load[Symbol.asyncDispose](),
    };
  },
};

/** Sends all receipts that are due each time the timer fires, about every millisecond. */
function pace(load: ReceiptLoad, dueAt: Float64Array, seconds: number): Promise<void> {
  const started = performance.now();
  const total = seconds * RECEIPTS_PER_SECOND;
  return new Promise((resolve, reject) => {
    const timer = setInterval(() => {
      const due = Math.min(total, ((performance.now() - started) * RECEIPTS_PER_SECOND) / 1_000);
      while (load.sent < due) {
        const slot = load.sent % load.slots;
        const at = started + (load.sent * 1_000) / RECEIPTS_PER_SECOND;
        if (!load.send()) {
          clearInterval(timer);
          reject(new Error(`a marker's previous receipt is not done yet: Tidemark can't keep up`));
          return;
        }
        dueAt[slot] = at;
      }
      if (load.sent >= total) {
        clearInterval(timer);
        resolve();
      }
    }, 1);
  });
}
