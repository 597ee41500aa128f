/**
 * What is read, computed from orders alone. The table has the cases of Element's test plan for ordering, and cases that
 * no client gets right without orders. In every case the timestamps contradict the orders. Each case runs with its
 * events and receipts in the given sequence, with receipts first, and in reverse.
 */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type ClientEvent, ReadState } from "../../src/frontend/index.ts";

const ME = "@me:a.org";
const OTHER = "@other:a.org";

/** An event whose timestamp contradicts its order: the larger the order, the older the timestamp. */
function event(id: string, order: number, more: Partial<ClientEvent> = {}): ClientEvent {
  const timestamps = { origin_server_ts: 1_000_000 - order };
  const content = { msgtype: "m.text", body: id };
  return { event_id: id, type: "m.room.message", sender: OTHER, content, ...timestamps, ...more, unsigned: { order } };
}

const relation = (rel_type: string, event_id: string) => ({ body: "", "m.relates_to": { rel_type, event_id } });
const inThread = (id: string, order: number, root: string) => event(id, order, { content: relation("m.thread", root) });
const reaction = (id: string, order: number, target: string) =>
  event(id, order, { type: "m.reaction", content: relation("m.annotation", target) });
const edit = (id: string, order: number, target: string) =>
  event(id, order, { content: relation("m.replace", target) });

interface Receipt {
  readonly on: string;
  readonly order: number;
  readonly thread?: string;
  readonly type?: string;
  readonly user?: string;
}

function content({ on, order, thread, type = "m.read", user = ME }: Receipt) {
  const data = { ts: 500_000 - order, order, ...(thread !== undefined && { thread_id: thread }) };
  return { [on]: { [type]: { [user]: data } } };
}

interface Case {
  readonly title: string;
  /** In the sequence of arrival. */
  readonly events: readonly ClientEvent[];
  readonly receipts: readonly Receipt[];
  readonly read: readonly string[];
  readonly unread: readonly string[];
  readonly counts: { readonly total: number; readonly main: number; readonly threads?: Record<string, number> };
}

const MAIN3 = [event("$1", 10), event("$2", 20), event("$3", 30)];
const THREAD = [event("$root", 10), inThread("$t1", 20, "$root"), inThread("$t2", 30, "$root")];

