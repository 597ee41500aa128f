/** `GET /sync` over HTTP: content, visibility, long polls, and continuing from a token. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ALICE, BOB, CAROL, type Client, enc, startChat, startGateway, syncUntil } from "../../support/gateway.ts";
import { type Body, eventually, message } from "../../support/harness.ts";

const NOTHING = { join: {}, invite: {}, leave: {} };

const receiptsOf = (body: Body, room: string): Body => body.rooms.join[room]?.ephemeral.events[0]?.content ?? {};
const textsOf = (body: Body, room: string): string[] =>
  (body.rooms.join[room]?.timeline.events ?? []).flatMap((event: Body) => event.content.body ?? []);

/** The state of a client that has applied every response. */
function applied(bodies: readonly Body[], room: string) {
  const markers = new Map<string, unknown>();
  let fullyRead: unknown;
  const events: string[] = [];
  for (const body of bodies) {
    const section = body.rooms.join[room];
    if (section === undefined) continue;
    for (const { event_id } of section.timeline.events) events.push(event_id);
    for (const { content } of section.account_data.events) fullyRead = content.event_id;
    for (const [event, types] of Object.entries<Body>(receiptsOf(body, room))) {
      for (const [type, users] of Object.entries<Body>(types)) {
        for (const [user, data] of Object.entries<Body>(users)) {
          markers.set(`${user} ${type} ${data.thread_id ?? ""}`, { event, ...data });
        }
      }
    }
  }
  return { markers: [...markers].sort(([a], [b]) => (a < b ? -1 : 1)), fullyRead, events };
}

const sync = suite("sync");

sync("an incremental sync has only what changed, once", async () => {
  await using tidemark = await startChat();
  const { alice, bob, chat: room } = tidemark;
  await tidemark.room(alice, bob);
  const first = await alice.say(room, "one");
  const start = await bob.sync();
  const { body, next } = await alice
    .say(room, "two")
    .then(() => syncUntil(bob, start.next_batch, (got) => textsOf(got, room).length > 0));
  assert.equal(Object.keys(body.rooms.join), [room]);
  assert.equal(textsOf(body, room), ["two"]);
  assert.is(body.rooms.join[room].timeline.limited, false);
  assert.not.ok("room_id" in body.rooms.join[room].timeline.events[0]);
  assert.type(body.rooms.join[room].timeline.events[0].unsigned.order, "number");
  assert.equal((await bob.sync({ since: next })).rooms, NOTHING);

  await bob.read(room, first);
  const { body: receipts, next: after } = await syncUntil(alice, (await alice.sync()).next_batch, () => true);
  assert.ok(receipts.next_batch);
  assert.equal((await alice.sync({ since: after })).rooms, NOTHING);
});

sync("a long poll returns at the first change, and empty at its timeout", async () => {
  await using tidemark = await startChat();
  const { alice, bob, chat: room } = tidemark;
  const event = await bob.say(room, "hello");
  const { next_batch: since } = await alice.sync();
  // The client of the test waits less long than that.
  const waiting = alice.sync({ since, timeout: 60_000 });
  await bob.read(room, event);
  const woken = await waiting;
  assert.equal(Object.keys(receiptsOf(woken, room)[event]["m.read"]), [BOB]);
  assert.type(receiptsOf(woken, room)[event]["m.read"][BOB].order, "number");
  const idle = await alice.sync({ since: woken.next_batch, timeout: 50 });
  assert.equal(idle.rooms, NOTHING);
});

sync("who is joined by a state entry gets the room in the next poll, and who left by one gets the leave", async () => {
  await using tidemark = await startGateway();
  const { alice, bob, bus } = tidemark;
  const room = await tidemark.room(alice);
  const event = await alice.say(room, "hello");
  const { next_batch: since } = await bob.sync();
  const waiting = bob.sync({ since, timeout: 20_000 });
  const stated = (id: string, membership: string) =>
    bus.sent("state", room, { ...message(id), type: "m.room.member", state_key: BOB, content: { membership } });
  await stated("$joined", "join");
  const joined = await waiting;
  const { timeline } = joined.rooms.join[room];
  assert.is(timeline.events.at(-1).event_id, event);
  await alice.say(room, "again");
  const { next } = await syncUntil(bob, joined.next_batch, (got) => textsOf(got, room).includes("again"));
  const leaving = bob.sync({ since: next, timeout: 20_000 });
  await stated("$left", "leave");
  const left = await leaving;
  assert.equal(Object.keys(left.rooms.join), []);
  assert.equal(
    left.rooms.leave[room].state.events.map((each: Body) => each.event_id),
    ["$left"],
  );
  await alice.say(room, "secret");
  assert.equal((await bob.sync({ since: left.next_batch, timeout: 50 })).rooms, NOTHING);
});

