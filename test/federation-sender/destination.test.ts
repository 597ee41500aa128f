/** `tidemark/federation`: which EDUs a federation sender gets, and when it gets them again. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Destination, type Federation, openFederation } from "../../src/federation-sender/index.ts";
import { linesOf, member, message, read, startFederation } from "../support/federation.ts";
import { eventually, pack, rejects } from "../support/harness.ts";

const ROOM = "!room:here.example";
const A = "@a:here.example";
const THERE = "there.example";

type Tidemark = Awaited<ReturnType<typeof startFederation>>;

function open(tidemark: Tidemark, pendingMax = 50_000): Promise<Federation> {
  return openFederation({ nats: tidemark.url, pendingMax });
}

/** Publishes receipts as a worker does, one EDU each; the thread `-` is none. Resolves once they are stored. */
async function publish(tidemark: Tidemark, ...receipts: readonly [user: string, thread: string, event: string][]) {
  for (const [user, thread, event] of receipts) {
    const data = thread === "-" ? { ts: 1 } : { ts: 1, thread_id: thread };
    const content = { [ROOM]: { "m.read": { [user]: { event_ids: [event], data } } } };
    const edu = { edu_type: "m.receipt", content };
    const body = pack({ v: 1, destination: THERE, edu });
    await tidemark.nc.jetstream().publish("tidemark.federation.1.there%2Eexample", body);
  }
}

async function take(destination: Destination) {
  const transaction = await destination.next();
  assert.ok(transaction);
  return { ...transaction, lines: linesOf(transaction.edus).sort() };
}

/** Takes and acknowledges some transactions, one after the other. */
async function takeAll(destination: Destination, count: number) {
  const transactions = [];
  for (let i = 0; i < count; i++) {
    const transaction = await take(destination);
    transactions.push(transaction);
    await transaction.acknowledge();
  }
  return transactions;
}

const reader = suite("a federation reader");

reader("gets what a worker published, and does not get it again once it has acknowledged it", async () => {
  await using tidemark = await startFederation();
  await using federation = await open(tidemark);
  const destination = await federation.destination(THERE);
  await tidemark.sent("state", ROOM, [member(A), member("@b:there.example")]);
  await tidemark.sent("event", ROOM, [message("$1"), message("$2")]);
  await tidemark.sent("receipt", ROOM, read(A, "$1", { ts: 5 }));
  const first = await destination.next();
  assert.equal(first?.edus, [
    {
      edu_type: "m.receipt",
      content: { [ROOM]: { "m.read": { [A]: { event_ids: ["$1"], data: { ts: 5 } } } } },
    },
  ] as never);
  await first?.acknowledge();
  await tidemark.sent("receipt", ROOM, read(A, "$2"));
  assert.equal((await take(destination)).lines, [`${ROOM} ${A} - → $2`]);
});

reader("that starts late gets the last receipt of each key, not the history", async () => {
  await using tidemark = await startFederation();
  for (let i = 0; i < 300; i++)
    await publish(tidemark, [A, "main", `$${i}`], [A, "-", `$${i}`], ["@c:x", "-", `$${i}`]);
  await using federation = await open(tidemark);
  const { edus, lines } = await take(await federation.destination(THERE));
  assert.is(edus.length, 2, "one EDU can't have two threads of one user");
  assert.equal(lines, [`${ROOM} ${A} - → $299`, `${ROOM} ${A} main → $299`, `${ROOM} @c:x - → $299`]);
});

reader("gets the same EDUs until it acknowledges them, together with later ones", async () => {
  await using tidemark = await startFederation();
  await publish(tidemark, [A, "-", "$1"], [A, "main", "$1"]);
  await using federation = await open(tidemark);
  const destination = await federation.destination(THERE);
  const failed = await take(destination);
  const again = await take(destination);
  assert.equal([again.id, again.lines], [failed.id, failed.lines]);
  await publish(tidemark, [A, "-", "$2"]);
  let later = await take(destination);
  await eventually(async () => {
    later = await take(destination);
    return later.id !== failed.id;
  }, "the later EDU");
  assert.equal(later.lines, [`${ROOM} ${A} - → $2`, `${ROOM} ${A} main → $1`]);
});

