/**
 * `npm run bench`: measures what Tidemark does with receipts, and what bare NATS and bare JetStream do on the same
 * machine and broker, in the same run. First come the cases, which take turns, round after round, then the trials, each
 * in its own process. Figures are medians over rounds or repetitions, with their extremes. Ratios are computed within a
 * round.
 *
 * Exit status: 0 if everything ran to its end, 1 if something broke (a receipt was refused or lost), 2 for wrong usage.
 * A missed target is shown, and is not a failure, because machines differ.
 */
import { resolve } from "node:path";
import { Command } from "commander";
import type { Case } from "./case.ts";
import { echo } from "./cases/echo.ts";
import { jetstreamPublish } from "./cases/jetstream-publish.ts";
import { latency } from "./cases/latency.ts";
import { receipts } from "./cases/receipts.ts";
import { processorSeconds } from "./cpu.ts";
import { machine } from "./machine.ts";
import { markdown, type Report, table } from "./report.ts";
import { busyCores, type Result, type Round, results, trialResults } from "./results.ts";
import { runTrial } from "./run-trial.ts";
import { TRIALS } from "./trials/index.ts";
import { startWorld, type World } from "./world.ts";

const CASES: readonly Case[] = [
  jetstreamPublish,
  echo,
  receipts({ id: "single", perMessage: 1, inFlight: 8_192 }),
  receipts({ id: "batch", perMessage: 64, inFlight: 256 }),
  latency,
];

const ALL_IDS = [...CASES, ...TRIALS].map(({ id }) => id).join(",");

const FULL = { scale: "full", rounds: 5, seconds: 4 } as const;
const QUICK = { scale: "quick", rounds: 2, seconds: 1 } as const;
const WARM_UP_SECONDS = 1;

interface Options {
  readonly quick: boolean;
  readonly json: boolean;
  readonly markdown: boolean;
  readonly built: boolean;
  readonly cases?: string;
  readonly profile?: string;
}

const options = new Command("bench")
  .description("compare Tidemark with bare NATS and bare JetStream")
  .option("--quick", "smaller sizes, in less than two minutes; less exact", false)
  .option("--json", "machine-readable, on standard output", false)
  .option("--markdown", "the full table of bench/NOTES.md, on standard output", false)
  .option("--built", "run Tidemark's compiled code, from `npm run build`", false)
  .option("--cases <ids>", `only these, comma-separated: ${ALL_IDS}`)
  .option("--profile <dir>", "write CPU profiles of Tidemark and the trials into this folder")
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .parse()
  .opts<Options>();

const wanted = options.cases?.split(",");
const isWanted = ({ id }: { readonly id: string }) => wanted === undefined || wanted.includes(id);
const cases = CASES.filter(isWanted);
const trials = TRIALS.filter((trial) => isWanted(trial) && (wanted !== undefined || trial.isOnDemand !== true));
if (cases.length + trials.length === 0) {
  process.stderr.write(`bench: --cases must name some of ${ALL_IDS}\n`);
  process.exit(2);
}
const { built } = options;
const profile = options.profile === undefined ? undefined : resolve(options.profile);
const plan = options.quick ? QUICK : FULL;

try {
  const rounds = cases.length === 0 ? [] : await runCases();
  const figures: Result[] = results(cases, rounds);
  for (const { id } of trials) {
    process.stderr.write(`trial: ${id}\n`);
    figures.push(...trialResults(await runTrial(id, { scale: plan.scale, built, profile })));
  }
  const report: Report = {
    machine: await machine(),
    ...plan,
    results: figures,
    busyCores: rounds.length === 0 ? {} : busyCores(cases, rounds),
  };
  if (options.json) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  else process.stdout.write(options.markdown ? markdown(report) : table(report));
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.stack : String(error)}\n`);
  process.exitCode = 1;
}

async function runCases(): Promise<Round[]> {
  await using world = await startWorld({ built, profile });
  await runRound(world, WARM_UP_SECONDS, "warm-up");
  const rounds: Round[] = [];
  for (let n = 1; n <= plan.rounds; n++) {
    rounds.push(await runRound(world, plan.seconds, `round ${n} of ${plan.rounds}`));
  }
  return rounds;
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
