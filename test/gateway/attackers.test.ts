/** A gateway with a client that wants to harm it: its memory, and the answers of the others. */
import { connect } from "node:net";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Client, enc, startChat, startGateway, syncUntil } from "../support/gateway.ts";
import { usedBytes } from "../support/heap.ts";

const MIB = 1_048_576;

const attackers = suite("attackers");

/** Resolves to how long it takes until a message reaches another member who waits, ms. */
async function deliveryMs(from: Client, to: Client, room: string): Promise<number> {
  const { next_batch: since } = await to.sync();
  const began = performance.now();
  const event = await from.say(room, "still there?");
  await syncUntil(to, since, ({ rooms }) =>
    rooms.join[room]?.timeline.events.some(({ event_id }: { event_id: string }) => event_id === event),
  );
  return performance.now() - began;
}

attackers("long polls pipelined on few connections hold up nobody", async () => {
  await using tidemark = await startGateway();
  const { alice, bob, carol } = tidemark;
  const room = await tidemark.room(alice, bob, carol);
  const { next_batch: since } = await carol.sync();
  const { hostname, port } = new URL(tidemark.url);
  const poll =
    `GET /_matrix/client/v3/sync?timeout=60000&since=${since} HTTP/1.1\r\nHost: x\r\n` +
    `Authorization: Bearer ${carol.token}\r\n\r\n`;
  const sockets = Array.from({ length: 3 }, () => connect(Number(port), hostname).on("error", () => {}));
  for (const socket of sockets) socket.resume().write(poll.repeat(500));
  assert.ok((await deliveryMs(alice, bob, room)) < 5_000);
  for (const socket of sockets) socket.destroy();
  assert.ok((await deliveryMs(alice, bob, room)) < 5_000);
});

attackers("a second sync of a device answers the first at once, and not those of other devices", async () => {
  await using tidemark = await startGateway();
  const { alice, bob, bob2 } = tidemark;
  const room = await tidemark.room(alice, bob);
  const { next_batch: since } = await bob.sync();
  const { next_batch: since2 } = await bob2.sync();
  const first = bob.sync({ since, timeout: 60_000 });
  const other = bob2.sync({ since: since2, timeout: 60_000 });
  await bob.get("/v3/joined_rooms");
  const second = bob.sync({ since, timeout: 60_000 });
  assert.equal(Object.keys((await first).rooms.join), []);
  await alice.say(room, "now");
  for (const answer of [await second, await other]) assert.equal(Object.keys(answer.rooms.join), [room]);
});

attackers("whatever filters a client invents for a room with large events, memory is bounded", async () => {
  await using tidemark = await startChat();
  const { alice, bob, chat: room } = tidemark;
  const { next_batch: since } = await bob.sync();
  for (let i = 0; i < 20; i++) {
    await alice.put(`/v3/rooms/${enc(room)}/send/m.room.message/large${i}`, {
      msgtype: "m.text",
      body: "x".repeat(50_000),
    });
  }
  await syncUntil(bob, since, ({ rooms }) => rooms.join[room]?.timeline.limited);
  const before = usedBytes();
  for (let n = 0; n < 97; n++) {
    const filter = { n, room: { timeline: { limit: 99, not_senders: [`@${n % 2 === 0 ? 0 : n}:a.org`] } } };
    const { rooms } = await bob.sync({ since, filter: JSON.stringify(filter) });
    assert.is(rooms.join[room].timeline.events.length, 20);
  }
  const grown = usedBytes() - before;
  assert.ok(grown < 60 * MIB, `${grown} bytes`);
});

attackers.run();
