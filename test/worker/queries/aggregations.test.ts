/** What clients show of an event besides itself: its thread and its newest edit; and the threads of a room. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { EventInfo } from "../../../actors/entry.ts";
import type { OrderRange } from "../../../actors/room/order-index.ts";
import type { EventId } from "../../../src/matrix/ids.ts";
import { aggregations, rootPage } from "../../../src/worker/queries/aggregations.ts";
import { eventPage } from "../../../src/worker/queries/event-pages.ts";
import { sizeIn } from "../../../src/worker/queries/sizes.ts";
import { event } from "../../support/entries.ts";
import { ALICE, BOB } from "../../support/example-room.ts";
import { type Body, eventually, message, startTidemark, type TidemarkHarness } from "../../support/harness.ts";
import { roomOver } from "../../support/stored-room.ts";

const ROOM = "!aggregations:a.org";

const relating = (id: string, relType: string, target: string, more: Body = {}) =>
  message(id, {
    ...more,
    content: { body: id, "m.relates_to": { rel_type: relType, event_id: target }, ...more.content },
  });
const edit = (id: string, target: string, more: Body = {}) =>
  relating(id, "m.replace", target, { ...more, content: { "m.new_content": { body: id }, ...more.content } });
const redaction = (id: string, redacts: string) => message(id, { type: "m.room.redaction", redacts, content: {} });

async function sent(tidemark: TidemarkHarness, events: readonly Body[]): Promise<void> {
  await tidemark.sent("event", ROOM, events);
  const last = events.at(-1)!.event_id;
  const known = async () => (await tidemark.query(ROOM, { op: "orders", event_ids: [last] })).orders[last] !== null;
  await eventually(known, `${last} is folded`);
}

const suiteOf = suite("aggregations");

suiteOf("show the thread of a root, and the newest valid edit", async () => {
  await using tidemark = await startTidemark();
  const of = async (id: string, viewer?: string) => {
    const question = { op: "aggregations", event_ids: [id, "$never"], ...(viewer !== undefined && { viewer }) };
    return (await tidemark.query(ROOM, question)).aggregations[id];
  };
  await sent(tidemark, [
    message("$root", { sender: ALICE }),
    relating("$t1", "m.thread", "$root", { sender: BOB }),
    relating("$t2", "m.thread", "$root", { sender: BOB }),
    relating("$reaction", "m.annotation", "$t2", { type: "m.reaction" }),
    message("$plain", { sender: ALICE }),
  ]);
  const { thread, replace } = await of("$root");
  assert.equal([thread.count, thread.latest.event_id, thread.participated, replace], [2, "$t2", false, undefined]);
  assert.type(thread.latest.unsigned.order, "number");
  assert.is(await of("$plain"), undefined);
  assert.is(await of("$t1"), undefined);

  await sent(tidemark, [
    edit("$e1", "$root", { sender: ALICE }),
    edit("$e2", "$root", { sender: ALICE }),
    edit("$forged", "$root", { sender: BOB }),
    edit("$other", "$root", { sender: ALICE, type: "org.example.other" }),
    relating("$empty", "m.replace", "$root", { sender: ALICE }),
    edit("$e3", "$t2", { sender: BOB }),
  ]);
  const edited = await of("$root");
  assert.is(edited.replace.event_id, "$e2", "others can't edit, nor other types, nor without content");
  assert.is(edited.thread.latest.unsigned["m.relations"]["m.replace"].event_id, "$e3");

  await sent(tidemark, [redaction("$x1", "$e2"), redaction("$x2", "$t2")]);
  const after = await of("$root");
  assert.equal([after.replace.event_id, after.thread.latest.event_id, after.thread.count], ["$e1", "$t1", 1]);
  await sent(tidemark, [redaction("$x3", "$t1"), redaction("$x4", "$root")]);
  assert.is(await of("$root"), undefined, "no thread, and a redacted event has no edit");
});

suiteOf("list threads by their last activity, and show a viewer's alone", async () => {
  await using tidemark = await startTidemark();
  const member = (user: string) =>
    message(`$member-${user}`, {
      type: "m.room.member",
      sender: user,
      state_key: user,
      content: { membership: "join" },
    });
  const invited = (value: string, id: string) =>
    message(id, { type: "m.room.history_visibility", state_key: "", content: { history_visibility: value } });
  await sent(tidemark, [
    invited("joined", "$visibility"),
    message("$r1", { sender: ALICE }),
    message("$r2", { sender: BOB }),
    relating("$a", "m.thread", "$r1", { sender: ALICE }),
    member(BOB),
    message("$r3", { sender: ALICE }),
    relating("$b", "m.thread", "$r2", { sender: ALICE }),
    relating("$c", "m.thread", "$r3", { sender: BOB }),
    relating("$d", "m.thread", "$r1", { sender: ALICE }),
    relating("$unknown", "m.thread", "$never"),
  ]);
  const pages = async (more: Body = {}) => {
    const ids: string[][] = [];
    for (let from: number | undefined; ; ) {
      const page = await tidemark.query(ROOM, { op: "roots", limit: 2, ...more, ...(from !== undefined && { from }) });
      ids.push(page.events.map(({ event_id: id }: Body) => id));
      if (page.next === undefined) return ids;
      from = page.next;
    }
  };
  assert.equal(await pages(), [["$r1", "$r3"], ["$r2"]]);
  assert.equal(await pages({ participated: BOB }), [["$r3", "$r2"]]);
  assert.equal(await pages({ viewer: BOB }), [["$r3"]], "the others came before he was joined");
  const { aggregations: seen } = await tidemark.query(ROOM, {
    op: "aggregations",
    event_ids: ["$r1", "$r3"],
    viewer: BOB,
  });
  assert.equal(Object.keys(seen), ["$r3"]);
  assert.is(seen.$r3.thread.participated, true);
});

/** A stored room whose one root has `n` replies, `n` reactions and `n` edits, and what reading it has cost. */
function counted(n: number) {
  const cost = { rows: 0, bodies: 0 };
  const infoOf = (id: EventId, order: number): EventInfo => ({
    id,
    order,
    position: order,
    sender: ALICE,
    thread: "main",
    settled: true,
    inherits: false,
    counts: false,
  });
  const rows = function* ({ dir }: OrderRange) {
    for (let i = 1; i <= n; i++) {
      cost.rows++;
      const order = dir === "b" ? n - i + 1 : i;
      yield [order, `$${order}` as EventId] as const;
    }
  };
  const room = roomOver({
    events: { get: (id) => infoOf(id, Number(id.slice(1)) || n + 1), entries: () => [] },
    relationsByType: { range: (_, range) => rows(range) },
    threads: {
      summaries: { get: (root) => ({ count: n, latest: Number(root.slice(1)) || n }), entries: () => [] },
      senders: { get: () => n, entries: () => [] },
      activity: { range: (_, range) => rows(range) },
    },
  });
  const read = (id: string) => {
    cost.bodies++;
    const relation = { rel_type: "m.thread", event_id: "$root" };
    const fields = { sender: ALICE, content: { "m.new_content": {}, "m.relates_to": relation } };
    return { ...event(id, fields), unsigned: { order: 1 } };
  };
  const bodies = {
    one: async (_: unknown, id: EventId) => read(id),
    at: async (_: unknown, positions: readonly number[]) => positions.map((position) => read(`$${position}`)),
  };
  return { room, bodies, cost };
}

const sizeOf = sizeIn("json");

suiteOf("cost the same, however many events relate", async () => {
  const costs = await Promise.all(
    [100, 1_000].map(async (n) => {
      const { room, bodies, cost } = counted(n);
      const ids = ["$root" as EventId];
      await aggregations({ room, bodies, sizeOf }, { op: "aggregations", event_ids: ids });
      await rootPage({ room, bodies, sizeOf }, { op: "roots", limit: 1 });
      for (const dir of ["b", "f"] as const) {
        const question = { op: "events" as const, dir, relates_to: ids[0]!, rel_type: "m.thread", limit: 5 };
        assert.is((await eventPage({ room, bodies, sizeOf }, question)).events.length, 5);
      }
      return cost;
    }),
  );
  assert.equal(costs[1], costs[0]);
  assert.ok(costs[0]!.bodies <= 20, JSON.stringify(costs[0]));
});

suiteOf.run();