sync("an initial sync and a full_state sync ignore the timeout", async () => {
  await using tidemark = await startGateway();
  const { next_batch: since } = await tidemark.carol.sync({ timeout: 60_000 });
  const room = await tidemark.room(tidemark.carol);
  const { next } = await syncUntil(tidemark.carol, since, (got) => got.rooms.join[room]);
  const full = await tidemark.carol.sync({ since: next, timeout: 60_000, full_state: "true" });
  const types = full.rooms.join[room].state.events.map(({ type }: Body) => type);
  assert.ok(types.includes("m.room.create") && types.includes("m.room.member"));
});

sync("receipts are one event per room, without a room id, with the current position of each marker", async () => {
  await using tidemark = await startChat();
  const { alice, bob, chat: room } = tidemark;
  const events = [await alice.say(room, "1"), await alice.say(room, "2"), await alice.say(room, "3")];
  const { next_batch: since } = await alice.sync();
  for (const event of events) await bob.read(room, event);
  await alice.read(room, events[0]!, { thread_id: "main" });
  await eventually(
    async () => ALICE in (receiptsOf(await alice.sync({ since }), room)[events[0]!]?.["m.read"] ?? {}),
    "all",
  );
  const body = await alice.sync({ since });
  const { events: ephemeral } = body.rooms.join[room].ephemeral;
  assert.is(ephemeral.length, 1);
  assert.equal(Object.keys(ephemeral[0]).sort(), ["content", "type"]);
  assert.equal(Object.keys(ephemeral[0].content).sort(), [events[0]!, events[2]!].sort());
  assert.is(ephemeral[0].content[events[0]!]["m.read"][ALICE].thread_id, "main");
});

sync("an initial sync has the same state as the incremental ones together", async () => {
  await using tidemark = await startChat();
  const { alice, bob, chat: room } = tidemark;
  const start = await bob.sync({ filter: JSON.stringify({ room: { timeline: { limit: 100 } } }) });
  const all = [start];
  let since = start.next_batch;
  const root = await alice.say(room, "root");
  let last = root;
  for (let i = 0; i < 10; i++) {
    last = await alice.say(room, `reply ${i}`, root);
    await bob.read(room, last, i % 2 === 0 ? { thread_id: root } : {});
    if (i % 3 === 0) await bob.read(room, last, {}, "m.read.private");
    await alice.read(room, root, { thread_id: "main" });
    const body = await bob.sync({ since, timeout: 100 });
    all.push(body);
    since = body.next_batch;
  }
  await bob.post(`/v3/rooms/${enc(room)}/read_markers`, { "m.fully_read": last, "m.read": last });
  const settled = await syncUntil(bob, since, (got) => got.rooms.join[room]?.account_data.events.length > 0);
  all.push(...settled.all, await bob.sync({ since: settled.next, timeout: 200 }));
  const whole = await bob.sync({ filter: JSON.stringify({ room: { timeline: { limit: 100 } } }) });
  const increments = applied(all, room);
  const atOnce = applied([whole], room);
  // A threaded receipt on the same event as an unthreaded one is left out of the content (MSC4102).
  const threads = new Map(increments.markers as [string, Body][]);
  const covered = increments.markers.filter(
    ([key, { event }]: [string, Body]) =>
      !key.endsWith(" ") && threads.get(`${key.split(" ").slice(0, 2).join(" ")} `)?.event === event,
  );
  assert.equal(
    atOnce.markers,
    increments.markers.filter((marker) => !covered.includes(marker)),
  );
  assert.is(atOnce.fullyRead, increments.fullyRead);
  assert.equal(atOnce.events, increments.events);
  assert.is(new Set(increments.events).size, increments.events.length, "no event came twice");
});

