import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Entry } from "../../actors/entry.ts";
import { Changes, type RoomDelta } from "../../actors/partition/changes.ts";
import { fold } from "../../actors/room/fold.ts";
import type { Outgoing } from "../../src/bus/client/acked-publisher.ts";
import { decode } from "../../src/bus/contract/codec.ts";
import { PUBLISH_BYTES_MAX, STATE_MEMBERS_PUBLISHED_MAX } from "../../src/limits.ts";
import type { UserId } from "../../src/matrix/ids.ts";
import { FULLY_READ, READ_PRIVATE } from "../../src/matrix/receipt-types.ts";
import { eventMessages, markerMessages, rejectionMessages } from "../../src/worker/delta-messages.ts";
import { acl, backfilled, history, inThread, live, member, receipt, state } from "../support/entries.ts";
import { BASE, BOB, CARA, ROOM, TWO } from "../support/example-room.ts";
import { at, Story } from "../support/given.ts";

/** The delta of a room after these entries. */
function deltaOf(...entries: readonly Entry[]): RoomDelta {
  const story = new Story();
  const changes = new Changes();
  entries.forEach((entry, i) => {
    const position = at(i + 1);
    changes.add(story.room, { position, at: 0, entry, outcome: fold(story.room, position, entry) }, false);
  });
  const delta = changes.take(ROOM);
  if (delta === undefined) throw new Error("these entries changed nothing");
  return delta;
}

// biome-ignore lint/suspicious/noExplicitAny: payloads are read as a reader does, field by field
const payloadOf = ({ payload }: Outgoing): any => decode(payload);
const users = (count: number) =>
  Array.from({ length: count }, (_, i) => `@${String(i).padStart(240, "u")}:one.example` as UserId);

/** Asserts that each message continues where the previous one ended, and that all fit the broker's limit. */
function assertChain(messages: readonly Outgoing[], previous = 0): void {
  for (const message of messages) {
    assert.ok(message.payload.length <= PUBLISH_BYTES_MAX, `${message.payload.length} bytes`);
    const { position, previous: before } = payloadOf(message);
    assert.is(before, previous);
    assert.ok(position > before);
    previous = position;
  }
}

const members = suite("member events");

members("are each the last of their message, whose position is therefore theirs", () => {
  const join = (n: number, user: string) => live(`$${n}`, member(user, "join"));
  const messages = eventMessages(0, deltaOf(live("$1"), join(2, BOB), join(3, CARA), live("$4"), live("$5")));
  assertChain(messages);
  const shown = messages.map(payloadOf);
  assert.equal(
    shown.map(({ position, events }) => [position, events.map(({ event_id: id }: { event_id: string }) => id)]),
    [
      [at(2), ["$1", "$2"]],
      [at(3), ["$3"]],
      [at(5), ["$4", "$5"]],
    ],
  );
});

members("end a message as the last events of a delta, too", () => {
  assert.is(eventMessages(0, deltaOf(live("$1"), live("$2", member(BOB, "join")))).length, 1);
});

members.run();

const kinds = suite("kinds of events");

kinds("are never together in one message, and member events that aren't live end none", () => {
  const old = history("$6", member(BOB, "join"));
  const messages = eventMessages(
    0,
    deltaOf(live("$1"), live("$2"), backfilled("$3"), live("$4"), history("$5"), old, history("$7")),
  );
  assertChain(messages);
  assert.equal(
    messages
      .map(payloadOf)
      .map(({ kind, events }) => [kind, ...events.map((event: { event_id: string }) => event.event_id)]),
    [
      ["live", "$1", "$2"],
      ["backfill", "$3"],
      ["live", "$4"],
      // In a room that has a negative order, history gets one as well (F1). How it came stays as it is.
      ["history", "$5", "$6", "$7"],
    ],
  );
});

kinds.run();

const stated = suite("member events of state entries");

stated("are a message of their own kind, with the memberships and where they were set", () => {
  const join = (id: string, user: string, name: string) =>
    state(id, { ...member(user, "join"), content: { membership: "join", displayname: name } });
  const deltas = deltaOf(
    live("$1"),
    join("$2", BOB, "Bob"),
    state("$3", { type: "m.room.name", state_key: "" }),
    state("$4", member(CARA, "ban")),
    join("$5", BOB, "Robert"),
    live("$6"),
  );
  const messages = eventMessages(0, deltas);
  assertChain(messages);
  const [, middle] = messages.map(payloadOf);
  assert.is(messages.length, 3);
  assert.equal(middle, {
    v: 1,
    room_id: ROOM,
    position: at(5),
    previous: at(1),
    kind: "state",
    events: [],
    members: { [BOB]: { membership: "join", position: at(2) }, [CARA]: { membership: "ban", position: at(4) } },
  });
});

