/**
 * The resident memory of a Tidemark process that has folded this many rooms, once it has settled. `RssFile` is mostly
 * pages of the store that LMDB has mapped. They belong to the page cache, and the kernel takes them back when it needs
 * them.
 */
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { connect } from "nats";
import { startBroker } from "../../src/bus/broker/process.ts";
import { makeLog } from "../entries.ts";
import { startTidemark } from "../node-process.ts";
import { type MemoryField, residentMemory } from "../resident-memory.ts";
import { type Measured, type TrialContext, trialOfSizes } from "../trial.ts";

const ROOMS = { full: [10_000, 100_000, 1_000_000], quick: [2_000, 20_000] };
const SHAPE = { records: 1, events: 2, receipts: 6 };
const POLL_MS = 500;
/** Memory has settled when it stays within 1 % for this many polls. */
const STILL_POLLS = 6;
const POLLS_MAX = 60;
const FIELDS: Record<MemoryField, string> = {
  VmRSS: "all",
  RssAnon: "its own (RssAnon)",
  RssFile: "mapped files (RssFile)",
  VmHWM: "peak",
};

export const memory = trialOfSizes("memory", ROOMS, withRooms);

async function withRooms(rooms: number, { dir, built }: TrialContext): Promise<Measured[]> {
  await using broker = await startBroker({ storeDir: join(dir, `nats-${rooms}`) });
  const nc = await connect({ servers: broker.url });
  await makeLog(nc, { rooms, ...SHAPE });
  await nc.close();
  await using tidemark = await startTidemark({ url: broker.url, data: join(dir, `data-${rooms}`), built });
  const settled = await settledMemory(tidemark.pid);
  return (Object.keys(FIELDS) as MemoryField[]).map((field) => ({
    id: `memory_${rooms}_${field}`,
    title: `resident memory, ${rooms.toLocaleString("en")} rooms folded: ${FIELDS[field]}`,
    unit: "MiB",
    values: [settled[field]],
  }));
}

async function settledMemory(pid: number): Promise<Record<MemoryField, number>> {
  let last = await residentMemory(pid);
  for (let still = 0, polls = 0; still < STILL_POLLS && polls < POLLS_MAX; polls++) {
    await delay(POLL_MS);
    const now = await residentMemory(pid);
    if (Math.abs(now.VmRSS - last.VmRSS) > last.VmRSS / 100) {
      still = 0;
      last = now;
    } else {
      still++;
    }
  }
  return residentMemory(pid);
}