sync("private receipts and the fully-read marker never reach another user", async () => {
  await using tidemark = await startGateway();
  const { alice, bob, bob2 } = tidemark;
  const room = await tidemark.room(alice, bob);
  const event = await alice.say(room, "psst");
  const [a, b] = [await alice.sync(), await bob2.sync()];
  await bob.read(room, event, {}, "m.read.private");
  await bob.post(`/v3/rooms/${enc(room)}/read_markers`, { "m.fully_read": event });
  await syncUntil(bob2, b.next_batch, (got) => got.rooms.join[room]?.account_data.events.length > 0);
  await bob.read(room, await alice.say(room, "done"));
  const seen = await syncUntil(alice, a.next_batch, (got) => Object.keys(receiptsOf(got, room)).length > 0);
  const bytes = JSON.stringify([...seen.all, await alice.sync(), await alice.sync({ since: a.next_batch })]);
  assert.not.match(bytes, /m\.read\.private|m\.fully_read/);
  assert.match(JSON.stringify(await bob2.sync()), /m\.read\.private.*m\.fully_read/);
});

sync("a gap is limited, and its prev_batch leads to the missing events", async () => {
  await using tidemark = await startChat();
  const { alice, bob, chat: room } = tidemark;
  const { next_batch: since } = await bob.sync();
  for (let i = 0; i < 15; i++) await alice.say(room, `${i}`);
  await alice.put(`/v3/rooms/${enc(room)}/state/m.room.topic/`, { topic: "gaps" });
  for (let i = 15; i < 20; i++) await alice.say(room, `${i}`);
  const filter = JSON.stringify({ room: { timeline: { limit: 5 } } });
  const body = await bob.sync({ since, filter });
  const { timeline, state } = body.rooms.join[room];
  assert.is(timeline.limited, true);
  assert.equal(textsOf(body, room), ["15", "16", "17", "18", "19"]);
  assert.ok(
    state.events.some(({ type }: Body) => type === "m.room.topic"),
    "the state changes of the gap are sent",
  );
  const path = `/v3/rooms/${enc(room)}/messages?dir=b&limit=100&from=${timeline.prev_batch}`;
  const { chunk } = await bob.get(`${path}&to=${since}`);
  assert.equal(
    chunk.flatMap(({ content }: Body) => content.body ?? []),
    Array.from({ length: 15 }, (_, i) => `${14 - i}`),
  );
});

sync("unread counts follow F13, by thread if requested", async () => {
  await using tidemark = await startChat();
  const { alice, bob, chat: room } = tidemark;
  const root = await alice.say(room, "root");
  const reply = await alice.say(room, "reply", root);
  await bob.say(room, "his own");
  const filter = JSON.stringify({ room: { timeline: { unread_thread_notifications: true } } });
  const counts = async (client: Client, more: Record<string, string> = {}) => {
    const { unread_notifications: main, unread_thread_notifications: threads } = (await client.sync(more)).rooms.join[
      room
    ];
    return [
      main.notification_count,
      threads && Object.values<Body>(threads).map((thread) => thread.notification_count),
    ];
  };
  assert.equal(await counts(bob), [1, undefined], "his own message reads what is before it in its thread");
  assert.equal(await counts(bob, { filter }), [0, [1]]);
  await bob.read(room, reply, { thread_id: root });
  await eventually(async () => (await counts(bob))[0] === 0, "the thread is read");
  assert.equal(await counts(bob, { filter }), [0, []]);
  const regret = await alice.say(room, "regret");
  assert.equal(await counts(bob, { filter }), [1, []]);
  await alice.put(`/v3/rooms/${enc(room)}/redact/${enc(regret)}/1`, {});
  await eventually(async () => (await counts(bob))[0] === 0, "a redacted event is no longer counted");
});

