/** What Tidemark publishes (docs/design.md#what-is-published), on a real broker. */
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Entry } from "../../actors/entry.ts";
import { fold } from "../../actors/room/fold.ts";
import { Room } from "../../actors/room/room.ts";
import type { RoomId } from "../../src/matrix/ids.ts";
import { Publisher } from "../../src/worker/publisher.ts";
import { DeltaReader } from "../support/delta-reader.ts";
import { BASE, type Body, decoded, eventually, message, messages, receipt, startTidemark } from "../support/harness.ts";
import { BOB, PUBLISHED, ROOM, settled, shows, subjects } from "../support/published.ts";

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
  await tidemark.sent("event", ROOM, messages(400));
  const published = tidemark.subscribe(subjects(tidemark).receipts);
  const startedAt = performance.now();
  for (let i = 0; i < 400; i++) await tidemark.sent("receipt", ROOM, receipt(BOB, `$${i}`));
  await published.next(shows("$399", BOB));
  const windows = Math.ceil((performance.now() - startedAt) / 20) + 2;
  assert.ok(published.messages.length <= windows, `${published.messages.length} deltas in ${windows} windows`);
  for (const { body } of published.messages) {
    assert.is(Object.keys(body.event.content).length, 1, "one marker of one user");
  }
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

publishing.run();
