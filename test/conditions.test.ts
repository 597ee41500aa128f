/** What is wrong is said once when it begins and once when it ends (docs/operations.md#what-is-wrong). */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { CONDITIONS, Conditions, REASONS } from "../src/conditions.ts";
import { Metrics } from "../src/metrics.ts";
import { eventually } from "./support/harness.ts";
import { logged } from "./support/logged.ts";

const conditions = suite("conditions");

conditions("have one line when they begin and one when they end, however often they are noticed", () => {
  const { log, lines } = logged();
  const noticed = new Conditions({ log });
  for (let i = 0; i < 3; i++) noticed.begin("broker_away", "", { server: "a" });
  for (let i = 0; i < 3; i++) noticed.end("broker_away");
  noticed.begin("broker_away");
  assert.equal(
    lines.map(({ msg, condition }) => [msg, condition]),
    [
      [CONDITIONS.broker_away.begins, "broker_away"],
      [CONDITIONS.broker_away.ends, "broker_away"],
      [CONDITIONS.broker_away.begins, "broker_away"],
    ],
  );
  assert.is(lines[0]!.server, "a");
  assert.type(lines[1]!.seconds, "number");
});

conditions("are about one thing each", () => {
  const { log, lines } = logged();
  const noticed = new Conditions({ log });
  for (const stream of ["A", "B"]) noticed.begin("stream_missing", stream);
  noticed.end("stream_missing", "A");
  assert.equal(
    noticed.open().map(({ reason, where }) => [reason, where]),
    [["stream_missing", "B"]],
  );
  assert.equal(
    lines.map(({ where }) => where),
    ["A", "B", "A"],
  );
});

conditions("that may be short count only once they have lasted", async () => {
  const { log, lines } = logged();
  const patient = new Conditions({ log, patience: 1_000 });
  const noticed = new Conditions({ log, patience: 0.001 });
  patient.begin("partition_unserved", 1);
  noticed.begin("partition_unserved", 2);
  await eventually(() => noticed.has("partition_unserved"), "it counts");
  assert.equal(patient.open(), []);
  patient.end("partition_unserved", 1);
  noticed.end("partition_unserved", 2);
  assert.equal(
    lines.map(({ where }) => where),
    ["2", "2"],
    "the other one was never worth a line",
  );
});

conditions("are all in a gauge from the start", async () => {
  const noticed = new Conditions(logged());
  const metrics = new Metrics(noticed, { version: "0.1.0", build: "a" });
  const gauge = async () => (await metrics.text()).split("\n").filter((line) => line.startsWith("tidemark_degraded{"));
  assert.equal(
    await gauge(),
    REASONS.map((reason) => `tidemark_degraded{reason="${reason}"} 0`),
  );
  for (const stream of ["A", "B"]) noticed.begin("stream_missing", stream);
  assert.ok((await gauge()).includes('tidemark_degraded{reason="stream_missing"} 2'));
});

conditions("are all in the handbook, with what to do", async () => {
  const handbook = await readFile(join(import.meta.dirname, "../docs/operations.md"), "utf8");
  const rows = handbook.split("\n").filter((line) => line.startsWith("| `"));
  for (const reason of REASONS) {
    const { begins, todo } = CONDITIONS[reason];
    assert.ok(todo.length > 0);
    const row = rows.find((line) => line.startsWith(`| \`${reason}\``));
    assert.ok(row !== undefined, reason);
    if (begins !== undefined) assert.ok(row.includes(begins.slice(0, 40)), `${reason}: ${begins}`);
  }
});

conditions.run();