sync("filters select rooms, types, senders and receipts", async () => {
  await using tidemark = await startChat();
  const { alice, bob, chat: room } = tidemark;
  const other = await tidemark.room(alice, bob);
  await bob.read(room, await alice.say(room, "hello"));
  await eventually(async () => Object.keys(receiptsOf(await bob.sync(), room)).length === 1, "it is read");
  const filtered = async (filter: object) => (await bob.sync({ filter: JSON.stringify({ room: filter }) })).rooms.join;
  assert.equal(Object.keys(await filtered({ rooms: [other] })), [other]);
  assert.equal(Object.keys(await filtered({ not_rooms: [other] })), [room]);
  assert.equal((await filtered({ ephemeral: { not_types: ["m.receipt"] } }))[room].ephemeral.events, []);
  assert.is((await filtered({ ephemeral: { types: ["m.*"] } }))[room].ephemeral.events.length, 1);
  assert.equal((await filtered({ ephemeral: { types: [] } }))[room].ephemeral.events, []);
  assert.equal((await filtered({ ephemeral: { not_rooms: [room] } }))[room].ephemeral.events, []);
  const messages = (await filtered({ timeline: { types: ["m.room.message"] } }))[room].timeline.events;
  assert.equal(
    messages.map(({ type }: Body) => type),
    ["m.room.message"],
  );
  const byAlice = (await filtered({ timeline: { senders: [ALICE] } }))[room].timeline.events;
  assert.ok(byAlice.length > 0 && byAlice.every(({ sender }: Body) => sender === ALICE));
  const others = (await filtered({ timeline: { not_senders: [ALICE] } }))[room].timeline.events;
  assert.ok(others.length > 0 && others.every(({ sender }: Body) => sender !== ALICE));
  assert.equal((await filtered({ ephemeral: { types: ["m.*.x"] } }))[room].ephemeral.events, []);
  const { filter_id: id } = await bob.post(`/v3/user/${enc(BOB)}/filter`, { room: { rooms: [other] } });
  assert.equal(Object.keys((await bob.sync({ filter: id })).rooms.join), [other]);
  assert.equal(await bob.get(`/v3/user/${enc(BOB)}/filter/${id}`), { room: { rooms: [other] } });
});

sync("a joined room is sent in full, and a left room is sent as left, without later events", async () => {
  await using tidemark = await startGateway();
  const { alice, bob } = tidemark;
  const room = await tidemark.room(alice);
  const event = await alice.say(room, "before Bob");
  await alice.read(room, event);
  const start = await bob.sync();
  assert.equal(start.rooms, NOTHING);
  await bob.post(`/v3/join/${enc(room)}`, {});
  const joined = await syncUntil(bob, start.next_batch, (got) => got.rooms.join[room]);
  assert.ok(textsOf(joined.body, room).includes("before Bob"));
  await eventually(async () => event in receiptsOf(await bob.sync({ since: start.next_batch }), room), "with receipts");
  assert.equal((await bob.sync({ since: joined.next })).rooms.join[room]?.timeline.events ?? [], []);

  await bob.post(`/v3/rooms/${enc(room)}/leave`, {});
  await alice.say(room, "after Bob");
  const left = await syncUntil(bob, joined.next, (got) => got.rooms.leave[room]);
  assert.not.ok(left.body.rooms.join[room]);
  const after = await bob.sync({ since: left.next, timeout: 100 });
  assert.equal(after.rooms, NOTHING);
  assert.not.match(JSON.stringify([left.all, after, await bob.sync()]), /after Bob/);
});

sync("an invite has the name of the room, and a user who is not a member sees nothing", async () => {
  await using tidemark = await startGateway();
  const { alice, bob, carol } = tidemark;
  const { room_id: room } = await alice.post("/v3/createRoom", { name: "secrets", invite: [BOB] });
  const event = await alice.say(room, "hidden");
  await alice.read(room, event);
  const invited = (await bob.sync()).rooms.invite[room].invite_state.events;
  assert.ok(invited.some(({ type, content }: Body) => type === "m.room.name" && content.name === "secrets"));
  assert.not.match(JSON.stringify(await bob.sync()), /hidden/);
  const { next_batch: since } = await carol.sync();
  await alice.say(room, "hidden too");
  assert.equal((await carol.sync({ since, timeout: 200 })).rooms, NOTHING);
  for (const path of [`messages?dir=b`, `event/${enc(event)}`, "state"]) {
    const { status, text } = await carol.ask("GET", `/v3/rooms/${enc(room)}/${path}`);
    assert.is(status, 403);
    assert.not.match(text, /hidden/);
  }
  assert.is((await carol.ask("GET", `/v1/rooms/${enc(room)}/relations/${enc(event)}`)).status, 403);
});

