/**
 * `tidemark replay` of one long room, as a process: all its lines, or its state at the end. The rate includes the start
 * of the process. The peak of memory can be compared with that of a room a tenth as long.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { connect } from "nats";
import { startBroker } from "../../src/bus/broker/process.ts";
import { entriesOf, type LogShape, makeLog, roomOf } from "../entries.ts";
import { ROOT, tidemarkCommand } from "../node-process.ts";
import { residentMemory } from "../resident-memory.ts";
import { type Measured, type TrialContext, trialOfSizes } from "../trial.ts";

const RECORDS = { full: [1_563, 15_625], quick: [157, 1_563] };
const SHAPE = { rooms: 1, events: 4, receipts: 60 };
const POLL_MS = 50;
const OUTPUTS = { lines: [], state: ["--state"] } as const;
type Output = keyof typeof OUTPUTS;

export const roomReplay = trialOfSizes("room-replay", RECORDS, withRecords);

async function withRecords(records: number, context: TrialContext): Promise<Measured[]> {
  const shape: LogShape = { ...SHAPE, records };
  const entries = entriesOf(shape);
  await using broker = await startBroker({ storeDir: join(context.dir, `room-${records}`) });
  const nc = await connect({ servers: broker.url });
  await makeLog(nc, shape);
  await nc.close();
  const measured: Measured[] = [];
  for (const output of Object.keys(OUTPUTS) as Output[]) {
    const rates: number[] = [];
    const peaks: number[] = [];
    for (let n = 0; n < (context.scale === "full" ? 3 : 1); n++) {
      const args = ["replay", roomOf(0), "--nats", broker.url, ...OUTPUTS[output]];
      const { ms, peakMiB } = await run(tidemarkCommand(context.built, args));
      rates.push((entries * 1_000) / ms);
      peaks.push(peakMiB);
    }
    const of = `a room of ${entries.toLocaleString("en")} entries to its ${output}`;
    measured.push(
      {
        id: `room_replay_${records}_${output}`,
        title: `tidemark replay of ${of}, entries`,
        unit: "1/s",
        values: rates,
      },
      {
        id: `room_replay_${records}_${output}_peak`,
        title: `tidemark replay of ${of}: peak`,
        unit: "MiB",
        values: peaks,
      },
    );
  }
  return measured;
}

/** Runs Node to its end. Throws when it fails. */
async function run(args: readonly string[]): Promise<{ readonly ms: number; readonly peakMiB: number }> {
  const started = performance.now();
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ["ignore", "ignore", "inherit"] });
  let peakMiB = 0;
  const timer = setInterval(() => {
    residentMemory(child.pid!).then(
      ({ VmHWM }) => {
        if (VmHWM > peakMiB) peakMiB = VmHWM; // NaN once the process has ended.
      },
      () => {},
    );
  }, POLL_MS);
  const [code] = await once(child, "exit");
  clearInterval(timer);
  if (code !== 0) throw new Error(`${args.join(" ")} ended with ${code}`);
  return { ms: performance.now() - started, peakMiB };
}