const CASES: readonly Case[] = [
  {
    title: "no receipt",
    events: MAIN3,
    receipts: [],
    read: [],
    unread: ["$1", "$2", "$3"],
    counts: { total: 3, main: 3 },
  },
  {
    title: "main: a receipt on the last event in sync order",
    events: MAIN3,
    receipts: [{ on: "$3", order: 30 }],
    read: ["$1", "$2", "$3"],
    unread: [],
    counts: { total: 0, main: 0 },
  },
  {
    title: "main: a receipt on an event that is the newest by timestamp, but not the last in sync order",
    events: MAIN3,
    receipts: [{ on: "$1", order: 10 }],
    read: ["$1"],
    unread: ["$2", "$3"],
    counts: { total: 2, main: 2 },
  },
  {
    title: "main: events that arrive out of order",
    events: [event("$3", 30), event("$1", 10), event("$2", 20)],
    receipts: [{ on: "$2", order: 20 }],
    read: ["$1", "$2"],
    unread: ["$3"],
    counts: { total: 1, main: 1 },
  },
  {
    title: "main: a receipt in the main timeline marks nothing in threads as read",
    events: [...THREAD, event("$m", 40)],
    receipts: [{ on: "$m", order: 40, thread: "main" }],
    read: ["$root", "$m"],
    unread: ["$t1", "$t2"],
    counts: { total: 2, main: 0, threads: { $root: 2 } },
  },
  {
    title: "main: an unthreaded receipt also marks threads as read, up to its order",
    events: [...THREAD, event("$m", 25)],
    receipts: [{ on: "$m", order: 25 }],
    read: ["$root", "$t1", "$m"],
    unread: ["$t2"],
    counts: { total: 1, main: 0, threads: { $root: 1 } },
  },
  {
    title: "thread: a receipt on the last event of the thread",
    events: [...THREAD, event("$m", 40)],
    receipts: [{ on: "$t2", order: 30, thread: "$root" }],
    read: ["$t1", "$t2"],
    unread: ["$root", "$m"],
    counts: { total: 2, main: 2 },
  },
  {
    title: "thread: a receipt on an event that is not the thread's last",
    events: THREAD,
    receipts: [{ on: "$t1", order: 20, thread: "$root" }],
    read: ["$t1"],
    unread: ["$root", "$t2"],
    counts: { total: 2, main: 1, threads: { $root: 1 } },
  },
  {
    title: "thread: a receipt in one thread marks nothing in another as read",
    events: [...THREAD, event("$other", 12), inThread("$o1", 22, "$other")],
    receipts: [{ on: "$t2", order: 30, thread: "$root" }],
    read: ["$t1", "$t2"],
    unread: ["$root", "$other", "$o1"],
    counts: { total: 3, main: 2, threads: { $other: 1 } },
  },
  {
    title: "root: a receipt on the root in the main timeline marks the root as read, but not its thread",
    events: THREAD,
    receipts: [{ on: "$root", order: 10, thread: "main" }],
    read: ["$root"],
    unread: ["$t1", "$t2"],
    counts: { total: 2, main: 0, threads: { $root: 2 } },
  },
  {
    title: "root: an unthreaded receipt on the root marks nothing after it as read",
    events: [event("$before", 5), ...THREAD],
    receipts: [{ on: "$root", order: 10 }],
    read: ["$before", "$root"],
    unread: ["$t1", "$t2"],
    counts: { total: 2, main: 0, threads: { $root: 2 } },
  },
  {
    title: "reaction: a receipt on a reaction marks everything up to it as read, and reactions are never counted",
    events: [...MAIN3, reaction("$r", 40, "$1"), event("$4", 50), reaction("$r2", 60, "$1")],
    receipts: [{ on: "$r", order: 40 }],
    read: ["$1", "$2", "$3", "$r"],
    unread: ["$4", "$r2"],
    counts: { total: 1, main: 1 },
  },
  {
    title: "reaction: a reaction to an event of a thread is in that thread",
    events: [...THREAD, reaction("$r", 40, "$t2")],
    receipts: [{ on: "$r", order: 40, thread: "$root" }],
    read: ["$t1", "$t2", "$r"],
    unread: ["$root"],
    counts: { total: 1, main: 1 },
  },
  {
    title: "reaction: a reaction to a thread's root is in the main timeline",
    events: [...THREAD, reaction("$r", 40, "$root")],
    receipts: [{ on: "$r", order: 40, thread: "main" }],
    read: ["$root", "$r"],
    unread: ["$t1", "$t2"],
    counts: { total: 2, main: 0, threads: { $root: 2 } },
  },
  {
    title: "edit: a receipt on an edit marks everything up to it as read, and edits are never counted",
    events: [...MAIN3, edit("$e", 40, "$1"), event("$4", 50)],
    receipts: [{ on: "$e", order: 40 }],
    read: ["$1", "$2", "$3", "$e"],
    unread: ["$4"],
    counts: { total: 1, main: 1 },
  },
  {
    title: "edit: a receipt on the edited event does not mark what came between it and the edit as read",
    events: [...MAIN3, edit("$e", 40, "$1")],
    receipts: [{ on: "$1", order: 10 }],
    read: ["$1"],
    unread: ["$2", "$3", "$e"],
    counts: { total: 2, main: 2 },
  },
  {
    title: "edit: an edit of an event of a thread is in that thread",
    events: [...THREAD, edit("$e", 40, "$t1")],
    receipts: [{ on: "$e", order: 40, thread: "$root" }],
    read: ["$t1", "$t2", "$e"],
    unread: ["$root"],
    counts: { total: 1, main: 1 },
  },
  {
    title: "missing: a receipt for an event that the client lacks counts by its order",
    events: MAIN3,
    receipts: [{ on: "$nowhere", order: 25 }],
    read: ["$1", "$2"],
    unread: ["$3"],
    counts: { total: 1, main: 1 },
  },
  {
    title: "missing: a threaded receipt for an event that the client lacks counts by its order, in its thread",
    events: THREAD,
    receipts: [{ on: "$nowhere", order: 25, thread: "$root" }],
    read: ["$t1"],
    unread: ["$root", "$t2"],
    counts: { total: 2, main: 1, threads: { $root: 1 } },
  },
  {
    title: "late: an event that arrives late is unread when its order is larger than the receipt's",
    events: [event("$1", 10), event("$3", 30), event("$late", 40)],
    receipts: [{ on: "$3", order: 30 }],
    read: ["$1", "$3"],
    unread: ["$late"],
    counts: { total: 1, main: 1 },
  },
  {
    title: "late: a backfilled event is read",
    events: [...MAIN3, event("$old", -7)],
    receipts: [],
    read: ["$old"],
    unread: ["$1", "$2", "$3"],
    counts: { total: 3, main: 3 },
  },
  {
    title: "late: a receipt on a backfilled event has order 0, and marks nothing else as read",
    events: [...MAIN3, event("$old", -7)],
    receipts: [{ on: "$old", order: 0 }],
    read: ["$old"],
    unread: ["$1", "$2", "$3"],
    counts: { total: 3, main: 3 },
  },
  {
    title: "forward only: the receipt with the larger order wins, whichever arrives last",
    events: MAIN3,
    receipts: [
      { on: "$3", order: 30 },
      { on: "$1", order: 10 },
    ],
    read: ["$1", "$2", "$3"],
    unread: [],
    counts: { total: 0, main: 0 },
  },
  {
    title: "private: a private receipt counts like a public one, and the larger order of the two wins",
    events: MAIN3,
    receipts: [
      { on: "$1", order: 10 },
      { on: "$2", order: 20, type: "m.read.private" },
    ],
    read: ["$1", "$2"],
    unread: ["$3"],
    counts: { total: 1, main: 1 },
  },
  {
    title: "private: m.fully_read marks nothing as read",
    events: MAIN3,
    receipts: [{ on: "$3", order: 30, type: "m.fully_read" }],
    read: [],
    unread: ["$1", "$2", "$3"],
    counts: { total: 3, main: 3 },
  },
  {
    title: "own: the user's newest own event counts like a receipt, and another user's receipt marks nothing as read",
    events: [event("$1", 10), event("$mine", 20, { sender: ME }), event("$3", 30)],
    receipts: [{ on: "$3", order: 30, user: OTHER }],
    read: ["$mine"],
    unread: ["$1", "$3"],
    counts: { total: 1, main: 1 },
  },
  {
    title: "redaction: neither a redacted event nor the redaction is counted",
    events: [...MAIN3, event("$x", 40, { type: "m.room.redaction", redacts: "$2", content: {} })],
    receipts: [{ on: "$1", order: 10 }],
    read: ["$1"],
    unread: ["$2", "$3", "$x"],
    counts: { total: 1, main: 1 },
  },
  {
    title: "state: a state event is never counted",
    events: [event("$1", 10), event("$s", 20, { type: "m.room.name", state_key: "" })],
    receipts: [],
    read: [],
    unread: ["$1", "$s"],
    counts: { total: 1, main: 1 },
  },
];

