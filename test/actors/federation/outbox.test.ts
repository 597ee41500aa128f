/** The federation outbox: which receipts are sent to which servers, and when. */
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { BACKFILLED, type Entry, LIVE, STATE } from "../../../actors/entry.ts";
import { DestinationsOfRooms } from "../../../actors/federation/destinations.ts";
import { TAKE_STEPS_MAX } from "../../../actors/federation/lane.ts";
import { fold } from "../../../actors/room/fold.ts";
import { FEDERATION_EDUS_MAX } from "../../../src/limits.ts";
import { type ServerName, serverOf, type UserId } from "../../../src/matrix/ids.ts";
import { FoldedOutbox } from "../../support/outbox.ts";
import { check } from "../../support/property.ts";
import { event, ofUnknownThread, receipt } from "../../support/session-fold.ts";
import { roomOver } from "../../support/stored-room.ts";

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
      const threadOf = [undefined, "main"];
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
        } else if ("write" in one) {
          const thread = one.write === 0 ? "main" : `$root${one.write}`;
          const content = thread === "main" ? {} : { "m.relates_to": { rel_type: "m.thread", event_id: thread } };
          folded.fold([LIVE, event(`$${threadOf.length}`, { sender: `@u:s${one.by}.example`, content })]);
          threadOf.push(thread);
        } else {
          const id = (one.read % (threadOf.length - 1)) + 1;
          const thread = one.threaded ? threadOf[id]! : null;
          folded.fold(receipt(`$${id}`, { user: `@${one.user}:here.example`, thread }));
        }
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

/** A room with events in this many threads. */
function roomOfThreads(servers: number, threads: number): FoldedOutbox {
  const folded = roomOf(servers);
  for (let i = 0; i < threads; i++) {
    const content = { "m.relates_to": { rel_type: "m.thread", event_id: `$root${i}` } };
    folded.fold([LIVE, event(`$in${i}`, { content })]);
  }
  return folded;
}

const readThread = (folded: FoldedOutbox, i: number) =>
  folded.fold(receipt(`$in${i}`, { user: A, thread: `$root${i}` }));

outbox("spreads 200 threads of a user over 50 windows, the first ones first (I20)", () => {
  const folded = roomOfThreads(300, 200);
  for (let i = 0; i < 200; i++) readThread(folded, i);
  assert.equal(folded.take("urgent"), {});
  for (let window = 0; window < 50; window++) {
    assert.not(folded.outbox.isEmpty);
    const lines = [0, 1, 2, 3].map((i) => `${A} $root${4 * window + i} → $in${4 * window + i}`);
    assert.equal(folded.take("waiting"), everywhere(300, ...lines));
  }
  assert.ok(folded.outbox.isEmpty);
  assert.equal(folded.take("waiting"), {}, "the last window is over");
  assert.not(folded.outbox.hasWindow);
});

outbox("sends four urgent receipts of a user in a window, and the next ones first in the next window", () => {
  const folded = roomOfThreads(3, 8);
  for (let i = 0; i < 8; i++) readThread(folded, i);
  const lines = (...threads: number[]) => everywhere(3, ...threads.map((i) => `${A} $root${i} → $in${i}`));
  assert.equal(folded.take("urgent"), lines(0, 1, 2, 3));
  assert.ok(folded.outbox.hasWindow);
  assert.equal(folded.take("urgent"), {});
  assert.equal(folded.take("waiting"), lines(4, 5, 6, 7));
});

outbox("sends every thread in turn when all of them move in each window", () => {
  const folded = roomOf(12);
  const sent = new Set<string>();
  let id = 1;
  for (let window = 0; window < 6; window++) {
    for (let thread = 0; thread < 12; thread++) {
      const content = { "m.relates_to": { rel_type: "m.thread", event_id: `$root${thread}` } };
      folded.fold([LIVE, event(`$e${++id}`, { content })]);
      folded.fold(receipt(`$e${id}`, { user: A, thread: `$root${thread}` }));
    }
    for (const line of folded.take("waiting")["s1.example"] ?? []) sent.add(line.split(" → ")[0]!);
  }
  assert.is(sent.size, 12);
});

outbox("is held for until the backlog is released, and sends it all the same", () => {
  const folded = roomOfThreads(12, 9);
  for (let i = 0; i < 9; i++) readThread(folded, i);
  folded.take("waiting");
  assert.ok(folded.outbox.oldest()! < folded.room.position);
  folded.fold(receipt("$1", { user: "@new:here.example" }));
  folded.outbox.releaseBacklog();
  assert.is(folded.outbox.oldest(), folded.room.position, "what came since the take still counts");
  assert.is(folded.take("waiting")["s1.example"]?.length, 5);
  assert.is(folded.outbox.oldest(), undefined);
  assert.is(folded.take("waiting")["s1.example"]?.length, 1);
});

