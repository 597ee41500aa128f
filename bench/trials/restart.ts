/**
 * The time from the start of the process to its `ready` line, with everything in its store. The broker runs, and the
 * pages of the store are in the page cache. Node's own start is included, so an empty log is measured for comparison.
 */
import { join } from "node:path";
import { connect } from "nats";
import { startBroker } from "../../src/bus/broker/process.ts";
import { entriesOf, type LogShape, makeLog } from "../entries.ts";
import { startTidemark } from "../node-process.ts";
import type { Measured, Trial, TrialContext } from "../trial.ts";

const PER_RECORD = { events: 4, receipts: 60 };
const RECORDS = 16;
const ENTRIES = { full: [0, 1_000_000, 10_000_000], quick: [0, 200_000] };

export const restart: Trial = {
  id: "restart",
  measure: async (context) => {
    const measured: Measured[] = [];
    for (const entries of ENTRIES[context.scale]) measured.push(await withEntries(entries, context));
    return measured;
  },
};

async function withEntries(wanted: number, { scale, dir, built }: TrialContext): Promise<Measured> {
  const rooms = Math.ceil(wanted / (RECORDS * (PER_RECORD.events + PER_RECORD.receipts)));
  const shape: LogShape = { rooms, records: RECORDS, ...PER_RECORD };
  await using broker = await startBroker({ storeDir: join(dir, `nats-${wanted}`) });
  const nc = await connect({ servers: broker.url });
  await makeLog(nc, shape);
  await nc.close();
  const options = { url: broker.url, data: join(dir, `data-${wanted}`), built };
  await (await startTidemark(options)).stop(); // folds all of it
  const values: number[] = [];
  for (let n = 0; n < (scale === "full" ? 5 : 2); n++) {
    const started = performance.now();
    const tidemark = await startTidemark(options);
    values.push((performance.now() - started) / 1_000);
    await tidemark.stop();
  }
  const size = `${entriesOf(shape).toLocaleString("en")} entries in the log`;
  return { id: `restart_${wanted}`, title: `restart to ready, ${size}, warm store`, unit: "s", values };
}
