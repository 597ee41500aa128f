/** The federation outbox, whatever happens in whatever order: nothing is lost, and nothing older follows something newer. */
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { LIVE } from "../../../actors/entry.ts";
import { FEDERATION_EDUS_MAX } from "../../../src/limits.ts";
import { inThread } from "../../support/entries.ts";
import { MINUTE_MS, member, roomOf } from "../../support/outbox.ts";
import { check } from "../../support/property.ts";
import { event, receipt } from "../../support/session-fold.ts";
import { ThreadTraffic } from "../../support/thread-traffic.ts";

const outbox = suite("federation outbox, in any order");

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ read: fc.nat(9), user: fc.nat(2), thread: fc.constantFrom(null, "main", "$1") }),
  },
  { weight: 1, arbitrary: fc.record({ pass: fc.constantFrom(100, 30_000, MINUTE_MS) }) },
  { weight: 1, arbitrary: fc.record({ take: fc.constantFrom("urgent" as const, "waiting" as const) }) },
  { weight: 1, arbitrary: fc.record({ write: fc.nat(3) }) },
);

outbox("gives every server the markers of the room in the end, in any order of arrival", () => {
  check(
    fc.property(fc.constantFrom(3, 12), fc.array(step, { maxLength: 60 }), (servers, steps) => {
      const folded = roomOf(servers);
      let events = 1;
      const known = new Map<string, Map<string, string>>();
      const take = (lane: "urgent" | "waiting") => {
        for (const [server, lines] of Object.entries(folded.take(lane))) {
          const markers = known.get(server) ?? new Map<string, string>();
          known.set(server, markers);
          for (const line of lines) markers.set(line.slice(0, line.indexOf(" →")), line);
        }
      };
      for (const one of steps) {
        if ("pass" in one) folded.now += one.pass;
        else if ("take" in one) take(one.take);
        else if ("write" in one) {
          const place = one.write === 0 ? inThread("$1") : {};
          folded.fold([LIVE, event(`$${++events}`, { sender: `@u:s${one.write}.example`, ...place })]);
        } else {
          const { read, user, thread } = one;
          folded.fold(receipt(`$${(read % events) + 1}`, { user: `@${user}:here.example`, thread }));
        }
      }
      while (!folded.outbox.isEmpty) {
        take("urgent");
        take("waiting");
      }
      const markers = [...folded.room.markers].map(({ user, thread, event }) => `${user} ${thread ?? "-"} → ${event}`);
      for (let i = 1; i < servers && markers.length > 0; i++) {
        assert.equal([...(known.get(`s${i}.example`)?.values() ?? [])].sort(), markers.sort());
      }
    }),
    {
      numRuns: 500,
      // I24: a receipt on $1 while it is young, one on $2 when it is not, and the batched lane is taken first.
      examples: [
        [
          3,
          [
            { write: 0 },
            { pass: 30_000 },
            { read: 0, user: 0, thread: null },
            { pass: 30_000 },
            { read: 1, user: 0, thread: null },
            { take: "waiting" },
            { take: "urgent" },
          ],
        ],
      ],
    },
  );
});

/** Events are written into one of these threads, or into none, and read in their own thread or unthreaded. */
const THREADS = 7;
const hurried = fc.oneof(
  { weight: 6, arbitrary: fc.record({ read: fc.nat(30), user: fc.nat(1), threaded: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ write: fc.nat(THREADS), by: fc.nat(3) }) },
  { weight: 3, arbitrary: fc.record({ take: fc.constantFrom("urgent" as const, "waiting" as const) }) },
  { weight: 1, arbitrary: fc.record({ pass: fc.constantFrom(30_000, MINUTE_MS) }) },
  { weight: 1, arbitrary: fc.record({ join: fc.nat(4), leaves: fc.boolean() }) },
);

outbox("sends nothing older after something newer, loses nothing, and keeps its share of a window (I20, I24)", () => {
  check(
    fc.property(fc.constantFrom(3, 9, 12), fc.array(hurried, { maxLength: 120 }), (servers, steps) => {
      const folded = roomOf(servers);
      const traffic = new ThreadTraffic();
      /** The newest receipt that each server got, by server and key; and how many it got in this window, by server and user. */
      const known = new Map<string, number>();
      const share = new Map<string, number>();
      const take = (lane: "urgent" | "waiting") => {
        if (lane === "waiting") share.clear();
        for (const [server, lines] of Object.entries(folded.take(lane))) {
          for (const line of lines) {
            const [key = "", id = ""] = line.split(" → $");
            const at = `${server} ${key}`;
            assert.ok(Number(id) >= (known.get(at) ?? 0), `${line} after ${known.get(at)}`);
            known.set(at, Number(id));
            const place = `${server} ${key.split(" ")[0]}`;
            share.set(place, (share.get(place) ?? 0) + 1);
            assert.ok(share.get(place)! <= FEDERATION_EDUS_MAX, "one more than its share");
          }
        }
      };
      const lacks = (server: string) =>
        [...folded.room.markers].filter(({ user, thread, event: id }) => {
          return (known.get(`${server} ${user} ${thread ?? "-"}`) ?? 0) < Number(id.slice(1));
        });
      for (const one of steps) {
        if ("pass" in one) folded.now += one.pass;
        else if ("take" in one) take(one.take);
        else if ("join" in one) {
          const user = `@more${one.join}:s1.example`;
          folded.fold([LIVE, member(user, one.leaves ? "leave" : "join", `$m${folded.room.position}`)]);
        } else folded.fold(traffic.entryOf(one));
        // What a server lacks is held for: after a crash, the next owner begins at the oldest.
        for (const { position } of lacks("s2.example")) assert.ok(folded.outbox.oldest()! <= position, "not held for");
      }
      for (let window = 0; !folded.outbox.isEmpty; window++) {
        assert.ok(window <= THREADS, "it ends");
        take("urgent");
        take("waiting");
      }
      assert.is(folded.outbox.oldest(), undefined);
      for (let i = 1; i < servers; i++) assert.equal(lacks(`s${i}.example`), []);
    }),
    { numRuns: 400 },
  );
});

outbox.run();