stated("that change nothing are not published", () => {
  const story = deltaOf(live("$1", member(BOB, "join")), state("$0", member(BOB, "leave"), 0));
  assert.is(eventMessages(0, story).length, 1);
  assert.throws(() => deltaOf(state("$1", { ...member(BOB, "join"), state_key: "bob" })), /changed nothing/);
});

stated("become messages of bounded size, however many there are", () => {
  const many = users(2 * STATE_MEMBERS_PUBLISHED_MAX + 1);
  const messages = eventMessages(0, deltaOf(...many.map((user, i) => state(`$${i}`, member(user, "join")))));
  assertChain(messages);
  const shown = messages.map((message) => Object.keys(payloadOf(message).members));
  assert.ok(shown.every(({ length }) => length <= STATE_MEMBERS_PUBLISHED_MAX));
  assert.equal(shown.flat(), many);
});

stated.run();

const large = suite("a delta that is too large for one message");

large("becomes several messages of events, each continuing where the previous one ended", () => {
  const body = "x".repeat(60_000);
  const entries = Array.from({ length: 31 }, (_, i) => live(`$${i}`, { content: { body } }));
  const messages = eventMessages(0, deltaOf(...entries));
  assert.ok(messages.length >= 3 && messages.length <= 4, String(messages.length));
  assertChain(messages);
  assert.equal(
    messages.flatMap((message) => payloadOf(message).events.map((event: { event_id: string }) => event.event_id)),
    entries.map(([, event]) => event.event_id),
  );
  assert.is(payloadOf(messages.at(-1)!).position, at(31));
});

large("becomes several messages of markers in the order of positions, split only between positions", () => {
  const messages = markerMessages(0, deltaOf(live("$a"), ...users(6_000).map((user) => receipt(user, "$a"))));
  assert.ok(messages.length >= 2);
  assertChain(messages);
  const all = messages.flatMap((message) => Object.keys(payloadOf(message).event.content.$a["m.read"]));
  assert.equal(new Set(all).size, 6_000);
  assert.is(payloadOf(messages.at(-1)!).position, at(6_001));
});

large("leads to a snapshot if one position alone is too large: no reader has the `previous` of its message", () => {
  const held = users(4_000).map((user) => receipt(user, "$b"));
  const after = receipt(BOB, "$b");
  const delta = deltaOf(live("$a"), receipt(BOB, "$a"), receipt(CARA, "$a"), ...held, live("$b"), after);
  const messages = markerMessages(0, delta).map(payloadOf);
  assert.equal(
    messages.map(({ previous, position, event }) => [previous, position, Object.keys(event.content)]),
    [
      [0, at(3), ["$a"]],
      [at(4_004), at(4_004), []],
      [at(4_004), at(4_005), ["$b"]],
    ],
  );
});

large("becomes several private messages, and loses nothing", () => {
  const roots = Array.from({ length: 1_500 }, (_, i) => `$${String(i).padStart(250, "r")}`);
  const entries = roots.flatMap((root, i) => [
    live(`$${String(i).padStart(250, "e")}`, inThread(root)),
    receipt(BOB, `$${String(i).padStart(250, "e")}`, { type: READ_PRIVATE, thread: root }),
  ]);
  const messages = markerMessages(0, deltaOf(...entries));
  const own = messages.filter(({ subject }) => subject.startsWith("tidemark.user."));
  assert.ok(own.length > 1);
  for (const { payload } of own) assert.ok(payload.length <= PUBLISH_BYTES_MAX);
  assert.is(own.flatMap((message) => Object.keys(payloadOf(message).event.content)).length, 1_500);
});

const privacy = suite("private markers");

