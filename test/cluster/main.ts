/**
 * `npm run test:cluster -- [--histories N] [--seed S] [--faults <name>,<name>] [--log-mib N] [--soak <minutes>] [--proxies]`:
 * runs histories on a real cluster under load, with faults (`history.ts`), or a soak without any (`soak.ts`). The last line of output is
 * `N passed, N failed`. The exit status is 1 if one failed.
 */
import { parseArgs } from "node:util";
import * as assert from "uvu/assert";
import { ensureBroker } from "../../src/bus/broker/install.ts";
import { random } from "../support/random.ts";
import { FAULTS } from "./faults.ts";
import { type HistoryResult, historyName, inWords, runHistory } from "./history.ts";
import { SOAK, soak } from "./soak.ts";
import { summary } from "./summary.ts";
import { startTestedCluster } from "./tested-cluster.ts";

const FAULTS_PER_HISTORY = 2;
const LOG_MIB = 40;
const LOG_LINES_SHOWN = 15;
const DETAILS_CHARS_MAX = 5_000;

const { values } = parseArgs({
  options: {
    histories: { type: "string" },
    seed: { type: "string" },
    faults: { type: "string" },
    "log-mib": { type: "string" },
    soak: { type: "string" },
    proxies: { type: "boolean" },
  },
});
const histories = Number(values.histories ?? 20);
const seed = Number(values.seed ?? Date.now() % 1_000_000);
const logMib = Number(values["log-mib"] ?? LOG_MIB);
const print = (line: string) => process.stdout.write(`${line}\n`);
const seconds = (ms: number) => `${(ms / 1_000).toFixed(1)} s`;

for (const name of values.faults?.split(",") ?? []) {
  if (FAULTS[name] === undefined) throw new Error(`no fault "${name}"; there are: ${Object.keys(FAULTS).join(", ")}`);
}
const broker = await ensureBroker({ log: print });
process.env.TIDEMARK_NATS_SERVER = broker.path;
const starting = startTestedCluster({
  workers: 3,
  ingresses: 2,
  gateways: 2,
  proxies: 2,
  logMib,
  names: values.soak === undefined ? Array.from({ length: histories }, (_, number) => historyName(number)) : [SOAK],
  withoutNamespaces: values.proxies ?? false,
});
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, async () => {
    const started = await starting.catch(() => undefined);
    await started?.[Symbol.asyncDispose]();
    process.exit(1);
  });
}
await using tested = await starting;
print(`seed ${seed}; nats-server ${broker.version}; ${tested.network.kind}`);
if (tested.disks === undefined)
  print("nothing can be mounted here (root, or sudo without a password): no disk is filled");

const failed = values.soak === undefined ? await runHistories() : await runSoak(Number(values.soak));
if (failed > 0) process.exitCode = 1;

/** Returns how many failed. */
async function runSoak(minutes: number): Promise<number> {
  const { lines, problems, written } = await soak(tested, { minutes, seed, print });
  for (const line of [...lines, ...problems]) print(line);
  print(`${minutes} minutes, ${written} acknowledged writes`);
  const failed = problems.length > 0 ? 1 : 0;
  print(`${1 - failed} passed, ${failed} failed`);
  return failed;
}

/** Returns how many failed. */
async function runHistories(): Promise<number> {
  const results: HistoryResult[] = [];
  for (let number = 0; number < histories; number++) {
    const startedAt = performance.now();
    const faults = values.faults?.split(",") ?? faultsOf(seed + number);
    try {
      const result = await runHistory(tested, { number, seed: seed + number, faults });
      results.push(result);
      const { injected, written, observed, reloads, repeats, proxied, withoutOrders } = result;
      const took = seconds(performance.now() - startedAt);
      const effects = injected.map(
        ({ name, published, read }) => `${name} (silent ${inWords(published)}; for front-ends ${inWords(read)})`,
      );
      const seen = `${observed} observations, ${reloads} reloads, ${repeats} repeats in /sync, ${withoutOrders} of ${proxied} proxied answers without an order`;
      print(`history ${number}, seed ${seed + number}: ${effects.join("; ")}: ${written} writes, ${seen}, ${took}`);
    } catch (error) {
      print(`history ${number} FAILED: ${faults.join("; ")}: ${error instanceof Error ? error.stack : String(error)}`);
      if (error instanceof assert.Assertion) print(String(error.details || "").slice(0, DETAILS_CHARS_MAX));
      for (const each of [...tested.workers, ...tested.ingresses, ...tested.gateways, ...tested.proxies]) {
        print(`${each.name}:\n${each.lines().slice(-LOG_LINES_SHOWN).join("\n")}`);
      }
      print(`again: npm run test:cluster -- --histories 1 --seed ${seed + number} --faults "${faults.join(",")}"`);
    }
  }
  for (const line of summary(results.flatMap((result) => result.injected))) print(line);
  const written = results.reduce((sum, result) => sum + result.written, 0);
  print(`${written} acknowledged writes, all in the log and folded once`);
  print(`${results.length} passed, ${histories - results.length} failed`);
  return histories - results.length;
}

/** The first fault is the next one in the list, so that each has its turn, whatever the run began with. The others are random. */
function faultsOf(historySeed: number): string[] {
  const names = Object.keys(FAULTS).filter((name) => !FAULTS[name]!.needsDisks || tested.disks !== undefined);
  const next = random(-historySeed);
  return Array.from({ length: FAULTS_PER_HISTORY }, (_, i) =>
    i === 0 ? names[historySeed % names.length]! : names[Math.floor(next() * names.length)]!,
  );
}
