/**
 * What Tidemark publishes (docs/design.md#what-is-published), and the streams that keep it (docs/design.md#subjects),
 * on a real broker.
 */
import { AckPolicy, DeliverPolicy } from "nats";
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Entry } from "../../actors/entry.ts";
import { fold } from "../../actors/room/fold.ts";
import { Room } from "../../actors/room/room.ts";
import { deltaHeaders } from "../../src/bus/contract/delta-headers.ts";
import type { RoomId } from "../../src/matrix/ids.ts";
import { Publisher } from "../../src/worker/publisher.ts";
import { DeltaReader } from "../support/delta-reader.ts";
import {
  BASE,
  type Body,
  decoded,
  eventually,
  message,
  type Received,
  receipt,
  startTidemark,
  type TidemarkHarness,
  token,
} from "../support/harness.ts";

const ROOM = "!publishing:a.org";
const BOB = "@bob:a.org";
const DAY_NS = 86_400_000_000_000;

/** Every subject that Tidemark publishes on. */
const PUBLISHED = ["client", "user", "federation", "rejected"].map((kind) => `tidemark.${kind}.>`);

function subjects(tidemark: TidemarkHarness, room = ROOM) {
  const partition = tidemark.partitionOf(room);
  return {
    events: `tidemark.client.${partition}.${token(room)}.events`,
    receipts: `tidemark.client.${partition}.${token(room)}.receipts`,
    user: (user: string) => `tidemark.user.${partition}.${token(user)}.receipts`,
    rejected: `tidemark.rejected.${partition}.${token(room)}`,
  };
}

/** Sends an event and waits until it is published, so that the next change has a delta of its own. */
async function settled(tidemark: TidemarkHarness, event: Record<string, unknown>): Promise<void> {
  const events = tidemark.subscribe(subjects(tidemark).events);
  await tidemark.sent("event", ROOM, event);
  await events.next(({ events }) => events.some((other: Body) => other.event_id === event.event_id));
}

function shows(event: string, user: string) {
  return (body: Body) => body.event?.content[event]?.["m.read"]?.[user] !== undefined;
}

const publishing = suite("publishing");

publishing("events carry their order, and are otherwise unchanged", async () => {
  await using tidemark = await startTidemark();
  const published = tidemark.subscribe(subjects(tidemark).events);
  const first = message("$1", { unsigned: { age: 5, order: 99 }, room_id: ROOM });
  const [position] = await tidemark.sent("event", ROOM, first);
  assert.equal((await published.next()).body, {
    v: 1,
    room_id: ROOM,
    position,
    previous: 0,
    kind: "live",
    events: [{ ...first, unsigned: { age: 5, order: BASE + 1 } }],
  });

  const [, p3] = await tidemark.sent("backfill", ROOM, [message("$2"), message("$3")]);
  assert.equal((await published.next(({ position }) => position === p3)).body, {
    v: 1,
    room_id: ROOM,
    position: p3,
    previous: position,
    kind: "backfill",
    events: [
      { ...message("$2"), unsigned: { order: -1 } },
      { ...message("$3"), unsigned: { order: -2 } },
    ],
  });
});

publishing("members whom a state entry sets are published, in the chain of the room's events", async () => {
  await using tidemark = await startTidemark();
  const events = tidemark.subscribe(subjects(tidemark).events);
  const [first] = await tidemark.sent("event", ROOM, message("$1"));
  await events.next();
  const member = { ...message("$bob"), type: "m.room.member", state_key: BOB, content: { membership: "join" } };
  const [second] = await tidemark.sent("state", ROOM, [member]);
  const stated = await events.next(({ kind }) => kind === "state");
  assert.equal(stated.body, {
    v: 1,
    room_id: ROOM,
    position: second,
    previous: first,
    kind: "state",
    events: [],
    members: { [BOB]: { membership: "join", position: second } },
  });
  await tidemark.restart();
  await tidemark.sent("event", ROOM, message("$2"));
  assert.is((await events.next((body) => body.position > second!)).body.previous, second);
});