outbox("is not held for by a lane whose receipts all went to the other one", () => {
  const folded = roomOf(3);
  folded.fold([LIVE, event("$2")]);
  folded.fold(receipt("$1", { user: A }));
  folded.now += MINUTE_MS;
  folded.fold(receipt("$2", { user: A }));
  assert.is(folded.outbox.oldest(), folded.room.position);
});

outbox("takes a large lane in several parts, within one window", () => {
  const folded = roomOf(12);
  const users = TAKE_STEPS_MAX + 10;
  for (let i = 0; i < users; i++) folded.fold(receipt("$1", { user: `@${i}:here.example` }));
  const first = folded.outbox.take("waiting");
  assert.ok(first.isCut);
  assert.ok(first.dispatch!.batches.every(({ receipts }) => receipts.length <= TAKE_STEPS_MAX));
  const second = folded.outbox.take("waiting");
  assert.not(second.isCut);
  const sent = [first, second].flatMap(({ dispatch }) => dispatch!.batches.flatMap(({ receipts }) => receipts));
  assert.is(new Set(sent.map(({ user }) => user)).size, users);
});

const destinations = suite("destinations of a room");

const JOINED = { membership: "join", position: 1, joined: 1, left: 0 };

/** A stored room of `n` members on one of 300 servers each, which counts the rows that are read from it. */
function roomOfMembers(n: number) {
  const servers = new Map<ServerName, number>();
  for (let i = 0; i < n; i++) servers.set(serverOfMember(i), (servers.get(serverOfMember(i)) ?? 0) + 1);
  const reads = { rows: 0 };
  const room = roomOver({
    members: {
      get: (user) => {
        reads.rows++;
        return user.startsWith("@u") ? JOINED : undefined;
      },
      entries: function* () {
        for (let i = 0; i < n; i++) {
          reads.rows++;
          yield [`@u${i}:${serverOfMember(i)}` as UserId, JOINED] as const;
        }
      },
    },
    joined: {
      get: (server) => {
        reads.rows++;
        return servers.get(server);
      },
      entries: function* () {
        for (const row of servers) {
          reads.rows++;
          yield row;
        }
      },
    },
  });
  return { room, reads };
}

const serverOfMember = (i: number) => `s${i % 300}.example` as ServerName;

destinations("cost what changes, whatever the number of members (I19)", () => {
  const costs = [10_000, 100_000].map((n) => {
    const { room, reads } = roomOfMembers(n);
    const rooms = new DestinationsOfRooms(["here.example" as ServerName]);
    const cost: number[] = [];
    let position = 0;
    const folded = (entry: Entry) => {
      reads.rows = 0;
      fold(room, ++position, entry);
      assert.is([...rooms.of(room)].length, room.joined.servers.size);
      cost.push(reads.rows);
    };
    folded([LIVE, event("$first")]); // reads the servers, once
    folded([LIVE, member("@u7:s7.example", "join", "$name")]);
    folded([LIVE, member("@u8:s8.example", "leave", "$leave")]);
    folded([LIVE, member("@new:new.example", "join", "$join")]);
    assert.ok(rooms.of(room).has("new.example" as ServerName));
    return cost;
  });
  assert.equal(costs[0], costs[1]);
  assert.ok(Math.max(...costs[0]!.slice(1)) <= 3, String(costs[0]));
});

destinations("are the servers of the joined members, after any changes of membership", () => {
  const change = fc.record({
    user: fc.nat(5),
    server: fc.nat(3),
    membership: fc.constantFrom("join", "leave", "ban", "invite", "knock"),
  });
  check(
    fc.property(fc.array(change, { maxLength: 60 }), fc.boolean(), (changes, early) => {
      const folded = new FoldedOutbox();
      if (early) assert.is(folded.room.joined.servers.size, 0);
      changes.forEach(({ user, server, membership }, i) => {
        folded.fold([i % 3 === 0 ? STATE : LIVE, member(`@${user}:s${server}.example`, membership, `$${i}`)]);
      });
      const expected = new Set<string>();
      for (const [user, { membership }] of folded.room.members) if (membership === "join") expected.add(serverOf(user));
      assert.equal([...folded.room.joined.servers].sort(), [...expected].sort());
    }),
  );
});

outbox.run();
destinations.run();