sync("a room that a homeserver pushes is served", async () => {
  await using tidemark = await startGateway({ standalone: false });
  const room = "!pushed:a.org";
  const member = (user: string) =>
    message(`$${user}`, { type: "m.room.member", state_key: user, sender: user, content: { membership: "join" } });
  await tidemark.bus.sent("state", room, [member(ALICE), member(CAROL)]);
  await tidemark.bus.sent("event", room, message("$1", { sender: CAROL }));
  await tidemark.bus.sent("backfill", room, message("$0", { sender: CAROL }));
  await eventually(
    async () => (await tidemark.alice.sync()).rooms.join[room]?.timeline.events.length === 1,
    "the room",
  );
  const { state, timeline } = (await tidemark.alice.sync()).rooms.join[room];
  assert.equal(state.events.map(({ state_key }: Body) => state_key).sort(), [ALICE, CAROL]);
  assert.equal(
    timeline.events.map(({ event_id }: Body) => event_id),
    ["$1"],
    "backfilled events are history",
  );
});

sync("a room that is imported while its members are online is served at their next request for it", async () => {
  await using tidemark = await startGateway({ standalone: false });
  const { alice } = tidemark;
  const room = "!imported:a.org";
  const { next_batch: since } = await alice.sync();
  const waiting = alice.sync({ since, timeout: 60_000 });
  const content = { membership: "join" };
  await tidemark.bus.sent("state", room, [
    message("$a", { type: "m.room.member", state_key: ALICE, sender: ALICE, content }),
  ]);
  const asked = () => alice.ask("GET", `/v3/rooms/${enc(room)}/messages?dir=b`);
  await eventually(async () => (await asked()).status === 200, "the room");
  assert.equal(Object.keys((await waiting).rooms.join), [room]);
});

sync.run();

const gateways = suite("several gateways");

gateways("a client continues on any of them, also on one that started later", async () => {
  await using tidemark = await startChat();
  const { alice, bob, chat: room } = tidemark;
  const event = await alice.say(room, "one");
  const { httpUrl: second } = await tidemark.another();
  const start = await bob.sync();
  await alice.say(room, "two");
  await alice.read(room, event);
  await eventually(async () => event in receiptsOf(await bob.sync({ since: start.next_batch }), room), "it is read");
  const here = await bob.sync({ since: start.next_batch });
  const there = await tidemark.client("bob-1", second).sync({ since: start.next_batch });
  const { httpUrl: third } = await tidemark.another();
  const later = await tidemark.client("bob-1", third).sync({ since: start.next_batch });
  for (const body of [there, later]) {
    assert.equal(body.rooms.join[room].timeline.events, here.rooms.join[room].timeline.events);
    assert.equal(receiptsOf(body, room), receiptsOf(here, room));
    assert.equal(body.rooms.join[room].unread_notifications, here.rooms.join[room].unread_notifications);
    assert.is(body.rooms.join[room].timeline.limited, false);
  }
  const onFirst = await bob.sync({ since: later.next_batch, timeout: 50 });
  assert.equal(onFirst.rooms, NOTHING, "the first gateway does not repeat what the third has sent");
  const waiting = tidemark.client("bob-1", third).sync({ since: onFirst.next_batch, timeout: 60_000 });
  await alice.say(room, "three");
  assert.equal(textsOf(await waiting, room), ["three"]);
});

gateways("a token older than all stored deltas works: the workers answer with what changed since", async () => {
  await using tidemark = await startChat();
  const { alice, bob, chat: room } = tidemark;
  const { next_batch: since } = await bob.sync();
  for (let i = 0; i < 30; i++) await alice.say(room, `${i}`);
  const event = await alice.say(room, "30");
  await alice.read(room, event);
  await eventually(async () => event in receiptsOf(await bob.sync({ since }), room), "it is read");
  for (const partition of [0, 1]) await tidemark.bus.jsm.streams.purge(`TIDEMARK_DELTAS_${partition}`);
  const { httpUrl } = await tidemark.another();
  const elsewhere = tidemark.client("bob-1", httpUrl);
  const body = await elsewhere.sync({ since });
  assert.is(body.rooms.join[room].timeline.limited, true);
  assert.equal(
    textsOf(body, room),
    Array.from({ length: 10 }, (_, i) => `${21 + i}`),
  );
  assert.equal(Object.keys(receiptsOf(body, room)), [event]);
  assert.equal((await elsewhere.sync({ since: body.next_batch })).rooms, NOTHING);
});

gateways.run();
