/**
 * `npm run test:cluster -- [--histories N] [--seed S] [--faults <name>,<name>] [--log-mib N] [--proxies]`: runs histories on a
 * real cluster under load, with faults (`history.ts`). The last line of output is `N passed, N failed`. The exit status is 1
 * if a history failed.
 */
import { parseArgs } from "node:util";
import * as assert from "uvu/assert";
import { ensureBroker } from "../../src/bus/broker/install.ts";
import { random } from "../support/random.ts";
import { FAULTS } from "./faults.ts";
import { type HistoryResult, inWords, runHistory } from "./history.ts";
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
await using tested = await startTestedCluster({
  workers: 3,
  ingresses: 2,
  gateways: 2,
  proxies: 2,
  logMib,
  withoutNamespaces: values.proxies ?? false,
});
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, async () => {
    await tested[Symbol.asyncDispose]();
    process.exit(1);
  });
}
print(`seed ${seed}; nats-server ${broker.version}; ${tested.network.kind}`);
if (tested.disks === undefined)
  print("nothing can be mounted here (root, or sudo without a password): no disk is filled");

const results: HistoryResult[] = [];
for (let number = 0; number < histories; number++) {
  const startedAt = performance.now();
  const faults = values.faults?.split(",") ?? faultsOf(number);
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
if (results.length < histories) process.exitCode = 1;

/** The first fault is the next one in the list, so that each has its turn. The others are random. */
function faultsOf(number: number): string[] {
  const names = Object.keys(FAULTS).filter((name) => !FAULTS[name]!.needsDisks || tested.disks !== undefined);
  const next = random(seed - number);
  return Array.from({ length: FAULTS_PER_HISTORY }, (_, i) =>
    i === 0 ? names[number % names.length]! : names[Math.floor(next() * names.length)]!,
  );
}
