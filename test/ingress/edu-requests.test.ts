/** EDUs, and what ingress answers: valid items are stored with their origin, the others are named (docs/design.md#requests). */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Body, startTidemark, token } from "../support/harness.ts";

const ROOM = "!ingress:a.org";

const edus = suite("requests with an EDU");

for (const encoding of ["msgpack", "json"] as const) {
  edus(`edu as ${encoding} is stored with its origin, and only its invalid items are dropped`, async () => {
    await using tidemark = await startTidemark({ roles: ["ingress"] });
    const data = { ts: 7 };
    const reply = await tidemark.send(
      "edu",
      "far.org",
      {
        [ROOM]: {
          "m.read": {
            "@good:far.org": { event_ids: ["$1"], data },
            "@thread:far.org": { event_ids: ["$1"], data: { ts: 8, thread_id: "$root" } },
            "@other:else.org": { event_ids: ["$1"], data },
            "@two:far.org": { event_ids: ["$1", "$2"], data },
            "@none:far.org": { event_ids: [], data },
            "@malformed:far.org": "nothing",
          },
          "m.read.private": { "@good:far.org": { event_ids: ["$1"], data } },
          "m.unknown": { "@good:far.org": { event_ids: ["$1"], data } },
        },
        "#noroom:far.org": { "m.read": { "@good:far.org": { event_ids: ["$1"], data } } },
        "!notypes:far.org": 5,
      },
      { encoding },
    );
    assert.is(reply.ok, true);
    assert.is(reply.accepted, 2);
    assert.not.ok("positions" in reply);
    const named = reply.rejected.map(({ room_id, user_id, reason }: Body) => [room_id, user_id, reason.split(":")[0]]);
    assert.equal(
      named.sort(),
      [
        ["!notypes:far.org", "", "user_id"],
        ["#noroom:far.org", "@good:far.org", "room_id"],
        [ROOM, "@good:far.org", "receipt_type"],
        [ROOM, "@good:far.org", "receipt_type"],
        [ROOM, "@malformed:far.org", "must be an object"],
        [ROOM, "@none:far.org", "event_ids"],
        [ROOM, "@other:else.org", "user_id"],
        [ROOM, "@two:far.org", "event_ids"],
      ].sort(),
    );
    const [record, ...more] = await tidemark.records(tidemark.partitionOf(ROOM));
    assert.equal(more, []);
    assert.equal(record?.entries, [
      [2, "@good:far.org", "m.read", "$1", null, 7, "far.org"],
      [2, "@thread:far.org", "m.read", "$1", "$root", 8, "far.org"],
    ]);
  });
}

edus("an edu with several rooms is stored in each of them", async () => {
  await using tidemark = await startTidemark({ roles: ["ingress"] });
  const users = { "m.read": { "@u:far.org": { event_ids: ["$1"], data: { ts: 1 } } } };
  const rooms = ["!a:a.org", "!b:a.org", "!c:a.org", "!d:a.org"];
  const reply = await tidemark.send("edu", "far.org", Object.fromEntries(rooms.map((room) => [room, users])));
  assert.equal(reply, { ok: true, accepted: 4, rejected: [] });
  const subjects = (await Promise.all([0, 1].map((partition) => tidemark.records(partition)))).flat();
  assert.equal(
    subjects.map(({ subject }) => subject).sort(),
    rooms.map((room) => `tidemark.log.${tidemark.partitionOf(room)}.${token(room)}`).sort(),
  );
});

edus("an edu without a valid item is answered with all its items as rejected", async () => {
  await using tidemark = await startTidemark();
  const reply = await tidemark.send("edu", "far.org", { [ROOM]: { "m.read": { "@u:else.org": {} } } });
  assert.is(reply.ok, true);
  assert.is(reply.accepted, 0);
  assert.is(reply.rejected.length, 1);
  assert.equal(await tidemark.lastSequences(), [1, 1], "each log has only its beginning");
});

edus.run();