const ways: Record<string, (state: ReadState, given: Case) => void> = {
  "in the given sequence": (state, { events, receipts }) => {
    for (const held of events) state.note(held);
    for (const receipt of receipts) state.apply(content(receipt));
  },
  "receipts first": (state, { events, receipts }) => {
    for (const receipt of receipts) state.apply(content(receipt));
    for (const held of events) state.note(held);
  },
  "in reverse, and twice": (state, { events, receipts }) => {
    for (let time = 0; time < 2; time++) {
      for (const held of events.toReversed()) state.note(held);
      for (const receipt of receipts.toReversed()) state.apply(content(receipt));
    }
  },
};

const read = suite("read and unread");

for (const given of CASES) {
  for (const [way, feed] of Object.entries(ways)) {
    read(`${given.title} (${way})`, () => {
      const state = new ReadState();
      feed(state, given);
      for (const id of given.read) assert.is(state.isRead(id, ME), true, `${id} is read`);
      for (const id of given.unread) assert.is(state.isRead(id, ME), false, `${id} is unread`);
      const { total, main, threads } = state.unread(ME);
      const counts = { total, main, threads: Object.fromEntries(threads) };
      assert.equal(counts, { threads: {}, ...given.counts });
    });
  }
}

read.run();

const state = suite("read state");

