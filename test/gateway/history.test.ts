/** `/messages`, `/context`, `/event`, `/relations`: orders, pages, redactions. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  ALICE,
  BOB,
  type Client,
  enc,
  errorOf,
  type GatewayHarness,
  startChat,
  startGateway,
  syncUntil,
} from "../support/gateway.ts";
import { BASE, type Body, eventually, message, receipt } from "../support/harness.ts";

const bodies = (events: readonly Body[]) => events.flatMap(({ content }) => content.body ?? []);

/** All pages of a list, from the first one. */
async function pages(client: Client, path: string, query: Record<string, string>, field: "end" | "next_batch") {
  const chunks: Body[][] = [];
  for (let from: string | undefined = query.from ?? ""; from !== undefined; ) {
    const page: Body = await client.get(`${path}?${new URLSearchParams({ ...query, ...(from !== "" && { from }) })}`);
    chunks.push(page.chunk);
    from = page[field];
    assert.ok(chunks.length < 100, "the list ends");
  }
  return chunks;
}

/** A room of Alice with this many messages: `0`, `1`, …; `path` is that of its messages. */
async function roomOfMessages(tidemark: GatewayHarness, count: number) {
  const { alice } = tidemark;
  const room = await tidemark.room(alice);
  for (let i = 0; i < count; i++) await alice.say(room, `${i}`);
  return { alice, room, path: `/v3/rooms/${enc(room)}/messages` };
}

const history = suite("history");

history("messages page back through live and backfilled events, and forward again", async () => {
  await using tidemark = await startGateway();
  const { alice, room, path } = await roomOfMessages(tidemark, 12);
  const old = (i: number) => message(`$old${i}`, { content: { body: `old ${i}` }, sender: ALICE });
  await tidemark.bus.sent("backfill", room, [old(3), old(2)]);
  const shared = { type: "m.room.history_visibility", state_key: "", content: { history_visibility: "shared" } };
  await tidemark.bus.sent("backfill", room, [old(1), old(0), message("$oldest", shared)]);
  await eventually(
    async () => (await alice.ask("GET", `/v3/rooms/${enc(room)}/event/${enc("$old0")}`)).status === 200,
    "old",
  );

  const back = await pages(alice, path, { dir: "b", limit: "4" }, "end");
  const all = back.flat();
  const expected = [
    ...Array.from({ length: 4 }, (_, i) => `old ${i}`),
    ...Array.from({ length: 12 }, (_, i) => `${i}`),
  ];
  assert.equal(bodies(all), expected.toReversed());
  assert.ok(back.every((page) => page.length <= 4));
  const orders = all.map(({ unsigned }) => unsigned.order);
  assert.equal(
    orders,
    orders.toSorted((a, b) => b - a),
  );
  assert.ok(all.every(({ room_id }) => room_id === room));
  const forward = await pages(alice, path, { dir: "f", limit: "5" }, "end");
  assert.equal(bodies(forward.flat()), expected);
});

history("the end of a page continues in either direction, without gap or overlap", async () => {
  await using tidemark = await startGateway();
  const { alice, path } = await roomOfMessages(tidemark, 6);
  const newest = await alice.get(`${path}?dir=b&limit=3`);
  assert.equal(bodies(newest.chunk), ["5", "4", "3"]);
  assert.equal(bodies((await alice.get(`${path}?dir=f&from=${newest.end}`)).chunk), ["3", "4", "5"]);
  assert.equal(bodies((await alice.get(`${path}?dir=b&limit=2&from=${newest.end}`)).chunk), ["2", "1"]);
  assert.equal(bodies((await alice.get(`${path}?dir=f&limit=1&from=${newest.end}`)).chunk), ["3"]);
  const { end } = await alice.get(`${path}?dir=f&limit=1&from=${newest.end}`);
  assert.equal(bodies((await alice.get(`${path}?dir=b&limit=1&from=${end}`)).chunk), ["3"]);
  assert.equal(bodies((await alice.get(`${path}?dir=f&from=${end}`)).chunk), ["4", "5"]);
  const { end: middle } = await alice.get(`${path}?dir=b&limit=2`);
  assert.equal(
    bodies((await alice.get(`${path}?dir=b&to=${middle}`)).chunk),
    ["5", "4"],
    "`to` is a place between events, too",
  );
  assert.equal(bodies((await alice.get(`${path}?dir=f&from=${newest.end}&to=${middle}`)).chunk), ["3"]);
  const filter = enc(JSON.stringify({ types: ["m.room.create"] }));
  assert.equal(
    (await alice.get(`${path}?dir=b&limit=100&filter=${filter}`)).chunk.map(({ type }: Body) => type),
    ["m.room.create"],
  );
});

