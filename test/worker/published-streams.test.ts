/** The streams that keep what Tidemark publishes (docs/design.md#subjects), on a real broker. */
import { AckPolicy, DeliverPolicy } from "nats";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { deltaHeaders } from "../../src/bus/contract/delta-headers.ts";
import { DeltaReader } from "../support/delta-reader.ts";
import { decoded, message, type Received, receipt, startTidemark, type TidemarkHarness } from "../support/harness.ts";
import { BOB, PUBLISHED, ROOM, settled, shows } from "../support/published.ts";

const DAY_NS = 86_400_000_000_000;

/** All messages of a subject in its streams, in order. Asserts their number. */
async function replayed(tidemark: TidemarkHarness, subject: string, count: number): Promise<Received[]> {
  const found: Received[] = [];
  for (const { config } of await tidemark.jsm.streams.list(subject).next()) {
    const { name } = await tidemark.jsm.consumers.add(config.name, {
      filter_subject: subject,
      deliver_policy: DeliverPolicy.All,
      ack_policy: AckPolicy.None,
    });
    const consumer = await tidemark.nc.jetstream().consumers.get(config.name, name);
    const { num_pending } = await consumer.info();
    if (num_pending === 0) continue;
    for await (const { subject, data } of await consumer.fetch({ max_messages: num_pending })) {
      found.push({ subject, body: decoded(data), raw: data });
    }
  }
  assert.is(found.length, count);
  return found;
}

const streams = suite("published streams");

streams("under load deltas have no gap, and an event comes before its markers", async () => {
  await using tidemark = await startTidemark({ partitions: 1 });
  const all = tidemark.subscribe("tidemark.client.>");
  const rooms = Array.from({ length: 10 }, (_, i) => `!busy${i}:a.org`);
  const users = Array.from({ length: 10 }, (_, i) => `@user${i}:a.org`);
  let requests: Promise<unknown>[] = [];
  for (let i = 0; i < 200; i++) {
    for (const room of rooms) {
      const user = users[i % 10]!;
      requests.push(tidemark.sent("event", room, message(`$${i}`)));
      requests.push(tidemark.sent("receipt", room, [receipt(BOB, `$${i}`), receipt(user, `$${i}`)]));
    }
    if (i % 4 < 3) continue;
    await requests.at(-1);
    requests = requests.slice(-40);
  }
  await Promise.all(requests);

  const check = (messages: readonly Pick<Received, "subject" | "body">[]) => {
    const reader = new DeltaReader();
    for (const { subject, body } of messages) reader.read(subject, body);
    for (const room of rooms) {
      const { markers } = reader.room(room);
      assert.is(markers.get(`${BOB} m.read `)?.event, "$199");
      for (const [i, user] of users.entries()) assert.is(markers.get(`${user} m.read `)?.event, `$${190 + i}`, user);
    }
  };
  for (const room of rooms) await all.next((body) => body.room_id === room && shows("$199", BOB)(body));
  check(all.messages);
  check(await replayed(tidemark, "tidemark.client.>", all.messages.length));
});

streams("everything published is in its stream, and JetStream can replay it", async () => {
  await using tidemark = await startTidemark();
  const all = PUBLISHED.map((subject) => tidemark.subscribe(subject));
  await settled(tidemark, message("$1"));
  await tidemark.sent("receipt", ROOM, receipt(BOB, "$1", { thread_id: "$elsewhere" }));
  await tidemark.sent("receipt", ROOM, receipt(BOB, "$1", { receipt_type: "m.fully_read" }));
  await tidemark.sent("receipt", ROOM, receipt(BOB, "$1"));
  await all[0]!.next(shows("$1", BOB));
  await all[1]!.next();
  await all[3]!.next();
  for (const [i, stored] of [
    await replayed(tidemark, "tidemark.client.>", 2),
    await replayed(tidemark, "tidemark.user.>", 1),
    [],
    await replayed(tidemark, "tidemark.rejected.>", 1),
  ].entries()) {
    assert.equal(
      stored.map(({ subject, body }) => ({ subject, body })),
      all[i]!.messages.map(({ subject, body }) => ({ subject, body })),
    );
  }
});

streams("streams, and the counts of partitions and shards, match the contract", async () => {
  await using tidemark = await startTidemark({ partitions: 3 });
  const all = await tidemark.jsm.streams.list().next();
  const shown = all
    .filter(({ config }) => !config.name.startsWith("KV_"))
    .map(({ config }) => {
      const { name, subjects, storage, retention, discard, max_age, deny_delete, deny_purge } = config;
      return [name, { subjects, storage, retention, discard, max_age, deny_delete, deny_purge }];
    });
  const kept = { storage: "file", retention: "limits", discard: "old", deny_delete: false, deny_purge: false };
  const log = { ...kept, discard: "new", max_age: 0, deny_delete: true, deny_purge: true };
  const expected: Record<string, unknown> = {
    TIDEMARK_REJECTED: { ...kept, subjects: ["tidemark.rejected.*.*"], max_age: 7 * DAY_NS },
  };
  for (const p of [0, 1, 2]) {
    expected[`TIDEMARK_LOG_${p}`] = { ...log, subjects: [`tidemark.log.${p}.*`] };
    const subjects = [`tidemark.client.${p}.*.*`, `tidemark.user.${p}.*.receipts`];
    expected[`TIDEMARK_DELTAS_${p}`] = { ...kept, subjects, max_age: DAY_NS };
  }
  for (const shard of [0, 1, 2, 3]) {
    expected[`TIDEMARK_FEDERATION_${shard}`] = {
      ...kept,
      subjects: [`tidemark.federation.${shard}.*`],
      max_age: DAY_NS,
    };
  }
  assert.equal(Object.fromEntries(shown), expected);
  const bucket = await tidemark.nc.jetstream().views.kv("tidemark");
  assert.is((await bucket.get("partitions"))?.string(), "3");
  assert.is((await bucket.get("federation_shards"))?.string(), "4");
});

streams("the log can't be purged, and its records can't be deleted", async () => {
  await using tidemark = await startTidemark({ partitions: 1 });
  await tidemark.sent("event", ROOM, message("$1"));
  for (const destroy of [
    () => tidemark.jsm.streams.purge("TIDEMARK_LOG_0"),
    () => tidemark.jsm.streams.deleteMessage("TIDEMARK_LOG_0", 1),
  ]) {
    const done = await destroy().catch(() => false);
    assert.is(done, false);
  }
  assert.is((await tidemark.records(0)).length, 1);
});

streams("each delta has the headers that the contract declares", async () => {
  await using tidemark = await startTidemark({ partitions: 1 });
  const deltas = tidemark.subscribe("tidemark.client.>");
  await tidemark.sent("event", ROOM, message("$1"));
  await deltas.next();
  const { header } = await tidemark.jsm.streams.getMessage("TIDEMARK_DELTAS_0", { seq: 1 });
  const headers = Object.fromEntries(header.keys().map((key) => [key, header.get(key)]));
  assert.equal(deltaHeaders.parse(headers), headers);
});

streams.run();
