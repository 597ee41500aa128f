/**
 * `npm run demo`: starts Tidemark with a broker of its own, replays a session that was recorded from a real homeserver,
 * and compares the result with that homeserver's database.
 *
 *     start ──▶ replay, show deltas ──▶ snapshots, orders ──▶ fold the logs again ──▶ compare ──▶ report
 *
 * No figure is hard-coded: all come from the recording, the bus or the logs. Exit status: 0 if all is equal, 1 if
 * something differs or fails, 2 for wrong usage.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { pino } from "pino";
import type { Position } from "../../actors/entry.ts";
import { findBroker } from "../../src/bus/broker/find.ts";
import { ensureBroker } from "../../src/bus/broker/install.ts";
import { type Bus, connectBus } from "../../src/bus/client/connection.ts";
import { reasonOf } from "../../src/errors.ts";
import { PARTITIONS_DEFAULT } from "../../src/limits.ts";
import type { RoomId } from "../../src/matrix/ids.ts";
import { ROLES, start } from "../../src/start.ts";
import { Deltas } from "./deltas.ts";
import { deliver } from "./homeserver.ts";
import { foldLogs } from "./refold.ts";
import {
  reportComparison,
  reportDeltas,
  reportOutcomes,
  reportSample,
  reportSession,
  reportVerdict,
} from "./report.ts";
import { Sampler } from "./samples.ts";
import { readExpected, readSession } from "./session.ts";
import { Progress } from "./terminal.ts";
import { ask, judge } from "./verdict.ts";

const EXIT_DIFFERENT = 1;
const EXIT_USAGE = 2;
const RECORDING = join(import.meta.dirname, "../../test/fixtures/synapse-session");
const PAGE_CONFIG = join(import.meta.dirname, "../../src/inspector/page/vite.config.ts");
const LATE_LINES_MAX = 10_000;

interface Options {
  readonly late: number;
  readonly session: string;
  readonly inspect: boolean;
}

function lines(text: string): number {
  const count = Number(text);
  if (/^\d+$/.test(text) && count <= LATE_LINES_MAX) return count;
  throw new InvalidArgumentError(`must be an integer from 0 to ${LATE_LINES_MAX}.`);
}

/** Returns the differences. */
async function demo({ late, session: folder }: Omit<Options, "inspect">, nc: Bus): Promise<readonly string[]> {
  const startedAt = performance.now();
  const partitions = PARTITIONS_DEFAULT;
  const session = await readSession(folder, late);
  const expected = await readExpected(folder);
  reportSession(session, late);

  const sampler = new Sampler();
  const progress = new Progress(session.deliveries.length);
  const deltas = new Deltas(nc, (delta) => {
    const sample = sampler.sample(delta, progress.part);
    if (sample !== undefined) reportSample(sample);
  });
  await nc.flush();
  let last: ReadonlyMap<RoomId, Position>;
  try {
    last = await deliver(nc, { deliveries: session.deliveries, partitions, onReply: () => progress.add() });
  } finally {
    progress.end();
  }

  const answers = await ask(nc, { session, expected, last });
  const refold = await foldLogs(nc, partitions);
  await Promise.all([...refold.rooms.values()].map((room) => deltas.complete(room, partitions)));
  const findings = { ...judge({ session, expected, answers, refold }), promisesBroken: deltas.faults.length };
  reportDeltas(deltas);
  reportOutcomes(refold);
  reportComparison(findings);
  const differences = [...findings.differences, ...deltas.faults];
  reportVerdict(differences, { late, seconds: (performance.now() - startedAt) / 1000 });
  return differences;
}

/** So that the orders in the output are short, and the same in every run. By default they begin at the time of the log's making. */
const BASE = 0;

/** Runs the demo on a Tidemark of its own, and removes all its files. */
async function main(options: Options): Promise<void> {
  const interrupted = new Promise<never>((_, reject) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => reject(new Error("interrupted")));
  });
  interrupted.catch(() => {}); // A signal may arrive before anything awaits the promise.

  // Installing a broker takes a while, so the installer prints its steps.
  if ((await findBroker()) === undefined) await ensureBroker({ log: (line) => process.stderr.write(`${line}\n`) });
  const data = await mkdtemp(join(tmpdir(), "tidemark-demo-"));
  try {
    const log = pino({ level: "warn", base: null }, pino.destination({ dest: 2, sync: true }));
    const http = { host: "127.0.0.1", port: 0 };
    if (options.inspect)
      await (await import("vite")).build({ configFile: PAGE_CONFIG, root: dirname(PAGE_CONFIG), logLevel: "warn" });
    const inspect = options.inspect && ({ inspect: { access: "loopback" } } as const);
    const common = { data, http, roles: new Set(ROLES), partitions: PARTITIONS_DEFAULT, base: BASE, log };
    const tidemark = await start({ ...common, ...inspect });
    try {
      const nc = await connectBus({ url: tidemark.natsUrl, name: "tidemark demo" });
      try {
        const differences = await Promise.race([demo(options, nc), interrupted]);
        if (differences.length > 0) process.exitCode = EXIT_DIFFERENT;
        if (options.inspect) {
          process.stdout.write(`\nLook into the rooms at ${tidemark.httpUrl}/inspect/ (Ctrl-C ends it)\n`);
          await interrupted.catch(() => {});
        }
      } finally {
        await nc.close();
      }
    } finally {
      await tidemark.stop();
    }
  } finally {
    await rm(data, { recursive: true, force: true });
  }
}

const program = new Command("demo")
  .description("Replay a session of a real homeserver, and compare the outcome with the homeserver's own database")
  .option("--late <lines>", "deliver every transaction this many lines late, as homeservers do under load", lines, 0)
  .option("--inspect", "keep running afterwards, with the inspector on loopback", false)
  .option("--session <dir>", "the folder with session.ndjson and expected.json", RECORDING)
  .exitOverride()
  .action(main);

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof Error && "exitCode" in error && "code" in error) {
    process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE; // commander has printed the reason
  } else {
    process.stderr.write(`demo: ${reasonOf(error)}\n`);
    process.exitCode = EXIT_DIFFERENT;
  }
}
