/** The summary of a room: the counts that the fold keeps, and heroes, at the same cost in rooms of every size. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Entry } from "../../../actors/entry.ts";
import type { OrderRange } from "../../../actors/room/order-index.ts";
import type { Room } from "../../../actors/room/room.ts";
import { memberKey } from "../../../actors/room/state-changes.ts";
import { HEROES_MAX, MEMBERS_SCAN_MAX } from "../../../src/limits.ts";
import type { UserId } from "../../../src/matrix/ids.ts";
import { summary } from "../../../src/worker/queries/summary.ts";
import { live, state } from "../../support/entries.ts";
import { given } from "../../support/given.ts";
import { roomOver } from "../../support/stored-room.ts";

const user = (n: number): UserId => `@u${n}:a.org` as UserId;
const NO_NAMES = { state: async () => [] } as unknown as Parameters<typeof summary>[0]["bodies"];
const of = (room: Room) => summary({ room, bodies: NO_NAMES });

let events = 0;
const member = (n: number, membership: string, entry: typeof live = live): Entry =>
  entry(`$${events++}`, { type: "m.room.member", sender: user(n), state_key: user(n), content: { membership } });

const summaries = suite("summary of a room");

summaries("counts who is joined and invited, however they came", async () => {
  const { room } = given(member(1, "join"), member(2, "invite"), member(3, "invite", state), member(4, "ban"));
  assert.equal(await of(room), { joined: 1, invited: 2, heroes: [1, 2, 3].map(user) });
  const later = given(
    member(1, "join"),
    member(1, "join"),
    member(2, "invite"),
    member(2, "join"),
    member(3, "knock"),
    member(1, "leave"),
    live("$odd", { type: "m.room.member", state_key: "no user", content: { membership: "join" } }),
  );
  assert.equal(await of(later.room), { joined: 1, invited: 0, heroes: [2, 1].map(user) });
});

summaries("names the first heroes, and one more than a client shows", async () => {
  const { room } = given(...Array.from({ length: HEROES_MAX + 3 }, (_, n) => member(n, "join")));
  assert.equal(
    (await of(room)).heroes,
    Array.from({ length: HEROES_MAX + 1 }, (_, n) => user(n)),
  );
});

/** A stored room of `n` members, all of whom have left but for the last ones. */
function counted(n: number, present: number) {
  const cost = { rows: 0 };
  const numberOf = (key: string) => Number(/@u(\d+):/.exec(key)?.[1]);
  const range = function* (_: string, { dir }: OrderRange) {
    for (let i = 1; i <= n; i++) {
      cost.rows++;
      const at = dir === "f" ? i : n + 1 - i;
      yield [at, { key: memberKey(user(at)), order: at }] as const;
    }
  };
  const membership = (i: number) => (i > n - present ? "join" : "leave");
  const room = roomOver({
    stateChanges: { byKey: { range: () => [] }, places: { range } },
    state: {
      get: (key) => (key.includes("@") ? { position: numberOf(key), order: 1 } : undefined),
      entries: () => [],
    },
    members: {
      get: (id) => ({ membership: membership(numberOf(id)), position: 1, joined: 1, left: 0 }),
      entries: () => [],
    },
  });
  room.present.join = present;
  return { room, cost };
}

summaries("cost the same, however many members a room has", async () => {
  const costs = await Promise.all(
    [1, 10].flatMap((times) => {
      return [0, 2, 1_000 * times].map(async (present) => {
        const { room, cost } = counted(10_000 * times, present);
        const { joined, heroes } = await of(room);
        const found = present < 2 ? HEROES_MAX : Math.min(present, HEROES_MAX + 1);
        assert.equal([joined, heroes?.length], [present, found]);
        return cost.rows;
      });
    }),
  );
  assert.ok(Math.max(...costs) <= 2 * (MEMBERS_SCAN_MAX + 1), `${costs}`);
  const { room, cost } = counted(100_000, 100_000);
  assert.is((await of(room)).heroes?.length, HEROES_MAX + 1);
  assert.ok(cost.rows <= HEROES_MAX + 3, `${cost.rows}`);
});

summaries.run();
