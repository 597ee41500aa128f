/** Threads, edits and references that come with the events of a `/sync` timeline. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Client, enc, startChat, startGateway, syncUntil } from "../../support/gateway.ts";
import type { Body } from "../../support/harness.ts";

const send = async (client: Client, room: string, content: Body): Promise<string> =>
  (await client.put(`/v3/rooms/${enc(room)}/send/m.room.message/${Math.random()}`, content)).event_id;

const relating = (relType: string, event: string, more: Body = {}) => ({
  body: "* related",
  ...more,
  "m.relates_to": { rel_type: relType, event_id: event },
});

const relationsIn = (body: Body, room: string, event: string, as = "join") =>
  body.rooms[as][room].timeline.events.find(({ event_id: id }: Body) => id === event)?.unsigned["m.relations"];

const bundled = suite("bundled sync");

bundled("events of a limited timeline come with what belongs to them, and nobody's transaction", async () => {
  await using tidemark = await startChat();
  const { alice, bob, chat: room } = tidemark;
  const start = await bob.sync();
  for (let i = 0; i < 12; i++) await alice.say(room, `${i}`);
  const root = await alice.say(room, "root");
  await bob.say(room, "first", root);
  const last = await alice.say(room, "second", root);
  const edit = await send(alice, room, relating("m.replace", root, { "m.new_content": { body: "edited" } }));
  const references: string[] = [];
  for (let i = 0; i < 2; i++) references.push(await send(bob, room, relating("m.reference", root)));
  const messages = await bob.get(`/v3/rooms/${enc(room)}/messages?dir=b&limit=20`);
  const expected = messages.chunk.find(({ event_id: id }: Body) => id === root).unsigned["m.relations"];
  assert.equal(expected["m.reference"], { chunk: references.map((id) => ({ event_id: id })) });
  assert.equal(
    [expected["m.thread"].count, expected["m.thread"].latest_event.event_id, expected["m.replace"].event_id],
    [2, last, edit],
  );
  assert.is(expected["m.thread"].current_user_participated, true);

  const first = await bob.sync();
  assert.equal(relationsIn(first, room, root), expected);
  assert.not.match(JSON.stringify(first), /device_id/);
  assert.not.ok("room_id" in first.rooms.join[room].timeline.events[0]);
  const { body: gap } = await syncUntil(bob, start.next_batch, (body) => body.rooms.join[room] !== undefined);
  assert.is(gap.rooms.join[room].timeline.limited, true);
  assert.equal(relationsIn(gap, room, root), expected, "more than a timeline shows came since");
  const filter = JSON.stringify({ room: { timeline: { types: ["m.room.message"], limit: 8 } } });
  assert.equal(relationsIn(await bob.sync({ filter }), room, root), expected);

  const later = await tidemark.another();
  const elsewhere = tidemark.client("bob-1", later.httpUrl);
  const { body: older } = await syncUntil(elsewhere, start.next_batch, (body) => body.rooms.join[room] !== undefined);
  assert.equal(relationsIn(older, room, root), expected, "from the workers");
});

bundled("who has left is not told of what came later", async () => {
  await using tidemark = await startGateway();
  const { alice, bob, carol } = tidemark;
  const room = await tidemark.room(alice, bob, carol);
  const roots = [await alice.say(room, "one"), await alice.say(room, "two")];
  const replies: string[] = [];
  for (const root of roots) replies.push(await alice.say(room, "seen", root));
  const seen = await send(alice, room, relating("m.reference", roots[0]!));
  await bob.post(`/v3/rooms/${enc(room)}/leave`, {});
  const path = enc(room);
  const views = async () => {
    const { chunk, start, end } = await bob.get(`/v3/rooms/${path}/messages?dir=b&limit=5`);
    const threads = await bob.get(`/v1/rooms/${path}/threads?limit=1`);
    const related = await bob.get(`/v1/rooms/${path}/relations/${enc(roots[0]!)}?limit=1`);
    const filter = JSON.stringify({ room: { include_leave: true } });
    const { rooms } = await bob.sync({ filter });
    const context = await bob.get(`/v3/rooms/${path}/context/${enc(roots[0]!)}?limit=20`);
    const event = await bob.get(`/v3/rooms/${path}/event/${enc(roots[0]!)}`);
    const left = { ...rooms.leave[room], unread_notifications: undefined };
    return { chunk, start, end, threads, related, left, context, event };
  };
  const before = await views();
  const relations = before.event.unsigned["m.relations"];
  assert.is(relations["m.thread"].count, 1);
  assert.equal(relations["m.reference"], { chunk: [{ event_id: seen }] });
  assert.is(before.threads.chunk[0].event_id, roots[1]);

  for (let i = 0; i < 3; i++) await carol.say(room, "unseen", roots[0]);
  await send(alice, room, relating("m.reference", roots[0]!));
  await send(alice, room, relating("m.replace", roots[0]!, { "m.new_content": { body: "edited" } }));
  await send(alice, room, relating("m.replace", replies[0]!, { "m.new_content": { body: "edited" } }));
  assert.is(
    (await alice.get(`/v3/rooms/${path}/event/${enc(roots[0]!)}`)).unsigned["m.relations"]["m.thread"].count,
    4,
  );
  assert.is((await alice.get(`/v1/rooms/${path}/threads`)).chunk[0].event_id, roots[0]);
  assert.equal(await views(), before);
});

bundled("who has left sees that an event is redacted, but not who did it, nor why", async () => {
  await using tidemark = await startChat();
  const { alice, bob, chat: room } = tidemark;
  const path = `/v3/rooms/${enc(room)}`;
  const events = [await alice.say(room, "one"), await alice.say(room, "two")];
  const redact = (event: string) => alice.put(`${path}/redact/${enc(event)}/${event}`, { reason: "spam" });
  await redact(events[0]!);
  await bob.post(`${path}/leave`, {});
  await redact(events[1]!);
  const filter = JSON.stringify({ room: { include_leave: true } });
  const views = async (client: Client) => {
    const { chunk } = await client.get(`${path}/messages?dir=b&limit=20`);
    const { rooms } = await client.sync({ filter });
    const [one, two] = await Promise.all(events.map((event) => client.get(`${path}/event/${enc(event)}`)));
    return [chunk, (rooms.leave[room] ?? rooms.join[room]).timeline.events, [one, two]].map((shown: Body[]) => {
      return events.map((id) => {
        const { content, unsigned } = shown.find(({ event_id: shownId }) => shownId === id)!;
        return [content, unsigned.redacted_because?.content.reason];
      });
    });
  };
  const both = [{}, "spam"];
  assert.equal(await views(alice), Array(3).fill([both, both]));
  assert.equal(await views(bob), Array(3).fill([both, [{}, undefined]]));
});

bundled.run();
