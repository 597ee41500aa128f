/** `/messages`, `/event`, `/relations`: orders, pages, redactions. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ALICE, type Client, enc, startGateway, syncUntil } from "../support/gateway.ts";
import { type Body, eventually, message } from "../support/harness.ts";

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

const history = suite("history");

history("messages page back through live and backfilled events, and forward again", async () => {
  await using tidemark = await startGateway();
  const { alice } = tidemark;
  const room = await tidemark.room(alice);
  for (let i = 0; i < 12; i++) await alice.say(room, `${i}`);
  const old = (i: number) => message(`$old${i}`, { content: { body: `old ${i}` }, sender: ALICE });
  await tidemark.bus.sent("backfill", room, [old(3), old(2)]);
  await tidemark.bus.sent("backfill", room, [old(1), old(0)]);
  const path = `/v3/rooms/${enc(room)}/messages`;
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
  const { alice } = tidemark;
  const room = await tidemark.room(alice);
  for (let i = 0; i < 6; i++) await alice.say(room, `${i}`);
  const path = `/v3/rooms/${enc(room)}/messages`;
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

history("a token of /sync is the place after the newest event that it knew", async () => {
  await using tidemark = await startGateway();
  const { alice, bob } = tidemark;
  const room = await tidemark.room(alice, bob);
  const path = `/v3/rooms/${enc(room)}/messages`;
  const { next_batch: since } = await bob.sync();
  await alice.say(room, "0");
  await bob.read(room, await alice.say(room, "1"));
  const { next: token } = await syncUntil(bob, since, ({ rooms }) => rooms.join[room]?.ephemeral.events.length > 0);
  for (let i = 2; i < 5; i++) await alice.say(room, `${i}`);
  assert.equal(bodies((await alice.get(`${path}?dir=f&from=${token}`)).chunk), ["2", "3", "4"]);
  assert.equal(bodies((await alice.get(`${path}?dir=b&limit=2&from=${token}`)).chunk), ["1", "0"]);
  assert.equal(bodies((await alice.get(`${path}?dir=b&to=${token}`)).chunk), ["4", "3", "2"]);
});

history("a redacted event is served as redacted, and keeps its order", async () => {
  await using tidemark = await startGateway();
  const { alice, bob } = tidemark;
  const room = await tidemark.room(alice, bob);
  const event = await alice.say(room, "regret");
  const path = `/v3/rooms/${enc(room)}/event/${enc(event)}`;
  const before = await bob.get(path);
  const { next_batch: since } = await bob.sync();
  const { event_id: redaction } = await alice.put(`/v3/rooms/${enc(room)}/redact/${enc(event)}/1`, { reason: "spam" });
  const after = await bob.get(path);
  assert.equal(after.content, {});
  assert.is(after.unsigned.order, before.unsigned.order);
  assert.is(after.unsigned.redacted_because.event_id, redaction);
  const { chunk } = await bob.get(`/v3/rooms/${enc(room)}/messages?dir=b&limit=100`);
  assert.equal(chunk.find(({ event_id }: Body) => event_id === event).content, {});
  const body = await bob.sync({ since });
  assert.equal(
    body.rooms.join[room].timeline.events.map(({ redacts }: Body) => redacts),
    [event],
  );
  assert.not.match(JSON.stringify([await bob.sync(), chunk]), /regret/);
});

history("relations are found by type, in pages", async () => {
  await using tidemark = await startGateway();
  const { alice, bob } = tidemark;
  const room = await tidemark.room(alice, bob);
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

history.run();
