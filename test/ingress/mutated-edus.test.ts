/** EDUs that are changed at one place, or have too much behind their items (docs/design.md#requests). */
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { EDU_REFUSALS_NAMED_MAX } from "../../src/limits.ts";
import { message, startFederation } from "../support/federation.ts";
import { type Body, decoded, pack } from "../support/harness.ts";
import { mutated, mutationAt, overlap, pathsOf } from "../support/mutations.ts";
import { checkAsync } from "../support/property.ts";

const REPLY_BYTES_MAX = 262_144;
const ROOMS = ["!a:here.example", "!b:here.example", "!c:here.example"];
const HOSTILE = "there.example";
const HONEST = "honest.example";

type Edu = Record<string, Record<string, Record<string, unknown>>>;

/** Receipts of three users in each of the rooms. */
function eduOf(event: string, origin: string): Edu {
  const item = { event_ids: [event], data: { ts: 1, thread_id: "main" } };
  const users = Object.fromEntries(["x", "y", "z"].map((name) => [`@${name}:${origin}`, item]));
  return Object.fromEntries(ROOMS.map((room) => [room, { "m.read": users }]));
}

const many = <Value>(count: number, name: string, value: Value) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`${name}${i}`, value]));

/** What a hostile server puts behind its items. */
const EXCESS = {
  nothing: {},
  "an unknown room": { "!unknown:x": { "m.read": { "@x:there.example": { event_ids: ["$1"] } } } },
  rooms: many(3_000, "!", { "m.read": { "@x:there.example": 0 } }),
  users: { "!users:x": { "m.read": many(9_000, "@", null) } },
  types: { "!types:x": many(5_000, "m.", {}) },
} satisfies Record<string, Edu>;

const fuzzed = suite("an EDU that is changed at one place");

fuzzed("has a bounded reply, and everything of it that was not touched is stored once", async () => {
  await using tidemark = await startFederation();
  for (const room of ROOMS) await tidemark.sent("event", room, message("$1"));
  let stored: Body[] = [];
  tidemark.nc.subscribe("tidemark.log.*.*", {
    callback: (_, { subject, data }) => {
      const room = decodeURIComponent(subject.split(".")[3]!);
      for (const [, user, , event, thread, ts] of decoded(data)[2]) stored.push([event, room, user, thread, ts].join());
    },
  });
  await tidemark.nc.flush();
  let sent = 0;
  await checkAsync(
    fc.asyncProperty(
      mutationAt(pathsOf(eduOf("$event", HOSTILE))),
      fc.constantFrom(...(Object.keys(EXCESS) as (keyof typeof EXCESS)[])),
      fc.boolean(),
      async (mutation, excess, isJson) => {
        stored = [];
        const event = `$case${sent++}`;
        const edu = Object.assign(mutated(eduOf(event, HOSTILE), mutation) as Edu, EXCESS[excess]);
        const honest = eduOf(event, HONEST);
        const [raw, neighbour] = await Promise.all([
          tidemark.request("tidemark.in.edu.there%2Eexample", isJson ? Buffer.from(JSON.stringify(edu)) : pack(edu)),
          tidemark.send("edu", HONEST, honest),
        ]);
        assert.equal(neighbour, { ok: true, accepted: 9, rejected: [] });
        assert.ok(raw.length < REPLY_BYTES_MAX, `${raw.length} bytes`);
        const reply = decoded(raw);
        assert.is(reply.ok, true, JSON.stringify(reply));
        assert.ok(reply.rejected.length <= EDU_REFUSALS_NAMED_MAX);
        await tidemark.nc.flush();
        for (const origin of [HOSTILE, HONEST]) {
          for (const room of ROOMS) {
            for (const name of ["x", "y", "z"]) {
              const user = `@${name}:${origin}`;
              if (origin === HOSTILE && overlap(mutation.path, [room, "m.read", user])) continue;
              const line = [event, room, user, "main", 1].join();
              assert.is(stored.filter((other) => other === line).length, 1, line);
            }
          }
        }
      },
    ),
    { numRuns: 60 },
  );
  assert.is((await fetch(`${tidemark.httpUrl}/readyz`)).status, 200);
});

fuzzed.run();
