/** `summary` of joined rooms in `/sync`: when it is sent, and what it says. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ALICE, BOB, CAROL, type Client, enc, startGateway, syncUntil } from "../../support/gateway.ts";
import type { Body } from "../../support/harness.ts";

const LAZILY = JSON.stringify({ room: { state: { lazy_load_members: true } } });

const summaryIn = (body: Body, room: string) => body.rooms.join[room]?.summary;
const summaryOf = (joined: number, invited: number, heroes?: string[]) => ({
  ...(heroes !== undefined && { "m.heroes": heroes }),
  "m.joined_member_count": joined,
  "m.invited_member_count": invited,
});

const summary = suite("room summary");

summary("is sent at first, and when it changed, without the own name", async () => {
  await using tidemark = await startGateway();
  const { alice, bob, carol } = tidemark;
  const room = await tidemark.room(alice, bob);
  const first = await bob.sync();
  assert.equal(summaryIn(first, room), summaryOf(2, 0, [ALICE]));
  assert.equal(summaryIn(await alice.sync(), room), summaryOf(2, 0, [BOB]));

  await alice.say(room, "hello");
  const { body: said, next } = await syncUntil(bob, first.next_batch, (body) => body.rooms.join[room] !== undefined);
  assert.is(summaryIn(said, room), undefined, "nothing has changed");

  const changed = async (since: string, change: Promise<unknown>, client: Client = bob) => {
    await change;
    return syncUntil(client, since, (body) => summaryIn(body, room) !== undefined);
  };
  const invited = await changed(next, alice.post(`/v3/rooms/${enc(room)}/invite`, { user_id: CAROL }));
  assert.equal(summaryIn(invited.body, room), summaryOf(2, 1, [ALICE, CAROL]));
  const joined = await changed(invited.next, carol.post(`/v3/join/${enc(room)}`, {}));
  assert.equal(summaryIn(joined.body, room), summaryOf(3, 0, [ALICE, CAROL]));
  const named = await changed(joined.next, alice.put(`/v3/rooms/${enc(room)}/state/m.room.name/`, { name: "Tide" }));
  assert.equal(summaryIn(named.body, room), summaryOf(3, 0), "a room with a name needs no heroes");
  assert.equal(summaryIn(await bob.sync({ since: named.next, full_state: "true" }), room), summaryOf(3, 0));

  const leave = (client: Client) => client.post(`/v3/rooms/${enc(room)}/leave`, {});
  const left = await changed(named.next, leave(carol));
  assert.equal(summaryIn(left.body, room), summaryOf(2, 0));
  const unnamed = await changed(left.next, alice.put(`/v3/rooms/${enc(room)}/state/m.room.name/`, { name: "" }));
  assert.equal(summaryIn(unnamed.body, room), summaryOf(2, 0, [ALICE]));
  const alone = await changed(unnamed.next, leave(alice));
  assert.equal(summaryIn(alone.body, room), summaryOf(1, 0, [CAROL, ALICE]), "those who left give the name");

  const later = await tidemark.another();
  const elsewhere = tidemark.client("bob-1", later.httpUrl);
  const { body } = await syncUntil(elsewhere, first.next_batch, (got) => summaryIn(got, room) !== undefined);
  assert.equal(summaryIn(body, room), summaryOf(1, 0, [CAROL, ALICE]), "from the workers");
});

summary("comes with the member events of its heroes, for clients that load members lazily", async () => {
  await using tidemark = await startGateway();
  const { alice, bob, carol } = tidemark;
  const room = await tidemark.room(alice, bob, carol);
  for (let i = 0; i < 12; i++) await alice.say(room, `${i}`);
  const membersIn = (body: Body) =>
    [...body.rooms.join[room].state.events, ...body.rooms.join[room].timeline.events]
      .filter(({ type }: Body) => type === "m.room.member")
      .map(({ state_key: user }: Body) => user)
      .sort();
  const first = await bob.sync({ filter: LAZILY });
  assert.equal(membersIn(first), [ALICE, BOB, CAROL], "nobody but Alice speaks");

  const { next_batch: since } = await bob.sync({ filter: LAZILY });
  await alice.post(`/v3/rooms/${enc(room)}/leave`, {});
  const next = await syncUntil(bob, since, (body) => summaryIn(body, room) !== undefined);
  const body = await bob.sync({ since, filter: LAZILY });
  assert.equal(summaryIn(body, room), summaryIn(next.body, room));
  assert.equal(membersIn(body), [ALICE, BOB, CAROL]);

  await carol.say(room, "still here");
  const { body: said } = await syncUntil(bob, next.next, (got) => got.rooms.join[room] !== undefined);
  assert.is(summaryIn(said, room), undefined);
  const later = await tidemark.another();
  const elsewhere = tidemark.client("bob-1", later.httpUrl);
  const spoken = await elsewhere.sync({ since: next.next, filter: LAZILY });
  assert.equal(membersIn(spoken), [CAROL], "whoever speaks is known, also to a client that is answered by workers");
});

summary.run();
