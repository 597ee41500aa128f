import { suite } from "uvu";
import * as assert from "uvu/assert";
import { publishedOrder } from "../../../actors/room/markers.ts";
import { FULLY_READ, READ_PRIVATE } from "../../../src/matrix/receipt-types.ts";
import { at, BOB, backfilled, CARA, given, inThread, live, receipt } from "../../support/given.ts";

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

const f7 = suite("F7: a receipt advances its marker only forwards");

f7("or creates it at any event", () => {
  const story = given(backfilled("$a"))
    .when(receipt(BOB, "$a", { ts: 7 }))
    .then("advanced");
  assert.equal(story.markers(), [
    { user: BOB, type: "m.read", thread: null, event: "$a", order: -at(1), ts: 7, position: at(2) },
  ]);
});

f7("to an event with a greater order", () => {
  const story = given(live("$a"), live("$b"), receipt(BOB, "$a"))
    .when(receipt(BOB, "$b", { ts: 8 }))
    .then("advanced");
  assert.equal(story.markers(), [
    { user: BOB, type: "m.read", thread: null, event: "$b", order: at(2), ts: 8, position: at(4) },
  ]);
});

f7("and reports the previous place of the marker", () => {
  const story = given(live("$a"), live("$b"));
  const from = [receipt(BOB, "$a"), receipt(BOB, "$b")].map((entry) => {
    const outcome = story.fold(entry);
    return outcome.outcome === "advanced" ? outcome.from : assert.unreachable();
  });
  assert.equal(from, [undefined, at(1)]);
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
  assert.is(story.marker(BOB)?.order, -at(1));
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

const f8 = suite("F8: the order that a marker publishes");

f8("is the order of its event", () => {
  assert.is(publishedOrder(given(live("$a"), receipt(BOB, "$a")).marker(BOB)!), at(1));
});

f8("is 0 on an event with a negative order", () => {
  assert.is(publishedOrder(given(backfilled("$a"), receipt(BOB, "$a")).marker(BOB)!), 0);
});

f6.run();
f7.run();
f8.run();
