/** Rooms that their members have made expensive to inspect: whoever else is served by the process goes on. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { message, receipt } from "../support/harness.ts";
import { ADMIN_TOKEN, type InspectedHarness, startInspected } from "../support/inspector.ts";
import { longestTurnDuring } from "../support/turns.ts";

const ROOM = "!hostile:a.org";
const USERS = 200;
const THREADS = 10_000;
const HELD = 10_000;
/** Items in one request. */
const BATCH = 1_000;

const ANSWER_BYTES_MAX = 1_048_576;
/** Of the process's own work, without what it waits for a processor. */
const TURN_MS_MAX = 400;

const user = (n: number) => `@u${n % USERS}:a.org`;

/** Without a worker in the process, whose checkpoints have turns of their own. The inspector folds the log itself. */
const startAlone = () => startInspected({ adminToken: ADMIN_TOKEN }, ["ingress"]);

async function sendAll(
  { sent }: InspectedHarness,
  kind: "event" | "receipt",
  count: number,
  item: (n: number) => unknown,
): Promise<void> {
  for (let first = 0; first < count; first += BATCH) {
    const length = Math.min(BATCH, count - first);
    await sent(
      kind,
      ROOM,
      Array.from({ length }, (_, i) => item(first + i)),
    );
  }
}

const joins = (n: number) =>
  message(`$join${n}`, {
    type: "m.room.member",
    sender: user(n),
    state_key: user(n),
    content: { membership: "join" },
  });

/** Asks while a neighbour is served, one request after the other. */
async function assertOthersGoOn(tidemark: InspectedHarness, question: Record<string, unknown>): Promise<void> {
  const what = JSON.stringify(question);
  const path = `/inspect/api/rooms/${encodeURIComponent(ROOM)}?q=${encodeURIComponent(what)}`;
  let isAnswered = false;
  let served = 0;
  const neighbour = async () => {
    while (!isAnswered) {
      const response = await fetch(`${tidemark.httpUrl}/healthz`);
      assert.is(response.status, 200);
      await response.arrayBuffer();
      served++;
    }
  };
  const inspect = async () => {
    const response = await fetch(tidemark.httpUrl + path, { headers: { authorization: `Bearer ${ADMIN_TOKEN}` } });
    const text = await response.text();
    isAnswered = true;
    assert.is(response.status, 200, text.slice(0, 1_000));
    return text;
  };
  const { result, ms } = await longestTurnDuring(async () => (await Promise.all([inspect(), neighbour()]))[0]);
  assert.ok(result.length < ANSWER_BYTES_MAX, `${what}: ${result.length} bytes`);
  assert.ok(ms < TURN_MS_MAX, `${what}: a turn of ${ms} ms`);
  assert.ok(served > 0, `${what}: a neighbour is served meanwhile`);
}

const hostile = suite("hostile rooms in the inspector");

hostile("ten thousand threads of two hundred users hold up nobody", async () => {
  await using tidemark = await startAlone();
  await sendAll(tidemark, "event", USERS, joins);
  await sendAll(tidemark, "event", THREADS, (n) =>
    message(`$${n}`, { content: { "m.relates_to": { rel_type: "m.thread", event_id: `$root${n}` } } }),
  );
  await sendAll(tidemark, "receipt", THREADS, (n) => receipt(user(n), `$${n}`, { thread_id: `$root${n}` }));
  await assertOthersGoOn(tidemark, { op: "state" });
  await assertOthersGoOn(tidemark, { op: "chart", x: "position", points: 4_000 });
  await assertOthersGoOn(tidemark, { op: "why", user: user(1), event: "$1" });
});

hostile("neither do receipts for events that nobody has, nor markers of one user in every thread", async () => {
  await using tidemark = await startAlone();
  await sendAll(tidemark, "event", 2, joins);
  await sendAll(tidemark, "receipt", HELD, (n) => receipt(`@held${n}:a.org`, `$nowhere${n}`));
  await sendAll(tidemark, "event", THREADS, (n) => message(`$${n}`, { type: "m.custom", sender: user(1) }));
  await sendAll(tidemark, "receipt", THREADS, (n) => receipt(user(0), `$${n}`, { thread_id: `$root${n}` }));
  for (const question of [
    { op: "summary" },
    { op: "state" },
    { op: "chart", x: "time", points: 4_000, user: user(0) },
    { op: "entries", direction: "until", limit: 200, filter: { user: "@nobody:a.org", event: "$no" } },
    { op: "entries", direction: "from", limit: 200, filter: { outcome: "stale" } },
    { op: "why", user: user(0), event: "$" },
  ]) {
    await assertOthersGoOn(tidemark, question);
  }
});

hostile.run();
