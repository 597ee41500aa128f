import { suite } from "uvu";
import * as assert from "uvu/assert";
import { publishedOrder } from "../../../actors/room/marker.ts";
import type { EventId } from "../../../src/matrix/ids.ts";
import { FULLY_READ, READ_PRIVATE } from "../../../src/matrix/receipt-types.ts";
import { backfilled, inThread, live, receipt, relates } from "../../support/entries.ts";
import { BASE, BOB, CARA } from "../../support/example-room.ts";
import { at, given } from "../../support/given.ts";

const f6 = suite("F6: a threaded receipt");

f6("moves the marker of its thread if its event is in the thread", () => {
  const story = given(live("$a", inThread("$root")))
    .when(receipt(BOB, "$a", { thread: "$root" }))
    .then("advanced");
  assert.is(story.marker(BOB, { thread: "$root" })?.event, "$a");
});

f6("is rejected if its event is in another thread", () => {
  const story = given(live("$root"), live("$a", inThread("$root")), live("$b"))
    .when(receipt(BOB, "$a", { thread: "main" }))
    .then("rejected: wrong_thread")
    .when(receipt(BOB, "$a", { thread: "$other" }))
    .then("rejected: wrong_thread")
    .when(receipt(BOB, "$b", { thread: "$root" }))
    .then("rejected: wrong_thread");
  assert.equal(story.markers(), []);
});

f6("on a thread root must be in main, not in the thread", () => {
  given(live("$root"), live("$a", inThread("$root")))
    .when(receipt(BOB, "$root", { thread: "$root" }))
    .then("rejected: wrong_thread")
    .when(receipt(BOB, "$root", { thread: "main" }))
    .then("advanced");
});

f6("does not apply to unthreaded receipts", () => {
  given(live("$a", inThread("$root")))
    .when(receipt(BOB, "$a"))
    .then("advanced");
});

const reaction = (target: string) => ({ type: "m.reaction", content: relates("m.annotation", target) });

f6("on an unsettled event stands for the thread that it names, whichever", () => {
  const story = given(live("$x", reaction("$a")))
    .when(receipt(BOB, "$x", { thread: "main" }))
    .then("advanced")
    .when(receipt(BOB, "$x", { thread: "$root" }))
    .then("advanced");
  story.and(live("$a", inThread("$root")));
  assert.is(story.isRead(BOB, "$x"), true);
});

f6("on an event that is settled by then is rejected for another thread", () => {
  given(live("$x", reaction("$a")), live("$a", inThread("$root")))
    .when(receipt(BOB, "$x", { thread: "main" }))
    .then("rejected: wrong_thread")
    .when(receipt(BOB, "$x", { thread: "$root" }))
    .then("advanced");
});

f6("that a homeserver has accepted stands for the thread that it names", () => {
  const story = given(live("$a", inThread("$root")))
    .when(receipt(BOB, "$a", { thread: "main", accepted: true }))
    .then("advanced");
  assert.is(story.marker(BOB, { thread: "main" })?.event, "$a");
});

const unknown = suite("F6: a receipt of unknown thread");

unknown("on an unsettled event is held until that is settled, and then in its thread", () => {
  const story = given(live("$x", reaction("$a")))
    .when(receipt(BOB, "$x", { thread: "?" }))
    .then("held")
    .when(live("$a", inThread("$root")))
    .then("ordered", "2 released");
  assert.is(story.room.markers.of(BOB).inferred("m.read", "$root" as EventId)?.event, "$x");
});

unknown("that came before its event, which is unsettled, is held on", () => {
  given(receipt(BOB, "$x", { thread: "?" }))
    .when(live("$x", reaction("$a")))
    .then("ordered")
    .when(live("$a", inThread("$root")))
    .then("ordered", "1 released");
});

unknown("waits for 100 live events of the room at most: then its event is settled as main", () => {
  const story = given(live("$x", reaction("$a")), receipt(BOB, "$x", { thread: "?" }));
  for (let i = 1; i < 100; i++) story.when(live(`$${i}`)).then("ordered");
  story.and(backfilled("$old"), live("$1")).when(live("$100")).then("ordered", "2 released");
  story.and(live("$a", inThread("$root")));
  assert.is(story.thread("$x"), "main");
});