publishing("public receipts are published in one m.receipt, with the order of their event", async () => {
  await using tidemark = await startTidemark();
  await settled(tidemark, message("$1"));
  const order = BASE + 1;
  const published = tidemark.subscribe(subjects(tidemark).receipts);
  const [p1, p2] = await tidemark.sent("receipt", ROOM, [
    receipt(BOB, "$1"),
    receipt("@eve:a.org", "$1", { thread_id: "main", ts: 6 }),
  ]);
  assert.equal((await published.next()).body, {
    v: 1,
    room_id: ROOM,
    position: p2,
    previous: 0,
    event: {
      type: "m.receipt",
      content: {
        $1: { "m.read": { [BOB]: { ts: 5_000, order }, "@eve:a.org": { ts: 6, order, thread_id: "main" } } },
      },
    },
  });
  assert.ok(p1! < p2!);
});

publishing("a receipt for an unknown event is published after the event, and not before", async () => {
  await using tidemark = await startTidemark();
  const all = tidemark.subscribe("tidemark.client.>");
  await tidemark.sent("receipt", ROOM, receipt(BOB, "$late"));
  await settled(tidemark, message("$other"));
  const [position] = await tidemark.sent("event", ROOM, message("$late"));
  const { body } = await all.next(shows("$late", BOB));
  assert.equal(body, {
    v: 1,
    room_id: ROOM,
    position,
    previous: 0,
    event: { type: "m.receipt", content: { $late: { "m.read": { [BOB]: { ts: 5_000, order: BASE + 2 } } } } },
  });
});

publishing("a receipt on a backfilled event has order 0", async () => {
  await using tidemark = await startTidemark();
  const published = tidemark.subscribe(subjects(tidemark).receipts);
  await tidemark.sent("backfill", ROOM, message("$old"));
  await tidemark.sent("receipt", ROOM, receipt(BOB, "$old"));
  const { body } = await published.next();
  assert.equal(body.event.content, { $old: { "m.read": { [BOB]: { ts: 5_000, order: 0 } } } });
  const own = tidemark.subscribe(subjects(tidemark).user(BOB));
  await tidemark.sent("receipt", ROOM, receipt(BOB, "$old", { receipt_type: "m.fully_read" }));
  assert.equal((await own.next()).body.fully_read, { event_id: "$old", order: 0 });
});

publishing("private receipts and the fully-read marker are published on their user's subject", async () => {
  await using tidemark = await startTidemark();
  await settled(tidemark, message("$1"));
  const order = BASE + 1;
  const published = tidemark.subscribe(subjects(tidemark).user(BOB));
  const [, p2] = await tidemark.sent("receipt", ROOM, [
    receipt(BOB, "$1", { receipt_type: "m.read.private" }),
    receipt(BOB, "$1", { receipt_type: "m.fully_read" }),
  ]);
  assert.equal((await published.next()).body, {
    v: 1,
    user_id: BOB,
    room_id: ROOM,
    position: p2,
    event: { type: "m.receipt", content: { $1: { "m.read.private": { [BOB]: { ts: 5_000, order } } } } },
    fully_read: { event_id: "$1", order },
  });
  await settled(tidemark, message("$2"));
  const [p3] = await tidemark.sent("receipt", ROOM, receipt(BOB, "$2", { receipt_type: "m.fully_read" }));
  assert.equal((await published.next(({ position }) => position === p3)).body, {
    v: 1,
    user_id: BOB,
    room_id: ROOM,
    position: p3,
    fully_read: { event_id: "$2", order: BASE + 2 },
  });
});

