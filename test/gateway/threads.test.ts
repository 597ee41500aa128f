/** `/threads`, and what is bundled with events: threads and edits. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ALICE, type Client, enc, errorOf, startChat, startGateway } from "../support/gateway.ts";
import type { Body } from "../support/harness.ts";

const threads = suite("threads");

const send = async (client: Client, room: string, type: string, content: Body): Promise<string> =>
  (await client.put(`/v3/rooms/${enc(room)}/send/${type}/${Math.random()}`, content)).event_id;

const edit = (client: Client, room: string, event: string) =>
  send(client, room, "m.room.message", {
    body: "* edited",
    "m.new_content": { body: "edited" },
    "m.relates_to": { rel_type: "m.replace", event_id: event },
  });

threads("and edits are bundled wherever an event is served, without anybody's transaction", async () => {
  await using tidemark = await startChat();
  const { alice, bob, chat: room } = tidemark;
  const root = await alice.say(room, "root");
  await alice.say(room, "first", root);
  const second = await alice.say(room, "second", root);
  const edited = await edit(alice, room, root);
  const path = `/v3/rooms/${enc(room)}`;
  const shown = async (client: Client) => {
    const found = (events: Body[]) => events.find(({ event_id: id }) => id === root)?.unsigned["m.relations"];
    const messages = await client.get(`${path}/messages?dir=b&limit=50`);
    const context = await client.get(`${path}/context/${enc(second)}?limit=10`);
    const around = await client.get(`${path}/context/${enc(root)}`);
    const list = await client.get(`/v1/rooms/${enc(room)}/threads`);
    return [
      (await client.get(`${path}/event/${enc(root)}`)).unsigned["m.relations"],
      found(messages.chunk),
      found(context.events_before),
      found([around.event]),
      found(list.chunk),
    ];
  };
  for (const client of [alice, bob]) {
    const all = await shown(client);
    for (const relations of all) {
      assert.equal(relations, all[0]);
      const { latest_event: latest, ...thread } = relations["m.thread"];
      assert.equal(thread, { count: 2, current_user_participated: client === alice });
      assert.equal([latest.event_id, latest.room_id], [second, room]);
      assert.is(relations["m.replace"].event_id, edited);
      assert.is(relations["m.replace"].content["m.new_content"].body, "edited");
      assert.not.match(JSON.stringify(await bob.get(`${path}/event/${enc(root)}`)), /transaction_id|device_id/);
    }
  }
  const { unsigned } = await bob.get(`${path}/event/${enc(edited)}`);
  assert.is(unsigned["m.relations"], undefined);
  const { chunk } = await bob.get(`/v1/rooms/${enc(room)}/relations/${enc(root)}/m.thread`);
  await edit(alice, room, second);
  const again = await bob.get(`/v1/rooms/${enc(room)}/relations/${enc(root)}/m.thread`);
  assert.equal(
    [chunk[0], again.chunk[0]].map(({ unsigned }) => Object.keys(unsigned["m.relations"] ?? {})),
    [[], ["m.replace"]],
  );
});

threads("are listed by their last activity, in pages, all of them or the user's own", async () => {
  await using tidemark = await startGateway();
  const { alice, bob, carol } = tidemark;
  const room = await tidemark.room(alice, bob);
  const roots: string[] = [];
  for (let i = 0; i < 3; i++) roots.push(await alice.say(room, `root ${i}`));
  for (const root of roots) await alice.say(room, "reply", root);
  await bob.say(room, "reply", roots[0]);
  const path = `/v1/rooms/${enc(room)}/threads`;
  const ids = async (query: string, client = bob) => {
    const { chunk, next_batch: next } = await client.get(`${path}?${query}`);
    return { ids: chunk.map(({ event_id: id }: Body) => roots.indexOf(id)), next };
  };
  const first = await ids("limit=2");
  assert.equal(first.ids, [0, 2]);
  assert.equal(await ids(`limit=2&from=${first.next}`), { ids: [1], next: undefined });
  assert.equal((await ids("include=participated")).ids, [0]);
  assert.equal((await ids("include=participated", alice)).ids, [0, 2, 1], ALICE);
  assert.equal(errorOf(await bob.ask("GET", `${path}?include=mine`)), [400, "M_INVALID_PARAM"]);
  assert.equal(errorOf(await carol.ask("GET", path)), [403, "M_FORBIDDEN"]);
});

threads.run();
