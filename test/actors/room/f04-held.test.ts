import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { EventId, UserId } from "../../../src/matrix/ids.ts";
import { FULLY_READ, READ_PRIVATE } from "../../../src/matrix/receipt-types.ts";
import { backfilled, live, receipt, state } from "../../support/entries.ts";
import { ALICE, BOB, CARA, TWO } from "../../support/example-room.ts";
import { given, Story } from "../../support/given.ts";

const f4 = suite("F4: a receipt on an unknown event");

/** Eight receipts of Bob, on $1 to $8. */
const eight = Array.from({ length: 8 }, (_, i) => receipt(BOB, `$${i + 1}`));

f4("is held, and moves no marker", () => {
  const story = given(live("$a")).when(receipt(BOB, "$b")).then("held");
  assert.is(story.room.held.size, 1);
  assert.is(story.marker(BOB), undefined);
});

f4("is held on an event that only came as a state entry", () => {
  given(state("$name", { type: "m.room.name", state_key: "" }))
    .when(receipt(BOB, "$name"))
    .then("held");
});

f4("is held each time it comes", () => {
  const story = given(receipt(BOB, "$a")).when(receipt(BOB, "$a")).then("held");
  assert.is(story.room.held.size, 2);
});

f4("drops the oldest of nine of one (user, type, thread)", () => {
  const story = given(...eight)
    .when(receipt(BOB, "$9"))
    .then("held", "1 rejected: held_overflow")
    .when(receipt(BOB, "$10"))
    .then("held", "2 rejected: held_overflow");
  assert.is(story.room.held.size, 8);
  story.when(live("$1")).then("ordered").when(live("$9")).then("ordered", "9 released");
});

f4("drops no receipt of another user, type or thread", () => {
  const story = given(...eight, receipt(CARA, "$1"))
    .when(receipt(CARA, "$9"))
    .then("held")
    .when(receipt(BOB, "$9", { thread: "main" }))
    .then("held")
    .when(receipt(BOB, "$9", { thread: "$root" }))
    .then("held")
    .when(receipt(BOB, "$9", { type: READ_PRIVATE }))
    .then("held")
    .when(receipt(BOB, "$9", { type: FULLY_READ }))
    .then("held");
  assert.is(story.room.held.size, 14);
});

f4("counts only receipts that are still held", () => {
  given(...eight, backfilled("$1"))
    .when(receipt(BOB, "$9"))
    .then("held");
});

f4("drops the oldest one in a room that holds 10,000", () => {
  const story = new Story();
  const filler = (i: number) => receipt(`@u${i % 5_000}:one.example` as UserId, `$${i}`);
  for (let i = 0; i < 10_000; i++) story.fold(filler(i));
  assert.is(story.room.held.size, 10_000);
  story
    .when(receipt(BOB, "$x"))
    .then("held", "1 rejected: held_overflow")
    .when(receipt(BOB, "$y"))
    .then("held", "2 rejected: held_overflow");
  assert.is(story.room.held.size, 10_000);
  story.when(live("$0")).then("ordered").when(live("$2")).then("ordered", "3 released");
});

f4("drops one of the same user before those of others, also in a full room", () => {
  const story = new Story().and(receipt(CARA, "$c"), ...eight);
  for (let i = 0; i < 10_000 - 9; i++) story.fold(receipt(`@u${i}:one.example` as UserId, "$z"));
  assert.is(story.room.held.size, 10_000);
  story.when(receipt(BOB, "$9")).then("held", "2 rejected: held_overflow");
});

f4("of a user beyond 64 push out the oldest of the user", () => {
  const story = given(receipt(CARA, "$c"));
  for (let i = 0; i < 64; i++) story.fold(receipt(BOB, "$unknown", { thread: `$t${i}` }));
  story.when(receipt(BOB, "$unknown", { thread: "$t64" })).then("held", "2 rejected: held_overflow");
});

f4("of a remote server beyond 1,000 push out the oldest of the server", () => {
  const story = given(receipt(BOB, "$b"));
  const remote = (i: number) => receipt(`@u${i}:two.example` as UserId, "$unknown", { origin: TWO });
  for (let i = 0; i < 1_000; i++) story.fold(remote(i));
  story.when(remote(1_000)).then("held", "2 rejected: held_overflow");
  assert.is(story.room.held.size, 1_001);
});

f4("of a full room push out the oldest of the holder that holds the most", () => {
  const story = given(receipt(BOB, "$b"));
  for (let server = 0; server < 9; server++) {
    const origin = `s${server}.example`;
    for (let i = 0; i < 1_000; i++) story.fold(receipt(`@u${i}:${origin}` as UserId, "$unknown", { origin }));
  }
  for (let i = 0; i < 999; i++) story.fold(receipt(`@u${i}:one.example` as UserId, "$unknown"));
  assert.is(story.room.held.size, 10_000);
  // Of nine servers with 1,000 each, the oldest is the first one's; then it has fewer than the others.
  story.when(receipt(ALICE, "$unknown")).then("held", "2 rejected: held_overflow");
  story.when(receipt(CARA, "$unknown")).then("held", "1002 rejected: held_overflow");
});

f4("of a full room push out none of a local user's, however many servers they come from", () => {
  const story = given(...Array.from({ length: 5 }, (_, i) => receipt(BOB, "$b", { thread: `$t${i}` })));
  const remote = (i: number) => receipt(`@u:s${i}.example` as UserId, "$unknown", { origin: `s${i}.example` });
  for (let i = 0; i < 10_100; i++) story.fold(remote(i));
  assert.is(story.room.held.size, 10_000);
  assert.is(story.room.held.on("$b" as EventId).length, 5);
});

f4("of a full room of local users push out none of the remote servers' half", () => {
  const story = given(receipt(BOB, "$b"));
  const remote = (i: number) => receipt(`@u:s${i}.example` as UserId, "$unknown", { origin: `s${i}.example` });
  const local = (i: number) => receipt(`@u${i}:one.example` as UserId, "$else");
  for (let i = 0; i < 4_000; i++) story.fold(remote(i));
  for (let i = 0; i < 10_100; i++) story.fold(local(i));
  assert.is(story.room.held.size, 10_000);
  assert.is(story.room.held.on("$unknown" as EventId).length, 4_000);
});

f4.run();
