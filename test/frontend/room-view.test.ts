/** The library against a real broker and a real Tidemark: snapshots, deltas, gaps and reconnects. */
import { setTimeout as delay } from "node:timers/promises";
import { pack } from "msgpackr";
import { headers } from "nats";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type ClientEvent, connect, type Frontend, type RoomChange, type RoomView } from "../../src/frontend/index.ts";
import {
  BASE,
  eventually,
  message,
  receipt,
  rejects,
  startTidemark,
  type TidemarkHarness,
  token,
} from "../support/harness.ts";
import { iterated } from "../support/iterated.ts";

const ROOM = "!room:a.org";
const OTHER_ROOM = "!other:a.org";
const BOB = "@bob:b.org";
const CAROL = "@carol:a.org";

const joined = (user: string) =>
  message(`$join-${user}`, { type: "m.room.member", state_key: user, sender: user, content: { membership: "join" } });

const live = (view: RoomView, what: () => unknown) => eventually(what, `${view.room} shows it`);

/** Collects the changes of a view from now on. */
function changesOf(view: RoomView): RoomChange[] {
  const changes: RoomChange[] = [];
  view.subscribe((change) => changes.push(change));
  return changes;
}

const room = suite("room view");

room("a view starts with a snapshot, and follows the deltas from there", async () => {
  await using tidemark = await startTidemark();
  await tidemark.sent("event", ROOM, [message("$1"), message("$2")]);
  await tidemark.sent("receipt", ROOM, receipt(BOB, "$1"));
  await using frontend = await connect({ nats: tidemark.url });
  await using view = await frontend.room(ROOM);
  assert.is(view.isRead("$1", BOB), true);
  assert.is(view.isRead("$2", BOB), false);
  assert.is(view.unread(BOB).total, 1);

  const changes = changesOf(view);
  await tidemark.sent("event", ROOM, message("$3"));
  await tidemark.sent("receipt", ROOM, receipt(BOB, "$3"));
  await live(view, () => view.isRead("$3", BOB) === true);
  assert.is(view.unread(BOB).total, 0);
  assert.ok(view.order("$3")! > view.order("$2")!);
  assert.equal(view.readers("$2"), [BOB]);
  assert.equal(
    changes.map(({ kind }) => kind),
    ["events", "receipts"],
  );
});

room("a view follows the members whom a state entry sets", async () => {
  await using tidemark = await startTidemark();
  await tidemark.sent("event", ROOM, message("$1"));
  await using frontend = await connect({ nats: tidemark.url });
  await using view = await frontend.room(ROOM);
  const changes = changesOf(view);
  const member = { ...message("$m"), type: "m.room.member", state_key: BOB, content: { membership: "join" } };
  await tidemark.sent("state", ROOM, member);
  await live(view, () => view.members.get(BOB) === "join");
  await tidemark.sent("event", ROOM, message("$2"));
  await live(view, () => view.order("$2") !== undefined);
  assert.equal(changes[0], { kind: "members", members: { [BOB]: "join" } });
  assert.equal(
    changes.map(({ kind }) => kind),
    ["members", "events"],
  );
});

room("rooms share one subscription, and no view gets another room's changes", async () => {
  await using tidemark = await startTidemark({ partitions: 1, roles: ["ingress", "worker"] });
  await using frontend = await connect({ nats: tidemark.url });
  await using one = await frontend.room(ROOM);
  await using other = await frontend.room(OTHER_ROOM);
  const changes = changesOf(other);
  await tidemark.sent("event", ROOM, message("$1"));
  await live(one, () => one.order("$1") !== undefined);
  await tidemark.sent("event", OTHER_ROOM, message("$2"));
  await live(other, () => other.order("$2") !== undefined);
  assert.is(other.order("$1"), undefined);
  assert.is(changes.length, 1);
  const { state } = await tidemark.jsm.streams.info("TIDEMARK_DELTAS_0");
  assert.is(state.consumer_count, 1);
});