unknown("is released by a redaction that moves its event to main", () => {
  given(live("$x", reaction("$a")), receipt(BOB, "$x", { thread: "?" }))
    .when(live("$r", { type: "m.room.redaction", redacts: "$x", content: {} }))
    .then("ordered", "2 released");
});

const f7 = suite("F7: a receipt advances its marker only forwards");

f7("or creates it at any event", () => {
  const story = given(backfilled("$a"))
    .when(receipt(BOB, "$a", { ts: 7 }))
    .then("advanced");
  assert.equal(story.markers(), [
    { user: BOB, type: "m.read", thread: null, event: "$a", order: -1, ts: 7, position: at(2) },
  ]);
});

f7("to an event with a greater order", () => {
  const story = given(live("$a"), live("$b"), receipt(BOB, "$a"))
    .when(receipt(BOB, "$b", { ts: 8 }))
    .then("advanced");
  assert.equal(story.markers(), [
    { user: BOB, type: "m.read", thread: null, event: "$b", order: BASE + 2, ts: 8, position: at(4) },
  ]);
});

f7("and reports the previous place of the marker", () => {
  const story = given(live("$a"), live("$b"));
  const from = [receipt(BOB, "$a"), receipt(BOB, "$b")].map((entry) => {
    const outcome = story.fold(entry);
    return outcome.outcome === "advanced" ? outcome.from : assert.unreachable();
  });
  assert.equal(from, [undefined, BASE + 1]);
});

f7("not to the event where it is, whatever the timestamp", () => {
  const story = given(live("$a"), receipt(BOB, "$a", { ts: 1 }))
    .when(receipt(BOB, "$a", { ts: 2 }))
    .then("stale");
  assert.is(story.marker(BOB)?.ts, 1);
});

f7("not to an earlier event, even one that is backfilled later", () => {
  const story = given(live("$a"), live("$b"), receipt(BOB, "$b"))
    .when(receipt(BOB, "$a"))
    .then("stale")
    .and(backfilled("$c"))
    .when(receipt(BOB, "$c"))
    .then("stale");
  assert.is(story.marker(BOB)?.event, "$b");
});

f7("by raw orders, so also among backfilled events", () => {
  const story = given(backfilled("$newer"), backfilled("$older"), receipt(BOB, "$older"))
    .when(receipt(BOB, "$newer"))
    .then("advanced")
    .when(receipt(BOB, "$older"))
    .then("stale");
  assert.is(story.marker(BOB)?.order, -1);
});

f7("from a backfilled event to a live one", () => {
  given(backfilled("$a"), live("$b"), receipt(BOB, "$a")).when(receipt(BOB, "$b")).then("advanced");
});

f7("separately for each user, type and thread", () => {
  const story = given(live("$a"), live("$b"), receipt(BOB, "$b"))
    .when(receipt(CARA, "$a"))
    .then("advanced")
    .when(receipt(BOB, "$a", { type: READ_PRIVATE }))
    .then("advanced")
    .when(receipt(BOB, "$a", { type: FULLY_READ }))
    .then("advanced")
    .when(receipt(BOB, "$a", { thread: "main" }))
    .then("advanced")
    .when(receipt(BOB, "$a", { type: READ_PRIVATE, thread: "main" }))
    .then("advanced");
  assert.is(story.markers().length, 6);
  assert.is(story.marker(BOB)?.event, "$b");
});

f7("but for m.fully_read that a homeserver has accepted, which replaces", () => {
  const story = given(live("$a"), live("$b"), receipt(BOB, "$b", { type: FULLY_READ }))
    .when(receipt(BOB, "$a", { type: FULLY_READ }))
    .then("stale")
    .when(receipt(BOB, "$a", { type: FULLY_READ, accepted: true }))
    .then("advanced")
    .when(receipt(BOB, "$a", { type: FULLY_READ, accepted: true }))
    .then("stale");
  assert.is(story.marker(BOB, { type: FULLY_READ })?.event, "$a");
});

const f8 = suite("F8: the order that a marker publishes");

f8("is the order of its event", () => {
  assert.is(publishedOrder(given(live("$a"), receipt(BOB, "$a")).marker(BOB)!), BASE + 1);
});

f8("is 0 on an event with a negative order", () => {
  assert.is(publishedOrder(given(backfilled("$a"), receipt(BOB, "$a")).marker(BOB)!), 0);
});

f6.run();
unknown.run();
f7.run();
f8.run();
