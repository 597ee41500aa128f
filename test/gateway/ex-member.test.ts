/** One who was banned asks everything, again and again, while the others go on: the answers stay the same, to the byte. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { BOB, CAROL, type Client, enc, startGateway, syncUntil } from "../support/gateway.ts";
import type { Body } from "../support/harness.ts";

const relating = (relType: string, event: string, more: Body = {}) => ({
  body: "related",
  ...more,
  "m.relates_to": { rel_type: relType, event_id: event },
});

/** All that the user can ask about the room, with the user's own sync tokens; of tokens, the length. */
async function everything(client: Client, room: string, { events, tokens }: { events: string[]; tokens: string[] }) {
  const v3 = `/v3/rooms/${room}`;
  const v1 = `/v1/rooms/${room}`;
  const paths = [
    ...["dir=b&limit=3", "dir=f&limit=3", "dir=b&limit=100"].map((query) => `${v3}/messages?${query}`),
    ...tokens.flatMap((token) => ["b", "f"].map((dir) => `${v3}/messages?dir=${dir}&limit=5&from=${token}`)),
    ...tokens.map((token) => `${v3}/members?at=${token}`),
    ...["/state", "/members", "/joined_members", "/state/m.room.topic"].map((path) => `${v3}${path}`),
    ...["", "?limit=1", "?include=participated"].map((query) => `${v1}/threads${query}`),
    ...[`/v3/profile/${enc(CAROL)}`, "/v3/joined_rooms"],
    ...events
      .map(enc)
      .flatMap((id) => [
        `${v3}/event/${id}`,
        `${v3}/context/${id}?limit=40`,
        `${v1}/relations/${id}`,
        `${v1}/relations/${id}?dir=f&limit=1`,
        `${v1}/relations/${id}/m.thread`,
      ]),
  ];
  const answers: Record<string, unknown> = {};
  for (const path of paths) answers[path] = (await client.ask("GET", path)).text;
  for (const since of [undefined, "lost", ...tokens]) {
    for (const filter of [{}, { include_leave: true, timeline: { limit: 2 }, state: { lazy_load_members: true } }]) {
      const query = { filter: JSON.stringify({ room: filter }), ...(since !== undefined && { since }) };
      const { next_batch: next, ...body } = await client.sync(query);
      answers[JSON.stringify(query)] = [next.length, body];
    }
  }
  return answers;
}

const exMember = suite("ex-member");

for (const visibility of ["shared", "joined", "invited"]) {
  exMember(`learns nothing of what comes later, where history is ${visibility}`, async () => {
    await using tidemark = await startGateway();
    const { alice, bob, carol } = tidemark;
    const id = await tidemark.room(alice);
    const room = enc(id);
    const set = (client: Client, type: string, key: string, content: Body) =>
      client.put(`/v3/rooms/${room}/state/${type}/${enc(key)}`, content);
    const relate = (client: Client, content: Body) =>
      client.put(`/v3/rooms/${room}/send/m.room.message/${Math.random()}`, content);
    await set(alice, "m.room.history_visibility", "", { history_visibility: visibility });
    for (const client of [bob, carol]) await client.post(`/v3/join/${room}`, {});
    const events = [await alice.say(id, "one"), await alice.say(id, "two"), await alice.say(id, "three")];
    await relate(carol, relating("m.thread", events[0]!));
    await relate(carol, relating("m.reference", events[1]!));
    const { next_batch: before } = await bob.sync();
    await set(alice, "m.room.member", BOB, { membership: "ban" });
    const { next } = await syncUntil(bob, before, (body) => body.rooms.leave[id] !== undefined);
    const known = { events, tokens: [before, next] };
    const first = await everything(bob, room, known);

    for (let i = 0; i < 12; i++) await alice.say(id, `later ${i}`);
    for (const event of events) {
      await relate(carol, relating("m.thread", event));
      await relate(carol, relating("m.reference", event));
      await relate(alice, relating("m.replace", event, { "m.new_content": { body: "edited" } }));
    }
    await set(alice, "m.room.topic", "", { topic: "later" });
    await set(carol, "m.room.member", CAROL, { membership: "join", displayname: "Later" });
    await carol.read(id, events[2]!);
    await carol.read(id, events[2]!, {}, "m.read.private");
    await set(alice, "m.room.history_visibility", "", { history_visibility: "shared" });
    await carol.post(`/v3/rooms/${room}/leave`, {});
    assert.equal(await everything(bob, room, known), first);
  });
}

exMember.run();