history("a page that isn't empty says where the next one begins, and its start is a place, too", async () => {
  await using tidemark = await startGateway();
  const { alice, path } = await roomOfMessages(tidemark, 3);
  for (const dir of ["b", "f"]) {
    const whole = await alice.get(`${path}?dir=${dir}&limit=100`);
    assert.is(bodies(whole.chunk).length, 3);
    assert.type(whole.end, "string");
    const beyond = await alice.get(`${path}?dir=${dir}&from=${whole.end}`);
    assert.equal([beyond.chunk, beyond.end], [[], undefined], "the end of the room");
    assert.equal((await alice.get(`${path}?dir=${dir}&limit=100&from=${whole.start}`)).chunk, whole.chunk, "the start");
    const back = await alice.get(`${path}?dir=${dir === "b" ? "f" : "b"}&limit=100&from=${whole.end}`);
    assert.equal(back.chunk, whole.chunk.toReversed(), "the same events, the other way");
  }
  for (const far of ["o9007199254740991", "o-9007199254740991", "o9999999999999999", "o-9999999999999999"]) {
    for (const dir of ["b", "f"]) await alice.get(`${path}?dir=${dir}&from=${far}`);
  }
});

history("a filter's limit counts the events that pass", async () => {
  await using tidemark = await startGateway();
  const { alice } = tidemark;
  const room = await tidemark.room(alice);
  const other = (i: number) => alice.put(`/v3/rooms/${enc(room)}/send/org.example.other/o${i}`, {});
  for (let i = 0; i < 4; i++) {
    await alice.say(room, `${i}`);
    for (let j = 0; j < 30; j++) await other(100 * i + j);
  }
  const path = `/v3/rooms/${enc(room)}/messages`;
  const filter = JSON.stringify({ types: ["m.room.message"] });
  for (const [dir, expected] of [
    ["b", ["3", "2", "1", "0"]],
    ["f", ["0", "1", "2", "3"]],
  ] as const) {
    const chunks = await pages(alice, path, { dir, filter, limit: "3" }, "end");
    assert.equal(bodies(chunks.flat()), expected);
    assert.is(chunks[0]!.length, 3, "the first page is full");
  }
  assert.equal((await alice.get(`${path}?dir=b&filter=${enc('{"types":["org.example.none"]}')}`)).end, undefined);
});