publishing("private receipts reach only their user, even when they are rejected", async () => {
  await using tidemark = await startTidemark();
  const all = PUBLISHED.map((subject) => tidemark.subscribe(subject));
  const [, own, , rejected] = all;
  await tidemark.sent("event", ROOM, message("$public"));
  for (const receipt_type of ["m.read.private", "m.fully_read"]) {
    const user = `@${receipt_type}:secret.org`;
    await tidemark.sent("receipt", ROOM, [
      receipt(user, "$public", { receipt_type }),
      // Their events never come, so they are held. From the ninth of a key on, each pushes the oldest out.
      ...Array.from({ length: 10 }, (_, i) => receipt(user, `$secret${i}`, { receipt_type })),
    ]);
  }
  // Rejected, because its event is in another thread.
  const wrong = { receipt_type: "m.read.private", thread_id: "$wrongthread" };
  await tidemark.sent("receipt", ROOM, receipt("@m.wrong:secret.org", "$public", wrong));
  await own!.next((_, subject) => subject.includes("fully_read"));
  await eventually(() => rejected!.messages.length === 5, "five rejections");
  await settled(tidemark, message("$end"));

  for (const { subject, raw } of all.flatMap(({ messages }) => messages)) {
    if (subject.startsWith("tidemark.user.")) continue;
    const text = Buffer.from(raw).toString("latin1");
    for (const secret of ["secret", "m.read.private", "m.fully_read", "wrongthread"]) {
      assert.not.ok(text.includes(secret), `${secret} on ${subject}`);
      assert.not.ok(subject.includes(secret), subject);
    }
  }
  for (const { subject, body } of own!.messages) {
    assert.is(subject, subjects(tidemark).user(body.user_id));
    const text = JSON.stringify(body.event ?? {});
    for (const other of text.match(/@[^"]+/g) ?? []) assert.is(other, body.user_id);
  }
});

publishing("a rejected receipt is published with its position, fields and reason", async () => {
  await using tidemark = await startTidemark();
  const published = tidemark.subscribe(subjects(tidemark).rejected);
  await tidemark.sent("event", ROOM, message("$1"));
  await tidemark.sent("state", ROOM, [
    message("$bob", { type: "m.room.member", state_key: BOB, content: { membership: "join" } }),
    message("$acl", { type: "m.room.server_acl", state_key: "", content: { allow: ["*"], deny: ["evil.org"] } }),
  ]);
  const wrong = receipt(BOB, "$1", { thread_id: "$elsewhere" });
  const [position] = await tidemark.sent("receipt", ROOM, wrong);
  const { body } = await published.next();
  assert.type(body.detail, "string");
  assert.equal(
    { ...body, detail: "" },
    { v: 1, room_id: ROOM, position, entry: wrong, reason: "wrong_thread", detail: "" },
  );

  for (const [origin, reason] of [
    ["evil.org", "acl_denied"],
    ["far.org", "not_joined"],
  ]) {
    const user = `@u:${origin}`;
    await tidemark.send("edu", origin!, {
      [ROOM]: { "m.read": { [user]: { event_ids: ["$1"], data: { ts: 3 } } } },
    });
    const { body } = await published.next(({ reason: other }) => other === reason);
    assert.equal(body.entry, { user_id: user, receipt_type: "m.read", event_id: "$1", ts: 3, origin });
  }
});

publishing("a held receipt that is pushed out is published with its own position", async () => {
  await using tidemark = await startTidemark();
  const published = tidemark.subscribe(subjects(tidemark).rejected);
  const positions = await tidemark.sent(
    "receipt",
    ROOM,
    Array.from({ length: 9 }, (_, i) => receipt(BOB, `$unknown${i}`)),
  );
  const { body } = await published.next();
  assert.is(body.reason, "held_overflow");
  assert.is(body.position, positions[0]);
  assert.is(body.entry.event_id, "$unknown0");
});

publishing("of an unthreaded and a threaded receipt on one event, the unthreaded one is published", async () => {
  for (const threadedFirst of [true, false]) {
    await using tidemark = await startTidemark();
    await settled(tidemark, message("$1"));
    const published = tidemark.subscribe(subjects(tidemark).receipts);
    const both = [receipt(BOB, "$1", { thread_id: "main", ts: 1 }), receipt(BOB, "$1", { ts: 2 })];
    await tidemark.sent("receipt", ROOM, threadedFirst ? both : both.reverse());
    const { body } = await published.next();
    assert.equal(body.event.content, { $1: { "m.read": { [BOB]: { ts: 2, order: BASE + 1 } } } });
  }
});

publishing("within a flush window later markers replace earlier ones", async () => {
  await using tidemark = await startTidemark();
  const ids = Array.from({ length: 400 }, (_, i) => `$${i}`);
  await tidemark.sent(
    "event",
    ROOM,
    ids.map((id) => message(id)),
  );
  const published = tidemark.subscribe(subjects(tidemark).receipts);
  const startedAt = performance.now();
  for (const id of ids) await tidemark.sent("receipt", ROOM, receipt(BOB, id));
  await published.next(shows("$399", BOB));
  const windows = Math.ceil((performance.now() - startedAt) / 20) + 2;
  assert.ok(published.messages.length <= windows, `${published.messages.length} deltas in ${windows} windows`);
  for (const { body } of published.messages) {
    assert.is(Object.keys(body.event.content).length, 1, "one marker of one user");
  }
});

publishing("under load deltas have no gap, and an event comes before its markers", async () => {
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

publishing("a marker that moves while its delta is in flight is in the next delta, after its event", async () => {
  const room = new Room(ROOM as RoomId, 0);
  const sent: { subject: string; body: Body; acknowledge: () => void }[] = [];
  const acked = {
    publish: (subject: string, payload: Uint8Array) =>
      new Promise<number>((resolve) => {
        sent.push({ subject, body: decoded(payload), acknowledge: () => resolve(1) });
      }),
  };
  const publisher = new Publisher({ partition: 0, acked, published: 0, log: pino({ level: "silent" }) });
  const feed = (position: number, entry: unknown) => {
    const outcome = fold(room, position, entry as Entry);
    publisher.add(room, { position, at: 0, entry: entry as Entry, outcome });
  };
  const delta = async (index: number) => {
    await eventually(() => sent.length > index, `delta ${index}`);
    sent[index]!.acknowledge();
    return sent[index]!;
  };

  feed(1, [0, message("$1")]);
  feed(2, [2, BOB, "m.read", "$1", null, 7, null]);
  await eventually(() => sent.length === 1, "the first event");
  feed(3, [0, message("$2")]);
  feed(4, [2, "@eve:a.org", "m.read", "$2", null, 7, null]);
  feed(5, [2, BOB, "m.read", "$2", null, 7, null]);
  const reader = new DeltaReader();
  for (let i = 0; i < 4; i++) {
    const { subject, body } = await delta(i);
    reader.read(subject, body);
  }
  publisher.close();
  assert.equal([...reader.room(ROOM).markers].sort(), [
    [`${BOB} m.read `, { event: "$2", order: 2, ts: 7 }],
    ["@eve:a.org m.read ", { event: "$2", order: 2, ts: 7 }],
  ]);
});

publishing("everything published is in its stream, and JetStream can replay it", async () => {
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

publishing("streams, and the counts of partitions and shards, match the contract", async () => {
  await using tidemark = await startTidemark({ partitions: 3 });
  const streams = await tidemark.jsm.streams.list().next();
  const shown = streams
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

publishing("the log can't be purged, and its records can't be deleted", async () => {
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

publishing("each delta has the headers that the contract declares", async () => {
  await using tidemark = await startTidemark({ partitions: 1 });
  const deltas = tidemark.subscribe("tidemark.client.>");
  await tidemark.sent("event", ROOM, message("$1"));
  await deltas.next();
  const { header } = await tidemark.jsm.streams.getMessage("TIDEMARK_DELTAS_0", { seq: 1 });
  const headers = Object.fromEntries(header.keys().map((key) => [key, header.get(key)]));
  assert.equal(deltaHeaders.parse(headers), headers);
});

publishing.run();
