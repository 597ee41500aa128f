/** What is kept of each thread: how many events it has, who sent them, and the last activity. */
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { fold } from "../../../actors/room/fold.ts";
import { Room } from "../../../actors/room/room.ts";
import type { EventId } from "../../../src/matrix/ids.ts";
import { backfilled, history, inThread, live, relates } from "../../support/entries.ts";
import { ALICE, BASE, BOB, CARA, ROOM } from "../../support/example-room.ts";
import { at } from "../../support/given.ts";
import { check } from "../../support/property.ts";

const EVERYTHING = { dir: "b", above: Number.NEGATIVE_INFINITY, below: Number.POSITIVE_INFINITY } as const;
const ROOTS = ["$r1", "$r2"];
const USERS = [ALICE, BOB, CARA];

const redaction = (id: string, redacts: string) => live(id, { type: "m.room.redaction", redacts, content: {} });

const threads = suite("threads of a room");

threads("have the events that name the root, and not what hangs on these", () => {
  const room = new Room(ROOM, BASE);
  [
    live("$r1"),
    live("$a", { ...inThread("$r1"), sender: BOB }),
    live("$reaction", { type: "m.reaction", content: relates("m.annotation", "$a"), sender: CARA }),
    live("$self", inThread("$self")),
  ].forEach((entry, i) => void fold(room, at(i + 1), entry));
  const root = "$r1" as EventId;
  assert.equal(room.threads.summaries.get(root), { count: 1, latest: BASE + 2 });
  assert.equal(
    USERS.map((user) => room.threads.sentBy(user, root)),
    [0, 1, 0],
  );
  assert.is(room.threads.summaries.get("$self" as EventId), undefined);
});

const step = fc.record({
  id: fc.integer({ min: 0, max: 30 }).map((n) => `$${n}`),
  sender: fc.constantFrom(...USERS),
  what: fc.constantFrom("live", "history", "backfilled", "edit", "redaction"),
  target: fc.oneof(
    fc.constantFrom(...ROOTS),
    fc.integer({ min: 0, max: 30 }).map((n) => `$${n}`),
  ),
});

threads("are as a naive model has them, whatever comes in whatever order", () => {
  check(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const room = new Room(ROOM, BASE);
      const events = new Map<string, { root?: string; sender: string; order: number }>();
      const redacted = new Set<string>();
      for (const [i, { id, sender, what, target }] of steps.entries()) {
        const entry = {
          live: () => live(id, { ...inThread(target), sender }),
          history: () => history(id, { ...inThread(target), sender }),
          backfilled: () => backfilled(id, { ...inThread(target), sender }),
          edit: () => live(id, { content: relates("m.replace", target), sender }),
          redaction: () => redaction(id, target),
        }[what as "live"]();
        const outcome = fold(room, at(i + 1), entry);
        if (outcome.outcome !== "ordered") continue;
        const isInThread = what !== "edit" && what !== "redaction" && target !== id;
        events.set(id, { sender, order: outcome.order, ...(isInThread && { root: target }) });
        if (what === "redaction") redacted.add(target);
      }
      const inThreads = [...events].filter(([, { root }]) => root !== undefined);
      const roots = new Map<string, number>();
      for (const root of new Set(inThreads.map(([, event]) => event.root!))) {
        const all = inThreads.filter(([, event]) => event.root === root);
        const shown = all.filter(([id]) => !redacted.has(id));
        const { count = 0, latest } = room.threads.summaries.get(root as EventId) ?? {};
        assert.is(count, shown.length, root);
        for (const user of USERS) {
          const sent = shown.filter(([, { sender }]) => sender === user).length;
          assert.is(room.threads.sentBy(user, root as EventId), sent, `${root} ${user}`);
        }
        if (shown.length === 0) continue;
        // What was redacted before it came was never an activity.
        const orders = all.filter(([id]) => !redacted.has(id) || latest === events.get(id)!.order);
        assert.is(latest, Math.max(...orders.map(([, { order }]) => order)), root);
        roots.set(root, latest!);
      }
      const listed = [...room.threads.byActivity(EVERYTHING)].flatMap(([order, root]) =>
        root !== undefined && roots.get(root) === order ? root : [],
      );
      assert.equal(
        listed,
        [...roots.keys()].sort((a, b) => roots.get(b)! - roots.get(a)!),
      );
    }),
  );
});

threads.run();
