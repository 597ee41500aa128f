/** Ingress and its log: when it replies, what it batches, and what it says when the log is slow, full or gone. */
import { DiscardPolicy, StringCodec } from "nats";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  BASE,
  type Body,
  eventually,
  message,
  positionOf,
  receipt,
  sequenceOf,
  startBus,
  startOn,
  startTidemark,
  type TidemarkHarness,
} from "../support/harness.ts";

const ROOM = "!ingress:a.org";
const BOB = "@bob:a.org";
const text = StringCodec();

/**
 * Replaces the log with one that acknowledges appends only after `acknowledgeAll`. The streams are deleted, because
 * they would acknowledge, too.
 */
async function slowLog(tidemark: TidemarkHarness) {
  for (let partition = 0; partition < tidemark.partitions; partition++) {
    await tidemark.jsm.streams.delete(`TIDEMARK_LOG_${partition}`);
  }
  const replies: string[] = [];
  let acknowledging = false;
  let sequence = 0;
  const acknowledge = (reply: string) => {
    tidemark.nc.publish(reply, text.encode(JSON.stringify({ stream: "slow", seq: ++sequence })));
  };
  tidemark.nc.subscribe("tidemark.log.>", {
    callback: (_, { reply }) => {
      if (acknowledging) acknowledge(reply!);
      else replies.push(reply!);
    },
  });
  return {
    appends: () => replies.length,
    acknowledgeAll: () => {
      acknowledging = true;
      for (const reply of replies) acknowledge(reply);
    },
  };
}

const appends = suite("appends to the log");

appends("a reply comes only after the log has acknowledged", async () => {
  await using tidemark = await startTidemark({ roles: ["ingress"] });
  const log = await slowLog(tidemark);
  let answered = false;
  const reply = tidemark.send("event", ROOM, message("$1")).then((reply) => {
    answered = true;
    return reply;
  });
  await eventually(() => log.appends() === 1, "an append");
  // An early reply would arrive during the round trip of another request.
  await tidemark.send("event", ROOM, "nothing");
  assert.is(answered, false);
  log.acknowledgeAll();
  assert.equal(await reply, { ok: true, positions: [positionOf(1, 0)] });
});

// E10
appends("an overloaded ingress says when to retry, and accepts more once the log has caught up", async () => {
  await using tidemark = await startTidemark({ roles: ["ingress"] });
  const log = await slowLog(tidemark);
  // 80 requests of 8 × 60 KB: more than the 32 MiB that may be in flight.
  const content = { body: "x".repeat(60_000) };
  const requests = Array.from({ length: 80 }, (_, i) =>
    tidemark.send(
      "event",
      `!r${i}:a.org`,
      Array.from({ length: 8 }, (_, j) => message(`$${i}-${j}`, { content })),
    ),
  );
  const first = await Promise.race(requests);
  assert.is(first.ok, false);
  assert.is(first.errcode, "M_LIMIT_EXCEEDED");
  assert.ok(Number.isInteger(first.retry_after_ms) && first.retry_after_ms > 0);
  log.acknowledgeAll();
  const replies = await Promise.all(requests);
  const accepted = replies.filter(({ ok }) => ok).length;
  assert.ok(accepted > 60 && accepted < 80, `${accepted} were accepted`);
  for (const reply of replies) if (!reply.ok) assert.is(reply.errcode, "M_LIMIT_EXCEEDED");
  assert.is((await tidemark.send("event", ROOM, message("$after"))).ok, true);
});

appends("without its log a request is refused with M_UNKNOWN and the cause, an edu as well", async () => {
  await using tidemark = await startTidemark({ roles: ["ingress"] });
  for (const partition of [0, 1]) await tidemark.jsm.streams.delete(`TIDEMARK_LOG_${partition}`);
  const reply = await tidemark.send("event", ROOM, message("$1"));
  assert.is(reply.errcode, "M_UNKNOWN");
  assert.match(reply.error, "no stream takes it");
  const edu = { [ROOM]: { "m.read": { "@u:far.org": { event_ids: ["$1"], data: { ts: 1 } } } } };
  assert.is((await tidemark.send("edu", "far.org", edu)).errcode, "M_UNKNOWN");
});

