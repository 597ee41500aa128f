/** What filters leave out of `/sync`, and what must reach the client all the same. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { BOB, enc, startChat, startGateway, syncUntil } from "../../support/gateway.ts";
import type { Body } from "../../support/harness.ts";

const PUSH_RULES = "m.push_rules";

const filtered = suite("filtered sync");

filtered("a client without receipts is told the counts when another device of its user reads", async () => {
  await using tidemark = await startGateway();
  const { alice, bob, bob2 } = tidemark;
  const room = await tidemark.room(alice, bob);
  const events = [await alice.say(room, "one"), await alice.say(room, "two"), await alice.say(room, "three")];
  const countIn = (body: Body) => body.rooms.join[room]?.unread_notifications.notification_count;
  for (const ephemeral of [{ not_types: ["m.receipt"] }, { types: [] }, { not_rooms: [room] }]) {
    const filter = JSON.stringify({ room: { ephemeral } });
    assert.is(countIn(await bob.sync({ filter })), events.length);
  }
  const filter = JSON.stringify({ room: { ephemeral: { types: ["m.typing"] } } });
  const { next_batch: since } = await bob.sync({ filter });
  for (const [event, type] of [
    [events[0]!, "m.read"],
    [events[1]!, "m.read.private"],
  ] as const) {
    const { next_batch: before } = await bob.sync({ filter });
    const polling = bob.sync({ since: before, filter, timeout: 30_000 });
    await bob2.read(room, event, {}, type);
    const body = await polling;
    assert.is(countIn(body), events.length - 1 - events.indexOf(event), type);
    assert.equal(body.rooms.join[room].ephemeral.events, []);
    assert.equal(body.rooms.join[room].timeline, { events: [], limited: false });
  }
  assert.is(countIn(await bob.sync({ since, filter })), 1);

  const { next_batch: next } = await bob.sync({ filter });
  await alice.read(room, events[2]!);
  await syncUntil(bob2, next, (body) => body.rooms.join[room]?.ephemeral.events.length > 0);
  assert.equal((await bob.sync({ since: next, filter })).rooms.join, {}, "what others read, concerns nobody");

  const another = await tidemark.another();
  const behind = tidemark.client("bob-1", another.httpUrl);
  await bob2.read(room, events[2]!);
  await syncUntil(bob2, next, (body) => countIn(body) === 0);
  const { body } = await syncUntil(behind, since, (got) => countIn(got) !== undefined);
  assert.is(countIn(body), 0);
});

filtered("push rules come with everything else, unless account data is left out", async () => {
  await using tidemark = await startGateway();
  const { bob } = tidemark;
  const rulesIn = async (query: Body) => (await bob.sync(query)).account_data.events;
  const { global } = await bob.get("/v3/pushrules/");
  const shown = [{ type: PUSH_RULES, content: { global } }];
  assert.equal(await rulesIn({}), shown);
  const { next_batch: since } = await bob.sync();
  assert.equal(await rulesIn({ since }), []);
  assert.equal(await rulesIn({ since, full_state: true }), shown);
  assert.equal(await rulesIn({ since: "s-lost" }), shown);
  for (const filter of [{ types: ["m.push_rules"] }, { types: ["m.*"] }, { not_types: ["m.direct"] }]) {
    assert.equal(await rulesIn({ filter: JSON.stringify({ account_data: filter }) }), shown);
  }
  for (const filter of [{ types: [] }, { types: ["m.direct"] }, { not_types: [PUSH_RULES] }]) {
    assert.equal(await rulesIn({ filter: JSON.stringify({ account_data: filter }) }), []);
  }
  const { filter_id: id } = await bob.post(`/v3/user/${enc(BOB)}/filter`, { account_data: { types: [] } });
  assert.equal(await rulesIn({ filter: id }), []);
});

filtered("a limit counts the events that pass", async () => {
  await using tidemark = await startChat();
  const { alice, bob, chat: room } = tidemark;
  for (const text of ["one", "two", "three"]) await alice.say(room, text);
  for (let i = 0; i < 30; i++) await alice.put(`/v3/rooms/${enc(room)}/state/m.room.topic/`, { topic: `${i}` });
  const timeline = async (more: Body) => {
    const filter = JSON.stringify({ room: { timeline: { types: ["m.room.message"], ...more } } });
    const { events, limited } = (await bob.sync({ filter })).rooms.join[room].timeline;
    return [events.map(({ content }: Body) => content.body), limited];
  };
  assert.equal(await timeline({ limit: 2 }), [["two", "three"], true]);
  assert.equal(await timeline({ limit: 3 }), [["one", "two", "three"], false]);
  assert.equal(await timeline({ limit: 0 }), [[], true]);
});

filtered.run();