state("an unknown event ID has no answer, and an event that carries its order needs no lookup", () => {
  const room = new ReadState();
  room.apply(content({ on: "$2", order: 20 }));
  assert.is(room.isRead("$1", ME), null);
  assert.is(room.order("$1"), undefined);
  assert.is(room.isRead(event("$1", 10), ME), true);
  assert.is(room.isRead(event("$3", 30), ME), false);
  assert.is(room.order("$1"), 10);
});

state("an event without an order is ignored", () => {
  const room = new ReadState();
  room.note({ ...event("$1", 10), unsigned: {} });
  assert.is(room.size, 0);
  assert.is(room.isRead("$1", ME), null);
});

state("a receipt without an order waits for its event, and has the order of that, at least 0 (F8)", () => {
  const room = new ReadState();
  for (const id of ["$1", "$old", "$2"]) room.apply({ [id]: { "m.read": { [ME]: { ts: 5 } } } });
  room.apply({ $1: { "m.read": { [ME]: { ts: 5, thread_id: "$root" } } } });
  assert.is(room.readUpTo(ME), undefined);
  room.note(event("$old", -3));
  assert.is(room.readUpTo(ME), 0);
  room.note(event("$1", 10));
  assert.is(room.readUpTo(ME), 10);
  room.apply({ $1: { "m.read": { [OTHER]: { ts: 5 } } } });
  assert.is(room.readUpTo(OTHER), 10, "the event was there");
  room.note(event("$2", 20));
  assert.is(room.readUpTo(ME), 20);
  assert.is(room.readUpTo(ME, "$root"), 20);
  assert.equal(
    [...room.markers].map(({ user, thread, event }) => `${user} ${thread} ${event}`).sort(),
    [`${ME} $root $1`, `${ME} null $2`, `${OTHER} null $1`].sort(),
  );
});

state("an order may have either name; if both are there, the stable one stands", () => {
  const room = new ReadState();
  const unstable = "org.matrix.msc4033.order";
  room.note({ ...event("$1", 0), unsigned: { [unstable]: 10 } });
  room.note({ ...event("$2", 0), unsigned: { [unstable]: 10, order: 20 } });
  assert.equal([room.order("$1"), room.order("$2")], [10, 20]);
  room.apply({ $1: { "m.read": { [ME]: { ts: 5, [unstable]: 10 } } } });
  assert.equal([room.isRead("$1", ME), room.isRead("$2", ME)], [true, false]);
  room.apply({ $2: { "m.read": { [ME]: { ts: 5, [unstable]: 10, order: 20 } } } });
  assert.is(room.isRead("$2", ME), true);
});