room("private receipts and the fully-read marker are only in their user's view", async () => {
  await using tidemark = await startTidemark();
  await tidemark.sent("event", ROOM, [joined(BOB), joined(CAROL), message("$1"), message("$2")]);
  await tidemark.sent("receipt", ROOM, receipt(CAROL, "$1", { receipt_type: "m.read.private" }));
  await using frontend = await connect({ nats: tidemark.url });
  await using own = await frontend.room(ROOM, { userId: CAROL });
  await using others = await frontend.room(ROOM, { userId: BOB });
  assert.is(own.isRead("$1", CAROL), true);
  assert.is(others.isRead("$1", CAROL), false);
  await tidemark.sent("receipt", ROOM, [
    receipt(CAROL, "$2", { receipt_type: "m.read.private" }),
    receipt(CAROL, "$2", { receipt_type: "m.fully_read" }),
  ]);
  await live(own, () => own.isRead("$2", CAROL));
  const fullyRead = own.markers.of(CAROL).find(({ type }) => type === "m.fully_read");
  assert.is(fullyRead?.event, "$2");
  await tidemark.sent("receipt", ROOM, receipt(BOB, "$2"));
  await live(others, () => others.isRead("$2", BOB));
  assert.is(others.isRead("$2", CAROL), false);
  assert.equal(others.markers.of(CAROL), []);
});

room(
  "an m.fully_read that a homeserver has accepted may move back, and a delta of before changes nothing",
  async () => {
    await using tidemark = await startTidemark();
    const sent = (event: string, more: Record<string, unknown> = {}) =>
      tidemark.sent("receipt", ROOM, receipt(CAROL, event, { receipt_type: "m.fully_read", ...more }));
    await tidemark.sent("event", ROOM, [joined(CAROL), message("$1"), message("$2"), message("$3")]);
    await using frontend = await connect({ nats: tidemark.url });
    await using view = await frontend.room(ROOM, { userId: CAROL });
    const stream = `TIDEMARK_DELTAS_${tidemark.partitionOf(ROOM)}`;
    const subject = `tidemark.user.${tidemark.partitionOf(ROOM)}.${token(CAROL)}.receipts`;
    const at = () => view.markers.of(CAROL).map(({ event }) => event);
    const changes = changesOf(view);
    await sent("$3");
    await live(view, () => at()[0] === "$3");
    const old = await tidemark.jsm.streams.getMessage(stream, { last_by_subj: subject });
    await sent("$1", { accepted: true });
    await live(view, () => at()[0] === "$1");
    changes.length = 0;
    await tidemark.nc.jetstream().publish(subject, old.data, { headers: old.header });
    await sent("$2");
    await live(view, () => at()[0] === "$2");
    assert.equal(
      changes.map((change) => change.kind === "private" && change.fullyRead?.event_id),
      ["$2"],
    );
  },
);

room("a gap in `previous` leads to a snapshot", async () => {
  await using tidemark = await startTidemark({ partitions: 1 });
  await using frontend = await connect({ nats: tidemark.url });
  await using view = await frontend.room(ROOM);
  const changes = changesOf(view);
  const far = Number.MAX_SAFE_INTEGER;
  const event = { type: "m.receipt", content: {} };
  const delta = { v: 1, room_id: ROOM, position: far, previous: far - 1, event };
  await tidemark.nc.jetstream().publish(`tidemark.client.0.${token(ROOM)}.receipts`, Uint8Array.from(pack(delta)));
  await live(view, () => changes.some(({ kind }) => kind === "snapshot"));
});

room("a delta that the view already has is dropped", async () => {
  await using tidemark = await startTidemark({ partitions: 1 });
  await tidemark.sent("event", ROOM, message("$1"));
  await using frontend = await connect({ nats: tidemark.url });
  await using view = await frontend.room(ROOM);
  await live(view, () => view.order("$1") !== undefined);
  const changes = changesOf(view);
  const { subject, data, header } = await tidemark.jsm.streams.getMessage("TIDEMARK_DELTAS_0", { seq: 1 });
  await tidemark.nc.jetstream().publish(subject, data, { headers: header });
  await tidemark.sent("event", ROOM, message("$2"));
  await live(view, () => view.order("$2") !== undefined);
  assert.is(changes.length, 1);
});

