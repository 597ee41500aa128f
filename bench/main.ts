/**
 * `npm run bench`: what Tidemark does with receipts, beside what bare NATS and bare JetStream do on the same machine,
 * broker and run. Figures are medians over rounds, with their extremes; ratios are taken within a round.
 *
 * Exit status: 0 when every case ran through, 1 when one broke (a receipt was refused or lost), 2 for wrong usage. A
 * missed target is shown, and is no failure: machines differ.
 */
import { Command } from "commander";
import type { Case } from "./case.ts";
import { echo } from "./cases/echo.ts";
import { jetstreamPublish } from "./cases/jetstream-publish.ts";
import { latency } from "./cases/latency.ts";
import { receipts } from "./cases/receipts.ts";
import { processorSeconds } from "./cpu.ts";
import { machine } from "./machine.ts";
import { table } from "./report.ts";
import { busyCores, type Round, results } from "./results.ts";
import { startWorld, type World } from "./world.ts";

const CASES: readonly Case[] = [
  jetstreamPublish,
  echo,
  receipts({ id: "single", perMessage: 1, inFlight: 8_192 }),
  receipts({ id: "batch", perMessage: 64, inFlight: 256 }),
  latency,
];

interface Plan {
  readonly rounds: number;
  readonly seconds: number;
}

const FULL: Plan = { rounds: 5, seconds: 4 };
const QUICK: Plan = { rounds: 3, seconds: 2 };
const WARM_UP_SECONDS = 1;

interface Options {
  readonly quick: boolean;
  readonly json: boolean;
  readonly built: boolean;
  readonly cases?: string;
  readonly profile?: string;
}

const options = new Command("bench")
  .description("measure Tidemark beside bare NATS and bare JetStream")
  .option("--quick", "in less than a minute, and less exact", false)
  .option("--json", "machine-readable, on standard output", false)
  .option("--built", "Tidemark as `npm run build` left it", false)
  .option("--cases <ids>", `some of ${CASES.map(({ id }) => id).join(",")}`)
  .option("--profile <dir>", "leave a CPU profile of Tidemark there")
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .parse()
  .opts<Options>();

const wanted = options.cases?.split(",");
const cases = wanted === undefined ? CASES : CASES.filter(({ id }) => wanted.includes(id));
if (cases.length === 0) {
  process.stderr.write(`bench: --cases: some of ${CASES.map(({ id }) => id).join(",")}\n`);
  process.exit(2);
}
const plan = options.quick ? QUICK : FULL;

try {
  await using world = await startWorld({ built: options.built, profile: options.profile });
  await runRound(world, WARM_UP_SECONDS, "warm-up");
  const rounds: Round[] = [];
  for (let n = 1; n <= plan.rounds; n++) {
    rounds.push(await runRound(world, plan.seconds, `round ${n} of ${plan.rounds}`));
  }
  const report = {
    machine: await machine(),
    ...plan,
    results: results(cases, rounds),
    busyCores: busyCores(cases, rounds),
  };
  process.stdout.write(options.json ? `${JSON.stringify(report, null, 2)}\n` : table(report));
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.stack : String(error)}\n`);
  process.exitCode = 1;
}

async function runRound(world: World, seconds: number, name: string): Promise<Round> {
  let values: Round["values"] = {};
  const cores: Record<string, Record<string, number>> = {};
  for (const { id, prepare } of cases) {
    process.stderr.write(`${name}: ${id}\n`);
    await using load = await prepare(world);
    const before = await processorSeconds(world.pids);
    const started = performance.now();
    values = { ...values, ...(await load.run(seconds)) };
    const elapsed = (performance.now() - started) / 1_000;
    const after = await processorSeconds(world.pids);
    cores[id] = Object.fromEntries(
      Object.entries(after).map(([process, busy]) => [process, (busy - (before[process] ?? 0)) / elapsed]),
    );
  }
  return { values, cores };
}
