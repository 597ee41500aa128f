/** The federation outbox: which receipts are sent to which servers, and when. */
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { BACKFILLED, LIVE, STATE } from "../../../actors/entry.ts";
import { FoldedOutbox } from "../../support/outbox.ts";
import { check } from "../../support/property.ts";
import { event, ofUnknownThread, receipt } from "../../support/session-fold.ts";

const MINUTE_MS = 60_000;
const A = "@a:here.example";

function member(user: string, membership = "join", id = `$${membership}${user}`) {
  return event(id, { type: "m.room.member", state_key: user, sender: user, content: { membership } });
}

/** A room with this many servers: the local one and `s1.example` …. It has the event `$1` of `@sender:here.example`. */
function roomOf(servers: number, own?: readonly string[]): FoldedOutbox {
  const folded = new FoldedOutbox(own);
  folded.fold([STATE, member(A)]);
  for (let i = 1; i < servers; i++) folded.fold([STATE, member(`@u:s${i}.example`)]);
  folded.fold([LIVE, event("$1")]);
  return folded;
}

const everywhere = (servers: number, ...lines: string[]) =>
  Object.fromEntries(Array.from({ length: servers - 1 }, (_, i) => [`s${i + 1}.example`, lines]));

const outbox = suite("federation outbox");

outbox("sends to every other server with a joined member, and to no other", () => {
  const folded = roomOf(3);
  folded.fold([STATE, member("@u:invited.example", "invite")]);
  folded.fold([STATE, member("@u:left.example")]);
  folded.fold(receipt("$1", { user: A }));
  folded.fold([LIVE, member("@u:left.example", "leave")]);
  folded.fold([LIVE, member("@u:s3.example")]);
  folded.fold([LIVE, event("$2")]);
  folded.fold(receipt("$2", { user: A }));
  assert.equal(folded.take("urgent"), everywhere(4, `${A} - → $2`));
  assert.equal(folded.take("waiting"), {});
});

outbox("has nothing to send from a room without remote or known members", () => {
  for (const folded of [roomOf(1), new FoldedOutbox()]) {
    folded.fold([LIVE, event("$9")]);
    folded.fold(receipt("$9", { user: A }));
    assert.is(folded.outbox.oldest(), undefined);
  }
});

outbox("ignores receipts that are private, remote, of unknown thread, stale or already published", () => {
  const folded = roomOf(3);
  folded.fold([LIVE, event("$2")]);
  folded.fold(receipt("$2", { user: A }), true);
  folded.fold(receipt("$1", { user: A }));
  folded.fold(receipt("$1", { user: A, type: "m.read.private" }));
  folded.fold(receipt("$1", { user: A, type: "m.fully_read" }));
  folded.fold(receipt("$1", { user: "@u:s1.example", origin: "s1.example" }));
  folded.fold(receipt("$1", { user: "@u:s1.example" }));
  folded.fold(ofUnknownThread("$1", { user: "@b:here.example" }));
  assert.is(folded.outbox.oldest(), undefined);
});

outbox("without own server names treats the servers of local receipts as its own", () => {
  const folded = roomOf(3, []);
  folded.fold(receipt("$1", { user: A }));
  assert.equal(folded.take("urgent"), everywhere(3, `${A} - → $1`));
});

outbox("holds a receipt until its event is known here", () => {
  const folded = roomOf(3);
  assert.is(folded.fold(receipt("$2", { user: A })).outcome, "held");
  assert.is(folded.outbox.oldest(), undefined);
  folded.fold([LIVE, event("$2")]);
  assert.equal(folded.take("urgent"), everywhere(3, `${A} - → $2`));
});

outbox("sends at once in a room of fewer than 10 servers if the event is younger than 60 s", () => {
  const folded = roomOf(9);
  folded.now += MINUTE_MS - 1;
  folded.fold(receipt("$1", { user: A }));
  assert.equal(folded.take("urgent"), everywhere(9, `${A} - → $1`));
  assert.equal(folded.take("waiting"), {});
});

outbox("asks no record's clock how old an event is", () => {
  const days = 24 * 60 * MINUTE_MS;
  for (const [eventAt, receiptAt] of [
    [3 * days, 0],
    [-3 * days, 0],
    [0, 3 * days],
  ]) {
    const folded = roomOf(3);
    folded.fold([LIVE, event("$2")], false, eventAt);
    folded.fold(receipt("$2", { user: A }), false, receiptAt);
    assert.equal(folded.take("urgent"), everywhere(3, `${A} - → $2`));
    folded.now += MINUTE_MS;
    folded.fold(receipt("$2", { user: A, thread: "main" }), false, eventAt);
    assert.equal(folded.take("urgent"), {});
  }
});

