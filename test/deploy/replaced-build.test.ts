/** One build of Tidemark replaced by another under load, as docs/operations.md#replacing-one-build-by-another says. */
import { appendFile, cp, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Role } from "../../src/start.ts";
import { buildProgram } from "../support/build.ts";
import { type CliProcess, runCli } from "../support/cli-process.ts";
import { tidemarkCommand } from "../support/commands.ts";
import { type Body, type BusHarness, CLUSTER_LIMIT_MS, eventually, positionOf, startBus } from "../support/harness.ts";
import { assertMatchesLog, type Load, load } from "../support/load.ts";
import { random } from "../support/random.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const PARTITIONS = 4;
const ROOMS = Array.from({ length: 12 }, (_, i) => `!r${i}:a.org`);
const USERS = Array.from({ length: 5 }, (_, i) => `@u${i}:a.org`);
const PROCESSES = 3;
const SENDERS = 3;
const SEND_PAUSE_MS = 20;
/** Acknowledged before the next process is replaced. */
const WRITES = 50;
const PROCESS_LIMIT_MS = 170_000;

/** Two builds of one version, which differ in a comment. */
async function buildTwo(folder: string): Promise<readonly [before: string, after: string]> {
  const [before, after] = [join(folder, "before"), join(folder, "after")];
  await mkdir(before);
  await buildProgram(before);
  await cp(before, after, { recursive: true, verbatimSymlinks: true });
  await appendFile(join(after, "dist/src/cli.js"), "\n// The next build.\n");
  return [before, after];
}

/** A process that an operator restarts with another program, on the data directory that it has. */
class Replaceable implements AsyncDisposable {
  readonly #args: readonly string[];
  #process: CliProcess | undefined;

  constructor(bus: BusHarness, name: string, role: Role) {
    const data = ["--data", join(bus.dir, name), "--partitions", `${PARTITIONS}`];
    this.#args = ["start", "--nats", bus.url, "--roles", role, "--http", "127.0.0.1:0", ...data];
  }

  async start(program: string): Promise<void> {
    const running = runCli(this.#args, {}, { program, limitMs: PROCESS_LIMIT_MS });
    this.#process = running;
    const { http } = await running.ready;
    await eventually(async () => (await fetch(`${http}/readyz`)).status === 200, "it is ready", CLUSTER_LIMIT_MS);
  }

  async replace(program: string): Promise<void> {
    this.#process!.kill("SIGTERM");
    assert.is(await this.#process!.ended, 0, this.#process!.stderr.join("\n"));
    await this.start(program);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process?.[Symbol.asyncDispose]();
  }
}

/** For how long a partition published nothing while entries came in. */
class Silences {
  readonly #spokeAt = new Map<string, number>();
  #longestMs = 0;

  constructor({ nc }: BusHarness) {
    nc.subscribe("tidemark.client.>", { callback: (_, { subject }) => this.#spoke(subject.split(".")[2]!) });
  }

  /** The longest since the last call, ms. */
  take(): number {
    const longest = this.#longestMs;
    this.#longestMs = 0;
    return Math.round(longest);
  }

  #spoke(partition: string): void {
    const now = performance.now();
    this.#longestMs = Math.max(this.#longestMs, now - (this.#spokeAt.get(partition) ?? now));
    this.#spokeAt.set(partition, now);
  }
}

async function goesOn(writes: Load): Promise<void> {
  const wanted = writes.acknowledged.length + WRITES;
  await eventually(() => writes.acknowledged.length >= wanted, "writes are acknowledged", CLUSTER_LIMIT_MS);
}

/** The builds that `tidemark status` shows, once all processes answer: on a busy machine one may take longer than it waits. */
async function buildsShown({ url }: BusHarness): Promise<string[]> {
  let builds: string[] = [];
  const areThere = async () => {
    const { stdout } = await tidemarkCommand(["status", "--json", "--nats", url]);
    const lines = stdout.map((line): Body => JSON.parse(line));
    builds = lines.filter(({ instance }) => instance !== undefined).map(({ build }) => build);
    return builds.length === PROCESSES;
  };
  await eventually(areThere, "all processes answer", CLUSTER_LIMIT_MS);
  return builds;
}

/** Positions are of one partition each: so often as one was acknowledged, as many logs have it. */
async function assertStored(bus: BusHarness, acknowledged: readonly number[]): Promise<void> {
  const logs = await Promise.all(Array.from({ length: PARTITIONS }, (_, partition) => bus.records(partition)));
  const left = new Map<number, number>();
  for (const { sequence, entries } of logs.flat()) {
    for (const index of entries.keys()) {
      const position = positionOf(sequence, index);
      left.set(position, (left.get(position) ?? 0) + 1);
    }
  }
  for (const position of acknowledged) {
    const count = left.get(position) ?? 0;
    assert.ok(count > 0, `${position} was acknowledged, and is not in the log`);
    left.set(position, count - 1);
  }
}

const replacing = suite("replacing one build by another");

replacing("loses nothing, and keeps every order, while entries come in", async () => {
  using dir = temporaryDirectory();
  const [before, after] = await buildTwo(dir.path);
  await using bus = await startBus();
  await using first = new Replaceable(bus, "first", "worker");
  await using second = new Replaceable(bus, "second", "worker");
  await using ingress = new Replaceable(bus, "ingress", "ingress");
  await Promise.all([first, second, ingress].map((each) => each.start(before)));
  const deltas = bus.subscribe("tidemark.client.>");
  const silences = new Silences(bus);
  const writes = load(bus, ROOMS, random(1));
  writes.start(SENDERS, { pauseMs: SEND_PAUSE_MS });
  await using _writes = { [Symbol.asyncDispose]: writes.stop };
  await goesOn(writes);
  const [build, ...others] = await buildsShown(bus);
  assert.equal(others, [build, build]);

  const longest = [`undisturbed ${silences.take()} ms`];
  for (const [name, each] of Object.entries({ first, second, ingress })) {
    await each.replace(after);
    await goesOn(writes);
    longest.push(`${name} ${silences.take()} ms`);
  }
  await writes.stop();

  const shown = await buildsShown(bus);
  assert.ok(
    shown.every((other) => other !== build && other === shown[0]),
    `${shown} after ${build}`,
  );
  await assertStored(bus, writes.acknowledged);
  await assertMatchesLog(bus, { partitions: PARTITIONS, deltas, users: USERS });
  process.stdout.write(`longest silence of a partition, by what was replaced: ${longest.join(", ")}\n`);
});

replacing.run();