state("orders of another server may be 0, equal, or fractions", () => {
  const room = new ReadState();
  for (const [id, order] of [
    ["$0", 0],
    ["$a", 1.25],
    ["$b", 1.25],
    ["$c", 1.5],
  ] as const)
    room.note(event(id, order));
  assert.is(room.unread(ME).total, 4);
  room.apply(content({ on: "$0", order: 0 }));
  assert.is(room.unread(ME).total, 3);
  room.apply(content({ on: "$a", order: 1.25 }));
  assert.equal(
    ["$0", "$a", "$b", "$c"].map((id) => room.isRead(id, ME)),
    [true, true, true, false],
  );
  assert.is(room.unread(ME).total, 1);
});

state("readUpTo gives a user's position per thread, and unthreaded", () => {
  const room = new ReadState();
  room.apply(content({ on: "$2", order: 20 }));
  room.apply(content({ on: "$t", order: 30, thread: "$root" }));
  assert.is(room.readUpTo(ME), 20);
  assert.is(room.readUpTo(ME, "main"), 20);
  assert.is(room.readUpTo(ME, "$root"), 30);
  assert.is(room.readUpTo(OTHER, "main"), undefined);
});

state("an event's readers have a receipt at or after it, in its thread or unthreaded", () => {
  const room = new ReadState();
  for (const held of THREAD) room.note(held);
  room.apply(content({ on: "$t2", order: 30, thread: "$root", user: "@thread:a.org" }));
  room.apply(content({ on: "$t1", order: 20, user: "@unthreaded:a.org" }));
  room.apply(content({ on: "$root", order: 10, thread: "main", user: "@main:a.org" }));
  assert.equal(room.readers("$t1").sort(), ["@thread:a.org", "@unthreaded:a.org"]);
  assert.equal(room.readers("$root").sort(), ["@main:a.org", "@unthreaded:a.org"]);
  assert.equal(room.readers("$t2"), ["@thread:a.org"]);
  assert.equal(room.readers("$nowhere"), []);
});

state("a redacted event keeps its order, and is in main (F11)", () => {
  const room = new ReadState();
  for (const held of THREAD) room.note(held);
  room.note({ ...event("$t2", 30, { content: {} }), unsigned: { order: 30, redacted_because: {} } });
  assert.is(room.thread("$t2"), "main");
  assert.is(room.order("$t2"), 30);
  assert.is(room.unread(ME).threads.get("$root"), 1);
});

state(
  "a thread root that is no event ID, or the event itself, is ignored: the event is in main, as on the server",
  () => {
    const room = new ReadState();
    for (const [id, root] of [
      ["$a", "no id"],
      ["$b", `$${"x".repeat(1_000)}`],
      ["$c", "$c"],
    ] as const) {
      room.note(inThread(id, 10, root));
      assert.is(room.thread(id), "main", root.slice(0, 10));
    }
  },
);

state("m.fully_read may move back: the greater position stands, and without positions the last call", () => {
  const room = new ReadState();
  const at = () => [...room.markers].map(({ event, order }) => `${event} ${order}`);
  assert.is(room.fullyRead(ME, { event_id: "$3", order: 30 }, 100), true);
  assert.is(room.fullyRead(ME, { event_id: "$1", order: 10 }, 200), true, "a homeserver moved it back");
  assert.is(room.fullyRead(ME, { event_id: "$3", order: 30 }, 100), false, "an owner that was paused");
  assert.equal(at(), ["$1 10"]);
  assert.is(room.fullyRead(ME, { event_id: "$1", order: 10 }, 200), true, "a repetition changes nothing");
  assert.equal(at(), ["$1 10"]);
  assert.is(room.fullyRead(ME, { event_id: "$0", order: 0 }), true, "account data replaces");
  assert.is(room.fullyRead(ME, { event_id: "$2", order: 20 }, 300), true);
  assert.equal(at(), ["$2 20"]);
});

state("counts stop at a thousand", () => {
  const room = new ReadState();
  for (let i = 1; i <= 1_500; i++) room.note(event(`$${i}`, i));
  assert.is(room.unread(ME).total, 1_000);
  assert.is(room.unread(ME).main, 1_000);
});

state.run();
