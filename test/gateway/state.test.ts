/** `/state`, `/members`, `/joined_members`, `/profile`: what is known of a room, and of its members. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { member } from "../support/federation.ts";
import { ALICE, BOB, CAROL, enc, errorOf, startGateway } from "../support/gateway.ts";
import { type Body, eventually } from "../support/harness.ts";

const state = suite("room state");

const keys = (events: readonly Body[]) => events.map(({ state_key }) => state_key).sort();

state("is served of every room that the gateway knows, not only of its own", async () => {
  await using tidemark = await startGateway({ standalone: false });
  const { bus, alice, bob, carol } = tidemark;
  const room = "!theirs:a.org";
  const name = (value: string) => ({
    ...member(ALICE, "join"),
    type: "m.room.name",
    state_key: "",
    content: { name: value },
  });
  await bus.sent("event", room, [
    { ...member(ALICE, "join"), event_id: "$alice", content: { membership: "join", displayname: "Alice" } },
    { ...name("tides"), event_id: "$name" },
    { ...member(CAROL, "leave"), event_id: "$carol" },
  ]);
  const path = `/v3/rooms/${enc(room)}`;
  await eventually(async () => (await alice.ask("GET", `${path}/state`)).status === 200, "Alice is joined");
  const all: Body[] = await alice.get(`${path}/state`);
  assert.equal(all.map(({ type }) => type).sort(), ["m.room.member", "m.room.member", "m.room.name"]);
  assert.ok(all.every(({ room_id: of, unsigned }) => of === room && typeof unsigned.order === "number"));
  assert.equal(await alice.get(`${path}/state/m.room.name`), { name: "tides" });
  assert.equal(await alice.get(`${path}/state/m.room.name/`), { name: "tides" });
  assert.equal((await alice.get(`${path}/state/m.room.member/${enc(ALICE)}`)).displayname, "Alice");
  assert.equal(errorOf(await alice.ask("GET", `${path}/state/m.room.topic`)), [404, "M_NOT_FOUND"]);
  assert.equal(keys((await alice.get(`${path}/members`)).chunk), [ALICE, CAROL]);
  assert.equal(keys((await alice.get(`${path}/members?membership=join`)).chunk), [ALICE]);
  assert.equal(keys((await alice.get(`${path}/members?not_membership=leave`)).chunk), [ALICE]);
  assert.equal(await alice.get(`${path}/joined_members`), { joined: { [ALICE]: { display_name: "Alice" } } });
  await bus.sent("event", room, { ...name("ebb"), event_id: "$later" });
  await eventually(async () => (await alice.get(`${path}/state/m.room.name`)).name === "ebb", "the new name");
  assert.equal(
    (await carol.get(`${path}/state`)).map(({ event_id: id }: Body) => id),
    ["$carol"],
    "only her own",
  );
  for (const part of ["state", "state/m.room.name", "members", "joined_members"]) {
    assert.equal(errorOf(await bob.ask("GET", `${path}/${part}`)), [403, "M_FORBIDDEN"], part);
  }
});

state("has the profile of those who share a room, and of nobody else", async () => {
  await using tidemark = await startGateway();
  const { alice, bob, carol } = tidemark;
  const room = await tidemark.room(alice, bob);
  const profile = (user: string, part = "") => `/v3/profile/${enc(user)}${part}`;
  assert.equal(await bob.get(profile(ALICE)), {});
  const content = { membership: "join", displayname: "Alice", avatar_url: "mxc://a.org/a" };
  await alice.put(`/v3/rooms/${enc(room)}/state/m.room.member/${enc(ALICE)}`, content);
  await eventually(async () => (await bob.get(profile(ALICE))).displayname === "Alice", "the new name");
  assert.equal(await bob.get(profile(ALICE)), { displayname: "Alice", avatar_url: "mxc://a.org/a" });
  assert.equal(await bob.get(profile(ALICE, "/displayname")), { displayname: "Alice" });
  assert.equal(await bob.get(profile(ALICE, "/avatar_url")), { avatar_url: "mxc://a.org/a" });
  assert.equal(await bob.get(profile(BOB, "/avatar_url")), {});
  assert.equal(await carol.get(profile(CAROL)), {}, "one's own, without a room");
  assert.equal(errorOf(await carol.ask("GET", profile(ALICE))), [404, "M_NOT_FOUND"]);
  assert.equal(errorOf(await bob.ask("GET", profile("@nobody:a.org"))), [404, "M_NOT_FOUND"]);
});

state.run();