history("the context of an event has the events around it, and the room's state", async () => {
  await using tidemark = await startGateway();
  const { alice, bob, carol } = tidemark;
  const room = await tidemark.room(alice, bob, carol);
  const events: string[] = [];
  for (let i = 0; i < 9; i++) events.push(await (i % 2 ? bob : alice).say(room, `${i}`));
  const context = (event: string, query: string, client = bob) =>
    client.get(`/v3/rooms/${enc(room)}/context/${enc(event)}?${query}`);
  const middle = await context(events[4]!, "limit=5");
  assert.is(middle.event.event_id, events[4]);
  assert.equal(bodies(middle.events_before), ["3", "2"]);
  assert.equal(bodies(middle.events_after), ["5", "6", "7"]);
  assert.is(middle.event.room_id, room);
  const orders = [...middle.events_before.toReversed(), middle.event, ...middle.events_after].map(
    ({ unsigned }: Body) => unsigned.order,
  );
  assert.equal(
    orders,
    orders.toSorted((a: number, b: number) => a - b),
  );
  const path = `/v3/rooms/${enc(room)}/messages`;
  assert.equal(bodies((await bob.get(`${path}?dir=b&limit=2&from=${middle.start}`)).chunk), ["1", "0"]);
  assert.equal(bodies((await bob.get(`${path}?dir=f&from=${middle.end}`)).chunk), ["8"]);
  const members = middle.state.filter(({ type }: Body) => type === "m.room.member");
  assert.equal(
    members.map(({ state_key }: Body) => state_key).sort(),
    [ALICE, BOB],
    "of members, those who sent these",
  );
  assert.ok(middle.state.some(({ type }: Body) => type === "m.room.create"));

  const alone = await context(events[4]!, "limit=0");
  assert.equal([alone.events_before, alone.events_after], [[], []]);
  assert.equal(bodies((await bob.get(`${path}?dir=b&limit=1&from=${alone.start}`)).chunk), ["3"]);
  assert.equal(bodies((await bob.get(`${path}?dir=f&limit=1&from=${alone.end}`)).chunk), ["5"]);
  const filtered = await context(events[4]!, `limit=2&filter=${enc(JSON.stringify({ senders: [BOB] }))}`);
  assert.equal([bodies(filtered.events_before), bodies(filtered.events_after)], [["3"], ["5"]]);
  const newest = await context(events[8]!, "limit=4");
  assert.equal([bodies(newest.events_before), newest.events_after], [["7", "6"], []]);
  const unknown = await bob.ask("GET", `/v3/rooms/${enc(room)}/context/${enc("$unknown")}`);
  assert.equal(errorOf(unknown), [404, "M_NOT_FOUND"]);
});

history("a token of /sync is the place after the newest event that it knew", async () => {
  await using tidemark = await startChat();
  const { alice, bob, chat: room } = tidemark;
  const path = `/v3/rooms/${enc(room)}/messages`;
  const { next_batch: since } = await bob.sync();
  await alice.say(room, "0");
  await bob.read(room, await alice.say(room, "1"));
  const { next: token } = await syncUntil(bob, since, ({ rooms }) => rooms.join[room]?.ephemeral.events.length > 0);
  for (let i = 2; i < 5; i++) await alice.say(room, `${i}`);
  assert.equal(bodies((await bob.get(`${path}?dir=f&from=${token}`)).chunk), ["2", "3", "4"]);
  assert.equal(bodies((await bob.get(`${path}?dir=b&limit=2&from=${token}`)).chunk), ["1", "0"]);
  assert.equal(bodies((await bob.get(`${path}?dir=b&to=${token}`)).chunk), ["4", "3", "2"]);
});

history("a redacted event is served as redacted, and keeps its order", async () => {
  await using tidemark = await startChat();
  const { alice, bob, chat: room } = tidemark;
  const event = await alice.say(room, "regret");
  const path = `/v3/rooms/${enc(room)}/event/${enc(event)}`;
  const before = await bob.get(path);
  const { next_batch: since } = await bob.sync();
  const { event_id: redaction } = await alice.put(`/v3/rooms/${enc(room)}/redact/${enc(event)}/1`, { reason: "spam" });
  const after = await bob.get(path);
  assert.equal(after.content, {});
  assert.is(after.unsigned.order, before.unsigned.order);
  assert.is(after.unsigned.redacted_because.event_id, redaction);
  for (const client of [alice, bob]) {
    const { redacted_because: because } = (await client.get(path)).unsigned;
    assert.equal(Object.keys(because.unsigned ?? {}), [], "of the redaction's sender, nobody sees the device");
  }
  const { chunk } = await bob.get(`/v3/rooms/${enc(room)}/messages?dir=b&limit=100`);
  assert.equal(chunk.find(({ event_id }: Body) => event_id === event).content, {});
  const body = await bob.sync({ since });
  assert.equal(
    body.rooms.join[room].timeline.events.map(({ redacts }: Body) => redacts),
    [event],
  );
  assert.not.match(JSON.stringify([await bob.sync(), chunk]), /regret/);
});