// E19
room("after a restart of the broker, the deltas continue where they stopped", async () => {
  await using tidemark = await startTidemark();
  await using frontend = await connect({ nats: tidemark.url });
  await using view = await frontend.room(ROOM);
  await tidemark.sent("event", ROOM, message("$1"));
  await live(view, () => view.order("$1") !== undefined);
  const changes = changesOf(view);
  await tidemark.restartBroker();
  const send = () => tidemark.send("event", ROOM, message("$2")).catch(() => ({ ok: false }));
  await eventually(async () => (await Promise.race([send(), delay(500, { ok: false })])).ok, "sent");
  await live(view, () => view.order("$2") !== undefined);
  assert.ok(changes.every(({ kind }) => kind === "events"));
});

room("a view that missed deltas which the stream no longer has loads a snapshot", async () => {
  await using tidemark = await startTidemark({ partitions: 1 });
  await using frontend = await connect({ nats: tidemark.url });
  await using view = await frontend.room(ROOM);
  await tidemark.sent("event", ROOM, message("$1"));
  await live(view, () => view.order("$1") !== undefined);
  const changes = changesOf(view);
  // Deltas are lost before any reader can get them.
  const { config } = await tidemark.jsm.streams.info("TIDEMARK_DELTAS_0");
  await tidemark.jsm.streams.update("TIDEMARK_DELTAS_0", { ...config, subjects: ["nobody.publishes.this"] });
  const sent = tidemark.sent("event", ROOM, [message("$2"), message("$3")]);
  await sent;
  await tidemark.jsm.streams.purge("TIDEMARK_DELTAS_0", { seq: 1_000 });
  await tidemark.jsm.streams.update("TIDEMARK_DELTAS_0", config);
  await tidemark.sent("event", ROOM, message("$4"));
  await live(view, () => view.order("$4") !== undefined && view.order("$2") !== undefined);
  assert.ok(changes.some(({ kind }) => kind === "snapshot"));
});

room("iteration starts with the state, yields every change, and ends when the view is closed", async () => {
  await using tidemark = await startTidemark();
  await using frontend = await connect({ nats: tidemark.url });
  const view = await frontend.room(ROOM);
  const { seen: kinds, ended } = iterated(view, ({ kind }) => kind);
  await live(view, () => kinds.length === 1);
  await tidemark.sent("event", ROOM, message("$1"));
  await tidemark.sent("receipt", ROOM, receipt(BOB, "$1"));
  await live(view, () => kinds.length === 3);
  view.close();
  await ended;
  assert.equal(kinds, ["snapshot", "events", "receipts"]);
  for await (const change of view) assert.unreachable(`a closed view has no ${change.kind}`);
});

room("closing the library closes its views, and may be repeated", async () => {
  await using tidemark = await startTidemark();
  const frontend = await connect({ nats: tidemark.url });
  const view = await frontend.room(ROOM);
  const { seen: kinds, ended } = iterated(view, ({ kind }) => kind);
  await live(view, () => kinds.length === 1);
  await frontend.close();
  await ended;
  await frontend.close();
  view.close();
  assert.equal(kinds, ["snapshot"]);
});

room("membership comes from the snapshot, and follows member events", async () => {
  await using tidemark = await startTidemark();
  const member = (id: string, membership: string) =>
    message(id, { type: "m.room.member", state_key: BOB, sender: BOB, content: { membership } });
  await tidemark.sent("event", ROOM, member("$1", "join"));
  await using frontend = await connect({ nats: tidemark.url });
  await using view = await frontend.room(ROOM);
  assert.is(view.members.get(BOB), "join");
  await tidemark.sent("event", ROOM, member("$2", "leave"));
  await live(view, () => view.members.get(BOB) === "leave");
});

room("a room with more markers than one answer can hold is loaded completely", async () => {
  await using tidemark = await startTidemark();
  await tidemark.sent("event", ROOM, message("$1"));
  const users = Array.from({ length: 10_000 }, (_, i) => `@user-of-some-length-${i}:server.example.org`);
  for (let from = 0; from < users.length; from += 1_000) {
    const part = users.slice(from, from + 1_000);
    await tidemark.sent(
      "receipt",
      ROOM,
      part.map((user) => receipt(user, "$1")),
    );
  }
  await using frontend = await connect({ nats: tidemark.url });
  await using view = await frontend.room(ROOM);
  await live(view, () => view.readers("$1").length === users.length);
});

