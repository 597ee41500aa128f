/** Receipts from other servers, on a real broker (docs/design.md#requests, F4, F5, F9). */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { member, message, startFederation } from "../support/federation.ts";
import type { Body } from "../support/harness.ts";

const ROOM = "!room:here.example";
const B = "@b:there.example";

const item = (event: string, data: Record<string, unknown> = { ts: 1 }) => ({ event_ids: [event], data });
const reads = (users: Record<string, unknown>) => ({ [ROOM]: { "m.read": users } });
const acl = (id: string, deny: readonly string[]) => ({
  ...message(id),
  type: "m.room.server_acl",
  state_key: "",
  content: { allow: ["*"], deny },
});

/** The event that each user's receipt is on, by user. */
async function shown(tidemark: Awaited<ReturnType<typeof startFederation>>): Promise<Record<string, string>> {
  const { receipts } = await tidemark.query(ROOM, { op: "snapshot" });
  const users: Record<string, string> = {};
  for (const [event, types] of Object.entries<Body>(receipts)) {
    for (const user of Object.keys(types["m.read"])) users[user] = event;
  }
  return users;
}

const federationIn = suite("incoming federation");

federationIn("accepts the valid items of an EDU, and drops only the invalid ones", async () => {
  await using tidemark = await startFederation();
  const client = tidemark.subscribe("tidemark.client.*.*.receipts");
  const right = ["@b:there.example", "@c:there.example", "@nots:there.example", "@thread:there.example"];
  await tidemark.sent(
    "state",
    ROOM,
    right.map((user) => member(user)),
  );
  await tidemark.sent("event", ROOM, message("$1"));
  const reply = await tidemark.send("edu", "there.example", {
    [ROOM]: {
      "m.read": {
        [right[0]!]: item("$1"),
        "@domain:else.example": item("$1"),
        "not a user": item("$1"),
        "@none:there.example": { event_ids: [], data: { ts: 1 } },
        "@many:there.example": { event_ids: ["$1", "$2"], data: { ts: 1 } },
        "@noevent:there.example": item("1"),
        "@nots:there.example": item("$1", {}),
        "@thread:there.example": item("$1", { ts: 1, thread_id: "" }),
        "@null:there.example": null,
        "@named:there.example": item("$1", { ts: 1, thread_id: "none" }),
        [right[1]!]: item("$1"),
      },
      "m.read.private": { "@private:there.example": item("$1") },
      "m.unknown": { "@unknown:there.example": item("$1") },
    },
    "no room": { "m.read": { "@room:there.example": item("$1") } },
    "!list:here.example": [],
  });
  assert.is(reply.ok, true);
  assert.is(reply.accepted, 4);
  assert.equal(
    reply.rejected.map(({ user_id }: Body) => user_id).sort(),
    [
      "",
      "@domain:else.example",
      "@many:there.example",
      "@named:there.example",
      "@noevent:there.example",
      "@none:there.example",
      "@null:there.example",
      "@private:there.example",
      "@room:there.example",
      "@unknown:there.example",
      "not a user",
    ].sort(),
  );
  assert.ok(reply.rejected.every(({ reason }: Body) => typeof reason === "string" && reason !== ""));
  await client.next((body) => Object.keys(body.event.content.$1["m.read"]).includes(right[1]!));
  await client.next((body) => Object.keys(body.event.content.$1["m.read"]).includes(right[3]!));
  assert.equal(await shown(tidemark), Object.fromEntries(right.map((user) => [user, "$1"])));
});

federationIn("rejects a receipt from a server that the room denies, and from a user who is not joined", async () => {
  await using tidemark = await startFederation();
  const rejected = tidemark.subscribe("tidemark.rejected.>");
  await tidemark.sent("state", ROOM, [member(B), member("@gone:there.example", "leave"), member("@d:denied.example")]);
  await tidemark.sent("event", ROOM, [message("$1"), acl("$acl", ["denied.example"])]);
  await tidemark.send("edu", "there.example", reads({ "@gone:there.example": item("$1"), [B]: item("$1") }));
  await tidemark.send("edu", "denied.example", reads({ "@d:denied.example": item("$1") }));
  await rejected.next((body) => body.reason === "not_joined" && body.entry.user_id === "@gone:there.example");
  await rejected.next((body) => body.reason === "acl_denied" && body.entry.user_id === "@d:denied.example");
  assert.equal(await shown(tidemark), { [B]: "$1" });
});

federationIn("checks held receipts against the membership and access list when their event arrives", async () => {
  await using tidemark = await startFederation();
  const rejected = tidemark.subscribe("tidemark.rejected.>");
  const client = tidemark.subscribe("tidemark.client.*.*.receipts");
  const [stays, leaves, joins] = [B, "@leaves:there.example", "@joins:there.example"];
  await tidemark.sent("state", ROOM, [member(stays), member(leaves), member("@d:denied.example")]);
  await tidemark.send(
    "edu",
    "there.example",
    reads({ [stays]: item("$late"), [leaves]: item("$late"), [joins]: item("$late") }),
  );
  await tidemark.send("edu", "denied.example", reads({ "@d:denied.example": item("$late") }));
  assert.equal(await shown(tidemark), {});
  await tidemark.sent("event", ROOM, [
    member(leaves, "leave"),
    member(joins, "join"),
    acl("$acl", ["denied.example"]),
    message("$late"),
  ]);
  const { body } = await client.next();
  assert.equal(Object.keys(body.event.content.$late["m.read"]).sort(), [stays, joins].sort());
  await rejected.next((body) => body.reason === "not_joined" && body.entry.user_id === leaves);
  await rejected.next((body) => body.reason === "acl_denied" && body.entry.user_id === "@d:denied.example");
  assert.equal(await shown(tidemark), { [stays]: "$late", [joins]: "$late" });
});

federationIn("publishes a remote receipt to clients, and to no other server", async () => {
  await using tidemark = await startFederation();
  const federation = tidemark.subscribe("tidemark.federation.>");
  const client = tidemark.subscribe("tidemark.client.*.*.receipts");
  await tidemark.sent("state", ROOM, [member(B), member("@e:else.example"), member("@a:here.example")]);
  await tidemark.sent("event", ROOM, message("$1"));
  await tidemark.send("edu", "there.example", reads({ [B]: item("$1") }));
  await client.next((body) => body.event.content.$1["m.read"][B] !== undefined);
  await tidemark.sent("receipt", ROOM, { user_id: "@a:here.example", receipt_type: "m.read", event_id: "$1" });
  const { body } = await federation.next((_, subject) => subject === "tidemark.federation.0.else%2Eexample");
  assert.equal(Object.keys(body.edu.content[ROOM]["m.read"]), ["@a:here.example"]);
});

federationIn.run();