reader("keeps what arrives while a transaction is in flight", async () => {
  await using tidemark = await startFederation();
  await using federation = await open(tidemark);
  const destination = await federation.destination(THERE);
  await publish(tidemark, [A, "-", "$1"], ["@c:x", "-", "$1"]);
  await eventually(async () => (await take(destination)).lines.length === 2, "both");
  const first = await take(destination);
  await publish(tidemark, [A, "-", "$2"]);
  await eventually(async () => (await take(destination)).id !== first.id, "the later one");
  await first.acknowledge();
  assert.equal((await take(destination)).lines, [`${ROOM} ${A} - → $2`]);
});

reader("that takes over continues after the last acknowledgement", async () => {
  await using tidemark = await startFederation();
  await publish(tidemark, [A, "-", "$1"]);
  {
    await using federation = await open(tidemark);
    const destination = await federation.destination(THERE);
    await (await take(destination)).acknowledge();
    await publish(tidemark, [A, "-", "$2"]);
    assert.equal((await take(destination)).lines, [`${ROOM} ${A} - → $2`]);
  }
  await using federation = await open(tidemark);
  const destination = await federation.destination(THERE);
  const { lines, acknowledge } = await take(destination);
  assert.equal(lines, [`${ROOM} ${A} - → $2`]);
  await acknowledge();
  destination.close();
  assert.is(await destination.next(), undefined);
});

reader("gets at most 100 EDUs at once, the oldest first, until it has had all of them", async () => {
  await using tidemark = await startFederation();
  const threads = Array.from({ length: 250 }, (_, i) => `$t${String(i).padStart(3, "0")}`);
  await publish(tidemark, ...threads.map((thread): [string, string, string] => [A, thread, thread]));
  await using federation = await open(tidemark);
  const destination = await federation.destination(THERE);
  const transactions = await takeAll(destination, 3);
  assert.equal(
    transactions.map(({ edus }) => edus.length),
    [100, 100, 50],
  );
  assert.equal(
    transactions.flatMap(({ lines }) => lines),
    threads.map((thread) => `${ROOM} ${A} ${thread} → ${thread}`),
  );
});

reader("that takes over after a partial delivery gets all of the rest", async () => {
  await using tidemark = await startFederation();
  const threads = Array.from({ length: 130 }, (_, i) => `$t${String(i).padStart(3, "0")}`);
  await publish(tidemark, ...threads.map((thread): [string, string, string] => [A, thread, thread]));
  {
    await using federation = await open(tidemark);
    await (await take(await federation.destination(THERE))).acknowledge();
  }
  await using federation = await open(tidemark);
  const { lines } = await take(await federation.destination(THERE));
  assert.equal(
    lines,
    threads.slice(100).map((thread) => `${ROOM} ${A} ${thread} → ${thread}`),
  );
});

reader("with a limit lower than the backlog reads on after each acknowledgement", async () => {
  await using tidemark = await startFederation();
  const users = Array.from({ length: 30 }, (_, i) => `@${String(i).padStart(2, "0")}:here.example`);
  await publish(tidemark, ...users.map((user): [string, string, string] => [user, "-", "$1"]));
  await using federation = await open(tidemark, 12);
  const destination = await federation.destination(THERE);
  const transactions = await takeAll(destination, 3);
  assert.equal(
    transactions.map(({ lines }) => lines.length),
    [12, 12, 6],
  );
  assert.equal(
    transactions.flatMap(({ lines }) => lines),
    users.map((user) => `${ROOM} ${user} - → $1`),
  );
});

