import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FULLY_READ, READ, READ_PRIVATE } from "../../../src/matrix/receipt-types.ts";
import { backfilled, history, inThread, live, member, receipt, state } from "../../support/entries.ts";
import { ALICE, BOB, CARA } from "../../support/example-room.ts";
import { given } from "../../support/given.ts";

const f12 = suite("F12: an event");

/** Two events of main and two of a thread, alternating. */
const room = () => given(live("$m1"), live("$t1", inThread("$m1")), live("$m2"), live("$t2", inThread("$m1")));

/** The events that Bob has read. */
const readIn = (story: ReturnType<typeof given>) => ["$m1", "$t1", "$m2", "$t2"].filter((id) => story.isRead(BOB, id));

f12("that is unknown is neither read nor unread", () => {
  assert.is(given().isRead(BOB, "$a"), null);
});

f12("is unread without a marker", () => {
  assert.equal(readIn(room()), []);
});

f12("with a negative order is always read", () => {
  assert.is(given(backfilled("$a")).isRead(BOB, "$a"), true);
});

f12("is read by its sender only", () => {
  const story = given(live("$a", { sender: BOB }));
  assert.is(story.isRead(BOB, "$a"), true);
  assert.is(story.isRead(ALICE, "$a"), false);
});

f12("does not mark earlier events as read for its sender", () => {
  assert.is(given(live("$a"), live("$b", { sender: BOB })).isRead(BOB, "$a"), false);
});

for (const type of [READ, READ_PRIVATE] as const) {
  f12(`is read up to and including an unthreaded ${type} marker, in every thread`, () => {
    assert.equal(readIn(room().and(receipt(BOB, "$m2", { type }))), ["$m1", "$t1", "$m2"]);
    assert.equal(readIn(room().and(receipt(BOB, "$t1", { type }))), ["$m1", "$t1"]);
  });

  f12(`is read up to and including the ${type} marker of main, and only there`, () => {
    assert.equal(readIn(room().and(receipt(BOB, "$m2", { type, thread: "main" }))), ["$m1", "$m2"]);
  });

  f12(`is read up to and including the ${type} marker of its thread, and only there`, () => {
    assert.equal(readIn(room().and(receipt(BOB, "$t1", { type, thread: "$m1" }))), ["$t1"]);
    assert.equal(readIn(room().and(receipt(BOB, "$t2", { type, thread: "$m1" }))), ["$t1", "$t2"]);
  });
}

f12("is not read because of a fully_read marker", () => {
  assert.equal(readIn(room().and(receipt(BOB, "$t2", { type: FULLY_READ }))), []);
});

f12("is read if any marker reaches it", () => {
  const story = room().and(receipt(BOB, "$t1"), receipt(BOB, "$m2", { type: READ_PRIVATE, thread: "main" }));
  assert.equal(readIn(story), ["$m1", "$t1", "$m2"]);
});

f12("is read by either kind of marker at the same order", () => {
  assert.is(given(live("$a"), receipt(BOB, "$a")).isRead(BOB, "$a"), true);
  assert.is(given(live("$a"), receipt(BOB, "$a", { thread: "main" })).isRead(BOB, "$a"), true);
});

f12("after a marker on a backfilled event is unread", () => {
  assert.is(given(live("$a"), backfilled("$b"), receipt(BOB, "$b")).isRead(BOB, "$a"), false);
});

f12("is not read because of another user's marker", () => {
  assert.equal(readIn(room().and(receipt(CARA, "$t2"))), []);
});

f12("is not read because of a held receipt", () => {
  assert.equal(readIn(room().and(receipt(BOB, "$unknown"))), []);
});

const stay = suite("F12: reading begins at the join");

const join = (user: string, before?: string) => ({
  ...member(user, "join"),
  ...(before !== undefined && { unsigned: { prev_content: { membership: before } } }),
});
const readOf = (story: ReturnType<typeof given>, ...ids: string[]) => ids.filter((id) => story.isRead(BOB, id));

stay("what came before a live join is read, what comes after is not", () => {
  const story = given(live("$a"), live("$j", join(BOB)), live("$b"));
  assert.equal(readOf(story, "$a", "$j", "$b"), ["$a", "$j"]);
});

stay("the current stay counts: what came between a leave and the next join is read", () => {
  const story = given(live("$j", join(BOB)), live("$a"), live("$l", member(BOB, "leave")), live("$b"));
  story.and(live("$j2", join(BOB)), live("$c"));
  assert.equal(readOf(story, "$a", "$b", "$c"), ["$a", "$b"]);
});

stay("a new display name is no join", () => {
  assert.equal(readOf(given(live("$j", join(BOB)), live("$a"), live("$n", join(BOB)), live("$b")), "$a", "$b"), []);
});

stay("a state entry says that the user is joined, and not since when", () => {
  const story = given(live("$a"), state("$j", join(BOB)), live("$b"), live("$n", join(BOB, "join")));
  assert.equal(readOf(story, "$a", "$b"), []);
});

stay("a new display name is no join, though nothing was known of the user", () => {
  const story = given(live("$b"), live("$n", join(BOB, "join")), live("$c"), history("$a"));
  assert.equal(readOf(story, "$a", "$b", "$c"), []);
});

stay("a join that comes after the state that has it begins it", () => {
  const story = given(live("$a"), state("$j", join(BOB)), live("$j", join(BOB, "invite")), live("$b"));
  assert.equal(readOf(story, "$a", "$b"), ["$a"]);
});

stay("what live events said of before goes before what a join says", () => {
  const story = given(live("$i", join(BOB, "leave")), live("$a"), live("$n", join(BOB, "leave")), live("$b"));
  assert.equal(readOf(story, "$a", "$b"), []);
});

stay("a join in the history begins it, unless the user was joined before", () => {
  const story = given(live("$d"), history("$c"), history("$n", join(BOB, "join")), history("$b"));
  story.and(history("$j", join(BOB, "invite")), history("$a"));
  assert.equal(readOf(story, "$a", "$b", "$c", "$d"), ["$a"]);
});

stay("a join in the history that says nothing of before begins it", () => {
  assert.equal(readOf(given(live("$b"), history("$j", join(BOB)), history("$a")), "$a", "$b"), ["$a"]);
});

stay("an earlier join in the history does not replace a later one", () => {
  const story = given(live("$j2", join(BOB)), history("$b"), history("$j", join(BOB)), live("$c"));
  assert.equal(readOf(story, "$b", "$c"), ["$b"]);
});

stay("a join in the backfill begins nothing", () => {
  assert.equal(readOf(given(live("$a"), backfilled("$j", join(BOB))), "$a"), []);
});

f12.run();
stay.run();
