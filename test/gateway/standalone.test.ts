/** Rooms without a homeserver (`--standalone`). */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { enc, errorOf, startChat, startGateway } from "../support/gateway.ts";
import { type Body, eventually } from "../support/harness.ts";

const standalone = suite("standalone");

standalone("a repeated transaction is the same event", async () => {
  await using tidemark = await startChat();
  const { alice, bob, chat: room } = tidemark;
  const send = (client = alice, txn = "txn") =>
    client.put(`/v3/rooms/${enc(room)}/send/m.room.message/${txn}`, { body: "once" }).then(({ event_id }) => event_id);
  const { next_batch: since } = await alice.sync();
  const event = await send();
  assert.is(await send(), event);
  assert.not.equal(await send(alice, "other"), event);
  assert.not.equal(await send(bob), event);
  const { events } = (await alice.sync({ since })).rooms.join[room].timeline;
  assert.is(events.filter(({ event_id }: Body) => event_id === event).length, 1);
  assert.is(events.length, 3);
  const seen = async (client: typeof bob) =>
    (await client.get(`/v3/rooms/${enc(room)}/event/${enc(event)}`)).unsigned.transaction_id;
  assert.is(await seen(alice), "txn", "the sending device gets its transaction id");
  assert.is(await seen(bob), undefined, "no other device does");
});

standalone("state can be written and read by joined users only", async () => {
  await using tidemark = await startGateway();
  const { alice, bob } = tidemark;
  const { room_id: room } = await alice.post("/v3/createRoom", { name: "first", topic: "tides" });
  const name = `/v3/rooms/${enc(room)}/state/m.room.name`;
  assert.equal(await alice.get(name), { name: "first" });
  await alice.put(`${name}/`, { name: "second" });
  await eventually(async () => (await alice.get(name)).name === "second", "the new name");
  for (const [method, path] of [
    ["PUT", name],
    ["GET", name],
    ["PUT", `/v3/rooms/${enc(room)}/send/m.room.message/1`],
    ["PUT", `/v3/rooms/${enc(room)}/redact/${enc("$x")}/1`],
    ["POST", `/v3/rooms/${enc(room)}/leave`],
  ] as const) {
    const answer = await bob.ask(method, path, method === "GET" ? undefined : {});
    assert.equal(errorOf(answer), [403, "M_FORBIDDEN"], path);
  }
});

standalone.run();