reader("starts over on a stream that was deleted and created again", async () => {
  await using tidemark = await startFederation();
  await publish(tidemark, [A, "-", "$1"], [A, "-", "$2"], [A, "-", "$3"]);
  {
    await using federation = await open(tidemark);
    await (await take(await federation.destination(THERE))).acknowledge();
  }
  const { config } = await tidemark.jsm.streams.info("TIDEMARK_FEDERATION_1");
  await tidemark.jsm.streams.delete("TIDEMARK_FEDERATION_1");
  await tidemark.jsm.streams.add(config);
  await publish(tidemark, [A, "-", "$4"]);
  await using federation = await open(tidemark);
  assert.equal((await take(await federation.destination(THERE))).lines, [`${ROOM} ${A} - → $4`]);
});

reader("continues after a restart of the broker", async () => {
  await using tidemark = await startFederation();
  await using federation = await open(tidemark);
  const destination = await federation.destination(THERE);
  const next = take(destination);
  await tidemark.restartBroker();
  await eventually(
    () =>
      publish(tidemark, [A, "-", "$1"]).then(
        () => true,
        () => false,
      ),
    "published",
  );
  const { lines, acknowledge } = await next;
  assert.equal(lines, [`${ROOM} ${A} - → $1`]);
  await acknowledge();
});

reader("stops waiting when its signal is aborted", async () => {
  await using tidemark = await startFederation();
  await using federation = await open(tidemark);
  const destination = await federation.destination(THERE);
  const waiting = new AbortController();
  const next = destination.next(waiting.signal);
  waiting.abort();
  assert.is(await next, undefined);
});

reader("lists every destination, those from before it started and new ones", async () => {
  await using tidemark = await startFederation();
  await using federation = await open(tidemark);
  await tidemark.sent("state", ROOM, [member(A), member("@b:there.example"), member("@c:[::1]:8448")]);
  await tidemark.sent("event", ROOM, [message("$1"), message("$2")]);
  const stored = tidemark.subscribe("tidemark.federation.*.*");
  await tidemark.sent("receipt", ROOM, read(A, "$1"));
  await eventually(() => stored.messages.length === 2, "both");
  const destinations = federation.destinations();
  const before = [(await destinations.next()).value, (await destinations.next()).value].sort();
  assert.equal(before, ["[::1]:8448", THERE]);
  const third = destinations.next();
  await tidemark.sent("event", ROOM, member("@d:new.example"));
  await tidemark.sent("receipt", ROOM, read(A, "$2"));
  assert.is((await third).value, "new.example");

  const literal = await federation.destination("[::1]:8448");
  await (await take(literal)).acknowledge();
});

reader("refuses an invalid server name, and a broker without Tidemark's streams", async () => {
  await using tidemark = await startFederation();
  await using federation = await open(tidemark);
  await rejects(federation.destination("there.*"), "M_INVALID_PARAM");
  await tidemark.jsm.streams.delete("TIDEMARK_FEDERATION_1");
  await rejects(openFederation({ nats: tidemark.url, readyMs: 0 }), "BUS_UNAVAILABLE");
});

// E24
reader("goes on when its stream was deleted and made again, and so does one that starts then", async () => {
  await using tidemark = await startFederation();
  await using federation = await open(tidemark);
  const destination = await federation.destination(THERE);
  for (const event of ["$1", "$2", "$3"]) await publish(tidemark, [A, "-", event]);
  await eventually(async () => {
    const [transaction] = await takeAll(destination, 1);
    return transaction?.lines[0]?.endsWith("$3");
  }, "all of the first stream");
  await tidemark.jsm.streams.delete("TIDEMARK_FEDERATION_1");
  const isThere = () =>
    tidemark.jsm.streams.info("TIDEMARK_FEDERATION_1").then(
      () => true,
      () => false,
    );
  await eventually(isThere, "a worker makes it again");
  await publish(tidemark, [A, "-", "$4"]);
  assert.equal((await takeAll(destination, 1))[0]!.lines, [`${ROOM} ${A} - → $4`]);
  destination.close();
  await publish(tidemark, [A, "-", "$5"]);
  const late = await federation.destination(THERE);
  assert.equal((await take(late)).lines, [`${ROOM} ${A} - → $5`]);
});

reader.run();
