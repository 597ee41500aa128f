/** The servers that a room's receipts go to. */
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Entry, LIVE, STATE } from "../../../actors/entry.ts";
import { DestinationsOfRooms } from "../../../actors/federation/destinations.ts";
import { fold } from "../../../actors/room/fold.ts";
import { type ServerName, serverOf, type UserId } from "../../../src/matrix/ids.ts";
import { FoldedOutbox, member } from "../../support/outbox.ts";
import { check } from "../../support/property.ts";
import { event } from "../../support/session-fold.ts";
import { roomOver } from "../../support/stored-room.ts";

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

destinations.run();
