/** The demo with late transactions: receipts come before their events. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { readSession } from "../examples/demo/session.ts";
import { assertEqualMarkers, assertFits, outcomesIn, runDemo, tempDir } from "./support/demo.ts";
import { message, receipt } from "./support/harness.ts";

const lateness = suite("late delivery");

lateness("moves every transaction back by that many lines, and no receipt", async () => {
  await using folder = await tempDir();
  const event = (event_id: string) => ({ room_id: "!r:a.org", ...message(event_id) });
  const read = (event_id: string, user: string) => ({ room_id: "!r:a.org", ...receipt(user, event_id) });
  const lines = [
    { transaction: { body: { events: [event("$1"), { ...event("$2"), room_id: "!s:a.org" }, event("$3")] } } },
    { receipt: read("$1", "@a:a.org") },
    { transaction: { body: { events: [event("$4")] } } },
    { receipt: read("$4", "@b:a.org") },
    { transaction: { body: { events: [event("$5")] } } },
  ];
  await writeFile(join(folder.path, "session.ndjson"), lines.map((line) => JSON.stringify(line)).join("\n"));
  const arrivals = async (late: number) => {
    const { deliveries } = await readSession(folder.path, late);
    return deliveries.map(({ kind, items }) => `${kind[0]}${items.map(({ event_id }) => event_id).join("")}`).join(" ");
  };
  assert.is(await arrivals(0), "e$1$3 e$2 r$1 e$4 r$4 e$5");
  assert.is(await arrivals(1), "r$1 e$1$3 e$2 r$4 e$4 e$5");
  assert.is(await arrivals(3), "r$1 r$4 e$1$3 e$2 e$4 e$5");
  assert.is(await arrivals(99), "r$1 r$4 e$1$3 e$2 e$4 e$5");
});

lateness("reaches the same markers when every transaction comes 40 lines late", async () => {
  const { code, stdout, stderr } = await runDemo("--late", "40");
  assert.is(code, 0, stdout + stderr);
  assert.equal(outcomesIn(stdout), {
    ordered: 1520,
    advanced: 1307,
    released: 446,
    stale: 628,
    wrong_thread: 0,
    held: 50,
  });
  assert.match(stdout, /^ +\S+ m\.read: held at \d+, event at \d+$/m);
  assertEqualMarkers(stdout);
  assertFits(stdout);
});

lateness.run();
