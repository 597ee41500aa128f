import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { compareMarkers, compareOrder, Placement } from "../examples/demo/comparison.ts";
import { Deltas } from "../examples/demo/deltas.ts";
import type { Bus } from "../src/bus/client/connection.ts";
import { encode } from "../src/bus/contract/codec.ts";
import { eventId, roomId, type ThreadId, userId } from "../src/matrix/ids.ts";
import type { ReceiptType } from "../src/matrix/receipt-types.ts";
import { assertEqualMarkers, assertFits, outcomesIn, RECORDING, ROOT, runDemo, tempDir } from "./support/demo.ts";

async function assertShownInReadme(stdout: string): Promise<void> {
  const readme = await readFile(join(ROOT, "README.md"), "utf8");
  const [shown] = readme.match(/^```\nSome of the deltas[\s\S]*?^```$/m)!;
  // Which deltas are shown, and how long it takes, differ from run to run.
  const lines = shown.split("\n").filter((line) => !/^(?:```| {2}tidemark\.| {4}\S| {2}…|All equal)/.test(line));
  assert.is(lines.length, 12);
  const printed = stdout.split("\n");
  assert.equal(
    lines.filter((line) => !printed.includes(line)),
    [],
  );
}

interface Located {
  readonly room_id: string;
}

/** Copies one room of the recording into a folder. Resolves to what the database of Synapse had for that room. */
async function copyRoom(folder: string) {
  const expected = JSON.parse(await readFile(join(RECORDING, "expected.json"), "utf8"));
  const [room] = expected.rooms;
  const isThere = ({ room_id }: Located) => room_id === room;
  for (const name of ["events_in_stream_order", "receipts", "fully_read"])
    expected[name] = expected[name].filter(isThere);
  const recording = await readFile(join(RECORDING, "session.ndjson"), "utf8");
  const lines = recording
    .trimEnd()
    .split("\n")
    .flatMap((json) => {
      const line = JSON.parse(json);
      if (line.receipt !== undefined) return isThere(line.receipt) ? [json] : [];
      line.transaction.body.events = line.transaction.body.events.filter(isThere);
      return [JSON.stringify(line)];
    });
  await writeFile(join(folder, "session.ndjson"), lines.join("\n"));
  return expected;
}

const demo = suite("demo");

demo("replays the session in order of arrival, and agrees with Synapse", async () => {
  const { code, stdout, stderr, left } = await runDemo();
  assert.is(code, 0, stdout + stderr);
  assert.match(stdout, "\n  1,520 events, 2,431 receipts, 3,943 requests\n");
  assert.equal(outcomesIn(stdout), {
    ordered: 1520,
    advanced: 1714,
    released: 0,
    stale: 667,
    wrong_thread: 0,
    held: 50,
  });
  assertEqualMarkers(stdout);
  await assertShownInReadme(stdout);
  assertFits(stdout);
  assert.match(stdout, /^ {2}tidemark\.client\.\d\.!\S+\.events\n {4}m\.room\.message \$\S+ from \S+, order \d+$/m);
  assert.match(stdout, /^ {2}tidemark\.client\.\d\.!\S+\.receipts\n {4}\S+ m\.read → \$.+, order \d+/m);
  assert.match(stdout, /^ {2}tidemark\.user\.\d\.%40\S+\.receipts\n {4}\S+ m\.read\.private → \$.+, order \d+/m);
  assert.match(stdout, ", 0 of rejections\n");
  assert.not.match(stdout, "tidemark.rejected.");
  assert.match(stderr, "100 % sent: 3,943 requests\n");
  assert.equal(left, [], "no temporary file is left");
});

demo("lists the differences, and exits with 1", async () => {
  await using session = await tempDir();
  const expected = await copyRoom(session.path);
  const [first, last] = [expected.events_in_stream_order[0], expected.events_in_stream_order.at(-1)];
  const [moved, forgotten] = [expected.receipts[0], expected.fully_read.shift()];
  const was = moved.event_id;
  moved.event_id = "$planted";
  expected.events_in_stream_order.push({ ...last, event_id: "$late" });
  await writeFile(join(session.path, "expected.json"), JSON.stringify(expected));

  const { code, stdout } = await runDemo("--session", session.path);
  assert.is(code, 1, stdout);
  const nameOf = (user: string) => user.slice(1, user.indexOf(":"));
  assert.match(stdout, `${moved.room_id}: $planted in Synapse, ${was} in the snapshots\n`);
  assert.match(stdout, `${moved.room_id}: $planted in Synapse, ${was} in the folded log\n`);
  assert.match(
    stdout,
    `m.fully_read of ${nameOf(forgotten.user_id)} in ${forgotten.room_id}: nothing in Synapse, ${forgotten.content.event_id} in`,
  );
  assert.match(stdout, `of ${last.room_id}: $late in Synapse, nothing in Tidemark\n`);
  assert.match(stdout, /^5 differences:$/m);
  assert.not.match(stdout, "All equal");
  assert.not.match(stdout, first.event_id, "equal markers are not listed");
});

demo("refuses a lateness that is not a number", async () => {
  const { code, stderr } = await runDemo("--late", "soon");
  assert.is(code, 2);
  assert.match(stderr, "must be an integer from 0 to 10000");
});

const comparison = suite("comparison");

const room = roomId.parse("!r:a.org");
const user = userId.parse("@a:a.org");
const one = eventId.parse("$1");
const two = eventId.parse("$2");

function placed(
  ...markers: [type: ReceiptType, thread: ThreadId | null, event: typeof one, order?: number][]
): Placement {
  const placement = new Placement();
  for (const [type, thread, event, order] of markers)
    placement.add({ room, user, type, thread, event, ...(order !== undefined && { order }) });
  return placement;
}

comparison("counts a threaded marker as covered only if an unthreaded one of its type is at its event", () => {
  const wanted = placed(["m.read", null, one], ["m.read", "main", one]);
  const compare = (found: Placement) => {
    const { covered, differences } = compareMarkers(wanted, found, ["A", "B"]);
    return [covered.length, differences.length];
  };
  assert.equal(compare(placed(["m.read", null, one])), [1, 0]);
  assert.equal(compare(placed(["m.read", null, two])), [0, 2]);
  assert.equal(compare(placed(["m.read.private", null, one])), [0, 3]);
  assert.equal(compare(placed(["m.read", null, one], ["m.read", "main", two])), [0, 1]);
});

comparison("reports different orders for the same event", () => {
  const { differences } = compareMarkers(placed(["m.read", null, one, 7]), placed(["m.read", null, one, 8]), [
    "A",
    "B",
  ]);
  assert.equal(differences, ["m.read of a in !r:a.org: order 7 in A, 8 in B"]);
});

comparison("reports snapshots that contradict each other, or show a private marker to another user", () => {
  const other = userId.parse("@b:a.org");
  const content = (event: string) => ({ [event]: { "m.read": { [user]: { ts: 1, order: 1 } } } });
  const own = { [one]: { "m.read.private": { [user]: { ts: 1, order: 1 } } } };
  const placement = new Placement();
  placement.addSnapshot(room, user, { receipts: content(one), private: own });
  assert.equal(placement.differences, []);
  placement.addSnapshot(room, other, { receipts: content(two), private: own });
  assert.equal(placement.differences, [
    "m.read of a in !r:a.org: $1 and $2",
    "m.read.private of a in !r:a.org: shown to @b:a.org",
  ]);
});

comparison("reports events that are missing, added, swapped or share an order", () => {
  const compare = (...orders: [typeof one, number | null][]) => compareOrder(room, [one, two], new Map(orders)).length;
  assert.is(compare([two, 2], [one, 1]), 0);
  assert.is(compare([one, 2], [two, 1]), 2);
  assert.is(compare([one, 1], [two, null]), 1);
  assert.is(compare([one, 1], [two, 2], [eventId.parse("$3"), 3]), 1);
  assert.is(compare([one, 1], [two, 1]), 1);
});

const promises = suite("promises of deltas");

/** The kinds of faults in these messages. */
function faultsIn(...messages: [subject: string, payload: object][]): readonly string[] {
  const callbacks: ((error: null, message: unknown) => void)[] = [];
  const subscribe = (_: string, { callback }: { callback: (typeof callbacks)[number] }) => callbacks.push(callback);
  const deltas = new Deltas({ subscribe } as unknown as Bus, () => {});
  for (const [subject, payload] of messages)
    callbacks[0]?.(null, { subject, data: encode({ v: 1, room_id: room, ...payload }) });
  return deltas.faults.map((fault) => fault.slice(0, 4));
}

const receiptOf = (type: ReceiptType) =>
  ({ event: { type: "m.receipt", content: { [one]: { [type]: { [user]: { ts: 1, order: 1 } } } } } }) as const;

promises("are broken by a gap", () => {
  const subject = "tidemark.client.0.!r:a%2Eorg.receipts";
  const delta = (previous: number, position: number) => [subject, { previous, position }] as [string, object];
  assert.equal(faultsIn(delta(0, 5), delta(5, 9)), []);
  assert.equal(faultsIn(delta(0, 5), delta(6, 9)), ["gap:"]);
});

promises("are broken by a private receipt that reaches another user", () => {
  const own = { user_id: user, position: 1, ...receiptOf("m.read.private") };
  assert.equal(faultsIn(["tidemark.user.0.%40a:a%2Eorg.receipts", own]), []);
  assert.equal(faultsIn(["tidemark.user.0.%40b:a%2Eorg.receipts", own]), ["leak"]);
  assert.equal(faultsIn(["tidemark.user.0.%40b:a%2Eorg.receipts", { ...own, user_id: "@b:a.org" }]), ["leak"]);
  assert.equal(faultsIn(["tidemark.client.0.!r:a%2Eorg.receipts", { position: 1, ...receiptOf("m.read") }]), []);
  assert.equal(faultsIn(["tidemark.client.0.!r:a%2Eorg.receipts", { position: 1, ...receiptOf("m.read.private") }]), [
    "leak",
  ]);
  const entry = { user_id: user, receipt_type: "m.read.private", event_id: one };
  assert.equal(faultsIn(["tidemark.rejected.0.!r:a%2Eorg", { position: 1, entry }]), ["leak"]);
  assert.equal(faultsIn(["tidemark.rejected.0.!r:a%2Eorg", { position: 1, entry: null }]), []);
});

demo.run();
comparison.run();
promises.run();
