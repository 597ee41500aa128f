/**
 * `npm run test:cluster -- [--histories N] [--seed S] [--faults <name>,<name>] [--proxies]`: runs histories on a real
 * cluster under load, with faults (`history.ts`). The last line of output is `N passed, N failed`. The exit status is 1
 * if a history failed.
 */
import { parseArgs } from "node:util";
import * as assert from "uvu/assert";
import { ensureBroker } from "../../src/bus/broker/install.ts";
import { random } from "../support/random.ts";
import { FAULTS } from "./faults.ts";
import { type HistoryResult, runHistory, startTestedCluster } from "./history.ts";

const FAULTS_PER_HISTORY = 2;
const LOG_LINES_SHOWN = 15;
const DETAILS_CHARS_MAX = 5_000;

const { values } = parseArgs({
  options: {
    histories: { type: "string" },
    seed: { type: "string" },
    faults: { type: "string" },
    proxies: { type: "boolean" },
  },
});
const histories = Number(values.histories ?? 20);
const seed = Number(values.seed ?? Date.now() % 1_000_000);
const print = (line: string) => process.stdout.write(`${line}\n`);
const seconds = (ms: number) => `${(ms / 1_000).toFixed(1)} s`;

const broker = await ensureBroker({ log: print });
process.env.TIDEMARK_NATS_SERVER = broker.path;
await using tested = await startTestedCluster({
  workers: 3,
  ingresses: 2,
  gateways: 2,
  proxies: values.proxies ?? false,
});
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, async () => {
    await tested[Symbol.asyncDispose]();
    process.exit(1);
  });
}
print(`seed ${seed}; nats-server ${broker.version}; ${tested.network.kind}`);

const results: HistoryResult[] = [];
for (let number = 0; number < histories; number++) {
  const startedAt = performance.now();
  const faults = values.faults?.split(",") ?? faultsOf(number);
  try {
    const result = await runHistory(tested, { number, seed: seed + number, faults });
    results.push(result);
    const { written, observed, reloads, repeats, injected } = result;
    const took = seconds(performance.now() - startedAt);
    const effects = injected.map(({ name, silentMs }) => `${name} (silent ${seconds(silentMs)})`).join("; ");
    const seen = `${observed} observations, ${reloads} reloads, ${repeats} repeats in /sync`;
    print(`history ${number}: ${effects}: ${written} writes, ${seen}, ${took}`);
  } catch (error) {
    print(`history ${number} FAILED: ${faults.join("; ")}: ${error instanceof Error ? error.stack : String(error)}`);
    if (error instanceof assert.Assertion) print(String(error.details || "").slice(0, DETAILS_CHARS_MAX));
    for (const each of [...tested.workers, ...tested.ingresses, ...tested.gateways]) {
      print(`${each.name}:\n${each.lines().slice(-LOG_LINES_SHOWN).join("\n")}`);
    }
  }
}
summarize();
print(`${results.length} passed, ${histories - results.length} failed`);
if (results.length < histories) process.exitCode = 1;

/** The first fault is the next one in the list, so that each has its turn. The others are random. */
function faultsOf(number: number): string[] {
  const names = Object.keys(FAULTS);
  const next = random(seed - number);
  return Array.from({ length: FAULTS_PER_HISTORY }, (_, i) =>
    i === 0 ? names[number % names.length]! : names[Math.floor(next() * names.length)]!,
  );
}

function summarize(): void {
  const injected = results.flatMap((result) => result.injected);
  for (const name of Object.keys(FAULTS)) {
    const ones = injected.filter((each) => each.name === name);
    if (ones.length === 0) continue;
    const recovery = seconds(Math.max(...ones.map(({ recoveryMs }) => recoveryMs)));
    const silence = seconds(Math.max(...ones.map(({ silentMs }) => silentMs)));
    print(
      `${name}: injected ${ones.length}×; all rooms answered after at most ${recovery}; no delta for at most ${silence}`,
    );
  }
  const written = results.reduce((sum, result) => sum + result.written, 0);
  print(`${injected.length} faults; ${written} acknowledged writes, all in the log and folded once`);
}
