import { suite } from "uvu";
import * as assert from "uvu/assert";
import { erasure, inThread, live, receipt } from "../../support/entries.ts";
import { ALICE, BASE, BOB, CARA, TWO } from "../../support/example-room.ts";
import { given } from "../../support/given.ts";

const ERASED_AT = 1_700_000_000_000;

const f14 = suite("F14: an erasure");

f14("takes all markers of its user, and nobody else's", () => {
  const story = given(
    live("$root"),
    live("$a", inThread("$root")),
    receipt(BOB, "$root"),
    receipt(BOB, "$a", { thread: "$root", type: "m.read.private" }),
    receipt(CARA, "$root"),
  )
    .when(erasure(BOB, ERASED_AT))
    .then("erased");
  assert.equal(
    story.markers().map(({ user }) => user),
    [CARA],
  );
  assert.is(story.isRead(BOB, "$root"), false);
  assert.is(story.unread(BOB).unthreaded, 2);
});

f14("takes held receipts of its user: what comes releases nothing", () => {
  given(receipt(BOB, "$late"), receipt(CARA, "$late"), erasure(BOB, ERASED_AT))
    .when(live("$late"))
    .then("ordered", "2 released");
});

f14("refuses receipts that were sent before it, whenever and from wherever they come", () => {
  given(live("$a"), erasure(CARA, ERASED_AT))
    .when(receipt(CARA, "$a", { ts: ERASED_AT }))
    .then("rejected: erased")
    .when(receipt(CARA, "$b", { ts: 1, origin: TWO, accepted: true }))
    .then("rejected: erased")
    .when(receipt(BOB, "$a", { ts: 1 }))
    .then("advanced");
});

f14("takes receipts that were sent later", () => {
  const story = given(live("$a"), live("$b"), receipt(BOB, "$b"), erasure(BOB, ERASED_AT));
  story.when(receipt(BOB, "$a", { ts: ERASED_AT + 1 })).then("advanced");
  assert.is(story.marker(BOB)?.order, BASE + 1);
});

f14("stands for the latest time of several", () => {
  given(live("$a"), erasure(BOB, ERASED_AT), erasure(BOB, 5))
    .when(receipt(BOB, "$a", { ts: ERASED_AT }))
    .then("rejected: erased");
});

f14("redacts the events that it names and that are the user's, which keep their orders", () => {
  const story = given(live("$a"), live("$b"), live("$c", { sender: CARA })).when(
    erasure(ALICE, ERASED_AT, "$a", "$c", "$unknown"),
  );
  const { room } = story.then("erased");
  const redacted = ["$a", "$b", "$c"].filter((id) => room.events.get(id as never)?.redaction !== undefined);
  assert.equal(redacted, ["$a"]);
  assert.equal(
    [...room.events].map(([, { order }]) => order),
    [BASE + 1, BASE + 2, BASE + 3],
  );
});

f14("leaves its events out of the unread counts, and moves them to main, as a redaction does", () => {
  const story = given(live("$root"), live("$a", inThread("$root")), receipt(BOB, "$a", { thread: "?" }));
  assert.equal(story.unread(CARA), { unthreaded: 2, main: 1, threads: { $root: 1 } });
  story.and(erasure(ALICE, ERASED_AT, "$a"));
  assert.equal(story.unread(CARA), { unthreaded: 1, main: 1, threads: {} });
  assert.is(story.thread("$a"), "main");
});

f14("redacts an event that comes after it", () => {
  const story = given(erasure(ALICE, ERASED_AT, "$a"), live("$a"), live("$b"));
  assert.is(story.unread(BOB).unthreaded, 1);
});

f14.run();