/** Publishes on a room's subject of receipts, as nobody but a worker may. */
async function intrude(tidemark: TidemarkHarness, bytes: Uint8Array, fields: Record<string, string> = {}) {
  const subject = `tidemark.client.${tidemark.partitionOf(ROOM)}.${token(ROOM)}.receipts`;
  const made = headers();
  for (const [name, value] of Object.entries(fields)) made.set(name, value);
  await tidemark.nc.jetstream().publish(subject, bytes, { headers: made });
}

room("a delta that can't be read, or makes no sense, is a gap: the view takes a snapshot and goes on", async () => {
  await using tidemark = await startTidemark();
  await tidemark.sent("event", ROOM, message("$1"));
  await using frontend = await connect({ nats: tidemark.url });
  await using view = await frontend.room(ROOM);
  const changes = changesOf(view);
  for (const bytes of [
    new Uint8Array(),
    Buffer.from("{"),
    pack({ v: 2 }),
    pack(null),
    pack({ v: 1, room_id: ROOM, position: 1e15, previous: 0 }),
  ]) {
    changes.length = 0;
    await intrude(tidemark, bytes);
    await live(view, () => changes.some(({ kind }) => kind === "snapshot"));
  }
  await tidemark.sent("event", ROOM, message("$2"));
  await live(view, () => view.order("$2") !== undefined);
});

room("a delta of another lineage empties the view, which begins again from a snapshot", async () => {
  await using tidemark = await startTidemark();
  await tidemark.sent("event", ROOM, message("$1"));
  await using frontend = await connect({ nats: tidemark.url });
  await using view = await frontend.room(ROOM);
  // What a log that was replaced since had.
  view.note({ ...message("$gone"), unsigned: { order: 1e12 } } as unknown as ClientEvent);
  view.apply({ $gone: { "m.read": { [BOB]: { order: 1e12 } } } });
  const receipts = { v: 1, room_id: ROOM, position: 1, previous: 0, event: { type: "m.receipt", content: {} } };
  await intrude(tidemark, pack(receipts), { "Tidemark-Lineage": "another" });
  await live(view, () => view.order("$gone") === undefined);
  assert.is(view.isRead("$1", BOB), false);
  await tidemark.sent("event", ROOM, message("$2"));
  await live(view, () => view.order("$2") !== undefined);
});

room.run();

const sending = suite("sending");

async function withFrontend(test: (frontend: Frontend) => Promise<void>): Promise<void> {
  await using tidemark = await startTidemark();
  await using frontend = await connect({ nats: tidemark.url });
  await test(frontend);
}

sending("receipts and events are stored when their promise resolves, to their positions", () =>
  withFrontend(async (frontend) => {
    const event = { event_id: "$1", type: "m.room.message", sender: BOB, origin_server_ts: 1, content: {} };
    const [position] = await frontend.events.send(ROOM, event);
    const receipts = { room_id: ROOM, user_id: CAROL, receipt_type: "m.read", event_id: "$1" } as const;
    assert.ok((await frontend.receipts.send(receipts)) > position!);
    await using view = await frontend.room(ROOM);
    await live(view, () => view.isRead("$1", CAROL));
    assert.is(view.order("$1"), BASE + 1);
  }),
);

sending("a refused request has an error that says why, and whether to retry", () =>
  withFrontend(async (frontend) => {
    const receipts = { room_id: ROOM, user_id: "nobody", receipt_type: "m.read", event_id: "$1" } as const;
    const error = await rejects(frontend.receipts.send(receipts), "M_INVALID_PARAM");
    assert.match(error.message, /user_id/);
    assert.is((error as Error & { shouldRetry(): boolean }).shouldRetry(), false);
    await rejects(frontend.events.send("no room", []), "M_INVALID_PARAM");
    await rejects(frontend.room("no room"), "M_INVALID_PARAM");
  }),
);

sending("without a broker, connecting fails with an error that may be retried", async () => {
  const error = await rejects(connect({ nats: "nats://127.0.0.1:1" }), "BUS_UNAVAILABLE");
  assert.is((error as Error & { shouldRetry(): boolean }).shouldRetry(), true);
});

sending.run();