outbox("batches everything in a room of 10 servers", () => {
  const folded = roomOf(10);
  folded.fold(receipt("$1", { user: A }));
  assert.equal(folded.take("urgent"), {});
  assert.equal(folded.take("waiting"), everywhere(10, `${A} - → $1`));
});

outbox("batches a receipt on an event older than 60 s, except for the server of its sender", () => {
  const folded = roomOf(4);
  folded.fold([LIVE, event("$2", { sender: "@u:s2.example" })]);
  folded.now += MINUTE_MS;
  folded.fold(receipt("$1", { user: A }));
  assert.equal(folded.take("urgent"), {}, "the event's sender is local");
  folded.fold(receipt("$2", { user: A, thread: "main" }));
  assert.equal(folded.take("urgent"), { "s2.example": [`${A} main → $2`] });
  assert.equal(folded.take("waiting"), {
    "s1.example": [`${A} - → $1`, `${A} main → $2`],
    "s2.example": [`${A} - → $1`],
    "s3.example": [`${A} - → $1`, `${A} main → $2`],
  });
});

outbox("treats a backfilled event as old", () => {
  const folded = roomOf(3);
  folded.fold([BACKFILLED, event("$0")]);
  folded.fold(receipt("$0", { user: A }));
  assert.equal(folded.take("urgent"), {});
  assert.equal(folded.take("waiting"), everywhere(3, `${A} - → $0`));
});

outbox("sends only the last receipt of each thread", () => {
  const folded = roomOf(12);
  const inThread = { "m.relates_to": { rel_type: "m.thread", event_id: "$1" } };
  for (const id of ["$2", "$3", "$4"]) {
    folded.fold([LIVE, event(id, { content: inThread })]);
    folded.fold(receipt(id, { user: A, thread: "$1" }));
  }
  folded.fold(receipt("$1", { user: A, thread: "main" }));
  folded.fold(receipt("$4", { user: A }));
  const lines = folded.take("waiting")["s1.example"];
  assert.equal(lines, [`${A} $1 → $4`, `${A} main → $1`, `${A} - → $4`]);
});

outbox("does not send a batched receipt after a later urgent one", () => {
  const folded = roomOf(3);
  folded.now += MINUTE_MS;
  folded.fold(receipt("$1", { user: A }));
  folded.fold([LIVE, event("$2")]);
  folded.fold(receipt("$2", { user: A }));
  assert.equal(folded.take("urgent"), everywhere(3, `${A} - → $2`));
  assert.equal(folded.take("waiting"), {});
});

outbox("does not send an urgent receipt after a later batched one", () => {
  const folded = roomOf(3);
  folded.fold(receipt("$1", { user: A }));
  folded.now += MINUTE_MS;
  folded.fold([LIVE, event("$2", { sender: "@u:s2.example" })]);
  folded.now += MINUTE_MS;
  folded.fold(receipt("$2", { user: A }));
  assert.equal(folded.take("waiting"), { "s1.example": [`${A} - → $2`] });
  assert.equal(folded.take("urgent"), { "s2.example": [`${A} - → $2`] });
});

outbox("replaces an urgent receipt by a later batched one", () => {
  const folded = roomOf(3);
  folded.fold([LIVE, event("$2")]);
  folded.now += MINUTE_MS / 2;
  folded.fold(receipt("$1", { user: A }));
  folded.now += MINUTE_MS / 2;
  folded.fold(receipt("$2", { user: A }));
  assert.equal(folded.take("waiting"), everywhere(3, `${A} - → $2`));
  assert.equal(folded.take("urgent"), {});
});

outbox("returns the position of the oldest change that is not sent", () => {
  const folded = roomOf(12);
  folded.fold(receipt("$1", { user: A }));
  const oldest = folded.outbox.oldest();
  assert.is(oldest, folded.room.position);
  folded.fold([LIVE, event("$2")]);
  folded.fold(receipt("$2", { user: A }));
  assert.is(folded.outbox.oldest(), oldest);
  folded.take("waiting");
  assert.is(folded.outbox.oldest(), undefined);
});

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
          const content = one.write === 0 ? { "m.relates_to": { rel_type: "m.thread", event_id: "$1" } } : {};
          folded.fold([LIVE, event(`$${++events}`, { sender: `@u:s${one.write}.example`, content })]);
        } else {
          const { read, user, thread } = one;
          folded.fold(receipt(`$${(read % events) + 1}`, { user: `@${user}:here.example`, thread }));
        }
      }
      take("urgent");
      take("waiting");
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

outbox.run();