privacy("are published only on their user's subject", () => {
  const messages = markerMessages(
    3,
    deltaOf(
      live("$a"),
      receipt(BOB, "$a", { type: READ_PRIVATE, ts: 5 }),
      receipt(BOB, "$a", { type: FULLY_READ }),
      receipt(CARA, "$a", { type: FULLY_READ }),
    ),
  );
  assert.equal(
    messages.map((message) => [message.subject, payloadOf(message)]),
    [
      [
        "tidemark.user.3.%40bob:one%2Eexample.receipts",
        {
          v: 1,
          user_id: BOB,
          room_id: ROOM,
          position: at(3),
          event: { type: "m.receipt", content: { $a: { "m.read.private": { [BOB]: { ts: 5, order: BASE + 1 } } } } },
          fully_read: { event_id: "$a", order: BASE + 1 },
        },
      ],
      [
        "tidemark.user.3.%40cara:two%2Eexample.receipts",
        { v: 1, user_id: CARA, room_id: ROOM, position: at(4), fully_read: { event_id: "$a", order: BASE + 1 } },
      ],
    ],
  );
});

privacy("leave no trace in the public messages of the same delta", () => {
  const delta = deltaOf(live("$a"), receipt(BOB, "$a", { type: READ_PRIVATE }), receipt(CARA, "$a"));
  const open = markerMessages(0, delta).filter(({ subject }) => subject.startsWith("tidemark.client."));
  assert.is(open.length, 1);
  assert.equal(payloadOf(open[0]!).event.content, {
    $a: { "m.read": { [CARA]: { ts: 1_700_000_000_000, order: BASE + 1 } } },
  });
});

const rejections = suite("rejections");

rejections("have the receipt's fields, its position in the log, and the reason", () => {
  const from = receipt(CARA, "$a", { origin: TWO, thread: "$t", ts: 5 });
  const [message] = rejectionMessages(3, deltaOf(live("$a"), live("$acl", acl({ allow: [] })), from));
  assert.is(message?.subject, "tidemark.rejected.3.!room:one%2Eexample");
  assert.equal(payloadOf(message!), {
    v: 1,
    room_id: ROOM,
    position: at(3),
    entry: { user_id: CARA, receipt_type: "m.read", event_id: "$a", thread_id: "$t", ts: 5, origin: TWO },
    reason: "acl_denied",
    detail: "the room's m.room.server_acl denies the server that sent the receipt",
  });
});

rejections("omit fields that the receipt lacks, and have the receipt's position, not its event's", () => {
  const held = Array.from({ length: 9 }, (_, i) => receipt(BOB, `$${i}`, { ts: 5 }));
  const [overflow] = rejectionMessages(0, deltaOf(...held)).map(payloadOf);
  assert.equal([overflow.position, overflow.reason], [at(1), "held_overflow"]);
  assert.equal(overflow.entry, { user_id: BOB, receipt_type: "m.read", event_id: "$0", ts: 5 });
  const [late] = rejectionMessages(0, deltaOf(receipt(BOB, "$a", { thread: "$t" }), live("$a"))).map(payloadOf);
  assert.equal([late.position, late.reason], [at(1), "wrong_thread"]);
});

for (const type of [READ_PRIVATE, FULLY_READ] as const) {
  rejections(`of a ${type} receipt carry no entry`, () => {
    const nine = Array.from({ length: 9 }, (_, i) => receipt(BOB, `$${i}`, { type }));
    const [message] = rejectionMessages(0, deltaOf(...nine)).map(payloadOf);
    assert.equal([message.entry, message.reason], [null, "held_overflow"]);
    assert.not(JSON.stringify(message).includes("bob"));
  });
}

const content = suite("the content of a receipt event");

content("clamps negative orders to 0, and names threads", () => {
  const [message] = markerMessages(
    0,
    deltaOf(
      backfilled("$a"),
      live("$t", inThread("$a")),
      receipt(BOB, "$a", { ts: 1 }),
      receipt(BOB, "$t", { ts: 2, thread: "$a" }),
    ),
  );
  assert.equal(payloadOf(message!).event.content, {
    $a: { "m.read": { [BOB]: { ts: 1, order: 0 } } },
    $t: { "m.read": { [BOB]: { ts: 2, order: BASE + 1, thread_id: "$a" } } },
  });
});

content("has the unthreaded one of two receipts on one event, whichever came first (MSC4102)", () => {
  const whole = receipt(BOB, "$a", { ts: 1 });
  const threaded = receipt(BOB, "$a", { ts: 2, thread: "main" });
  for (const order of [
    [whole, threaded],
    [threaded, whole],
  ]) {
    const [message] = markerMessages(0, deltaOf(live("$a"), ...order));
    assert.equal(payloadOf(message!).event.content, { $a: { "m.read": { [BOB]: { ts: 1, order: BASE + 1 } } } });
  }
});

large.run();
privacy.run();
rejections.run();
content.run();