// E9
appends("a full log refuses with M_UNKNOWN and the cause, and keeps its records", async () => {
  await using bus = await startBus();
  await bus.jsm.streams.add({
    name: "TIDEMARK_LOG_0",
    subjects: ["tidemark.log.0.*"],
    discard: DiscardPolicy.New,
    deny_delete: true,
    deny_purge: true,
    max_bytes: 4_096,
  });
  await using _tidemark = await startOn(bus, { partitions: 1 });
  const replies: Body[] = [];
  for (let i = 0; i < 10; i++) {
    replies.push(await bus.send("event", ROOM, message(`$${i}`, { content: { body: "x".repeat(1_000) } })));
  }
  const stored = replies.filter(({ ok }) => ok);
  assert.ok(stored.length > 0 && stored.length < 10);
  assert.is(replies.at(-1).errcode, "M_UNKNOWN");
  assert.match(replies.at(-1).error, /maximum bytes/);
  assert.equal(await bus.lastSequences(), [1 + stored.length]);
  const { orders } = await bus.query(ROOM, { op: "orders", event_ids: ["$0", "$9"] });
  assert.equal(orders, { $0: BASE + 1, $9: null });
});

appends("concurrent receipts of a room share records", async () => {
  await using tidemark = await startTidemark();
  const replies = await Promise.all(
    Array.from({ length: 200 }, (_, i) => tidemark.sent("receipt", ROOM, receipt(`@u${i}:a.org`, "$1"))),
  );
  assert.is(new Set(replies.flat()).size, 200, "every receipt has its own position");
  const records = await tidemark.records(tidemark.partitionOf(ROOM));
  assert.is(
    records.reduce((sum, { entries }) => sum + entries.length, 0),
    200,
  );
  assert.ok(records.length <= 50, `${records.length} records`);
  for (const [i, [position]] of replies.entries()) {
    const record = records.find(({ sequence }) => sequence === sequenceOf(position!));
    assert.is(record?.entries[position! % 1024]?.[1], `@u${i}:a.org`, "every sender got its own position");
  }
});

appends("receipts of a room that arrive one by one during an append are batched for the linger time", async () => {
  await using tidemark = await startTidemark({ roles: ["ingress"] });
  const log = await slowLog(tidemark);
  const replies = [tidemark.sent("receipt", ROOM, receipt(BOB, "$0"))];
  await eventually(() => log.appends() === 1, "an append");
  const startedAt = performance.now();
  for (let i = 1; i <= 100; i++) {
    replies.push(tidemark.sent("receipt", ROOM, receipt(BOB, `$${i}`)));
    await tidemark.nc.flush();
  }
  await eventually(() => log.appends() > 1, "another append");
  const lingers = Math.ceil((performance.now() - startedAt) / 5) + 1;
  const count = log.appends();
  log.acknowledgeAll();
  await Promise.all(replies);
  assert.ok(count <= 1 + lingers, `${count} appends in ${lingers} lingers`);
});

appends("two ingress processes on one broker share the requests, and store each once", async () => {
  await using tidemark = await startTidemark();
  await using _other = await startOn(tidemark, { roles: ["ingress"] });
  await Promise.all(
    Array.from({ length: 100 }, (_, i) => tidemark.sent("event", `!r${i % 7}:a.org`, message(`$${i}`))),
  );
  const records = (await Promise.all([0, 1].map((partition) => tidemark.records(partition)))).flat();
  const ids = records.flatMap(({ entries }) => entries.map(([, event]) => event.event_id));
  assert.is(ids.length, 100);
  assert.is(new Set(ids).size, 100);
});

appends.run();