history("whoever left reads on until the leave, and nothing after it", async () => {
  await using tidemark = await startGateway();
  const { alice, bob, carol } = tidemark;
  const room = await tidemark.room(alice, bob);
  await alice.say(room, "before");
  await bob.post(`/v3/rooms/${enc(room)}/leave`, {});
  const after = await alice.say(room, "after");
  const path = `/v3/rooms/${enc(room)}`;
  assert.equal(bodies((await bob.get(`${path}/messages?dir=b&limit=50`)).chunk), ["before"]);
  for (const part of [`event/${enc(after)}`, `context/${enc(after)}`]) {
    assert.equal(errorOf(await bob.ask("GET", `${path}/${part}`)), [404, "M_NOT_FOUND"], part);
  }
  const relations = `/v1/rooms/${enc(room)}/relations/${enc(after)}`;
  assert.equal(errorOf(await bob.ask("GET", relations)), [404, "M_NOT_FOUND"]);
  assert.equal(errorOf(await carol.ask("GET", `${path}/messages?dir=b`)), [403, "M_FORBIDDEN"]);
});

history("relations are found by type, in pages", async () => {
  await using tidemark = await startChat();
  const { alice, bob, chat: room } = tidemark;
  const root = await alice.say(room, "root");
  await alice.say(room, "unrelated");
  for (let i = 0; i < 5; i++) await alice.say(room, `reply ${i}`, root);
  const react = (key: string, event: string) =>
    bob.put(`/v3/rooms/${enc(room)}/send/m.reaction/${enc(key)}`, {
      "m.relates_to": { rel_type: "m.annotation", event_id: event, key },
    });
  await react("a", root);
  await react("b", root);
  const path = `/v1/rooms/${enc(room)}/relations/${enc(root)}`;
  assert.is((await bob.get(`${path}?limit=50`)).chunk.length, 7);
  const replies = await pages(bob, `${path}/m.thread`, { limit: "2" }, "next_batch");
  assert.equal(bodies(replies.flat()), ["reply 4", "reply 3", "reply 2", "reply 1", "reply 0"]);
  assert.equal(bodies((await bob.get(`${path}/m.thread/m.room.message?dir=f&limit=2`)).chunk), ["reply 0", "reply 1"]);
  const reactions = await bob.get(`${path}/m.annotation/m.reaction`);
  assert.equal(
    reactions.chunk.map(({ content }: Body) => content["m.relates_to"].key),
    ["b", "a"],
  );
  assert.equal((await bob.get(`${path}/m.annotation/m.room.message`)).chunk, []);
});

// I9
history("an event that is imported and then pushed is unread, and in the timeline of a first sync", async () => {
  await using tidemark = await startGateway();
  const { bus, bob } = tidemark;
  const room = "!older:a.org";
  const joined = message("$joined", {
    type: "m.room.member",
    state_key: BOB,
    sender: BOB,
    content: { membership: "join" },
  });
  const [position] = await bus.sent("state", room, [joined]);
  await eventually(async () => (await bus.query(room, { op: "snapshot" })).position === position, "the state");
  const [newest, old] = [message("$new", { sender: ALICE }), message("$old", { sender: ALICE })];
  await bus.sent("history", room, { events: [newest, old], after: position });
  await bus.sent("receipt", room, receipt(BOB, "$old"));
  const [pushed] = await bus.sent("event", room, newest);
  await eventually(async () => (await bus.query(room, { op: "snapshot" })).position === pushed, "the push");
  const section = (await bob.sync()).rooms.join[room];
  assert.is(section.unread_notifications.notification_count, 1);
  assert.equal(
    section.timeline.events.map(({ event_id: id }: Body) => id),
    ["$old", "$new"],
  );
  const orders = section.timeline.events.map(({ unsigned }: Body) => unsigned.order);
  assert.equal(orders, [BASE - 1, BASE]);
});

history.run();
