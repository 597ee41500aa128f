import { suite } from "uvu";
import * as assert from "uvu/assert";
import { acl, backfilled, inThread, live, member, receipt, state } from "../../support/entries.ts";
import { ALICE, BASE, BOB, CARA, TWO } from "../../support/example-room.ts";
import { at, given } from "../../support/given.ts";

const f5 = suite("F5: a held receipt");

f5("is released when its event comes live", () => {
  const story = given(receipt(BOB, "$a", { ts: 5 }))
    .when(live("$a"))
    .then("ordered", "1 released");
  assert.equal(story.marker(BOB), {
    user: BOB,
    type: "m.read",
    thread: null,
    event: "$a",
    order: BASE + 1,
    ts: 5,
    position: at(2),
  });
  assert.is(story.room.held.size, 0);
});

f5("is released when its event is backfilled", () => {
  const story = given(receipt(BOB, "$a")).when(backfilled("$a")).then("ordered", "1 released");
  assert.is(story.marker(BOB)?.order, -1);
});

f5("stays held when another event comes", () => {
  given(receipt(BOB, "$a")).when(live("$b")).then("ordered").when(live("$a")).then("ordered", "1 released");
});

f5("is released once", () => {
  given(receipt(BOB, "$a"), live("$a")).when(live("$a")).then("duplicate");
});

f5("is judged in log order with the others on its event", () => {
  given(receipt(BOB, "$a"), receipt(CARA, "$a"), receipt(BOB, "$a"), receipt(BOB, "$a", { thread: "main" }))
    .when(live("$a"))
    .then("ordered", "1 released", "2 released", "3 stale", "4 released");
});

f5("is stale if the marker has passed its event in the meantime", () => {
  given(live("$b"), receipt(BOB, "$a"), receipt(BOB, "$b")).when(backfilled("$a")).then("ordered", "2 stale");
});

f5("advances the marker if its event comes live after that of the marker", () => {
  const story = given(live("$b"), receipt(BOB, "$a"), receipt(BOB, "$b"));
  story.when(live("$a")).then("ordered", "2 released");
  assert.is(story.marker(BOB)?.event, "$a");
});

f5("is rejected if its event is in another thread", () => {
  given(receipt(BOB, "$a", { thread: "main" }), receipt(BOB, "$a", { thread: "$root" }))
    .when(live("$a", inThread("$root")))
    .then("ordered", "1 rejected: wrong_thread", "2 released");
});

f5("is judged by the current server ACL", () => {
  given(receipt(CARA, "$a", { origin: TWO }), live("$acl", acl({ allow: ["one.example"] })))
    .when(live("$a"))
    .then("ordered", "1 rejected: acl_denied");
});

f5("is judged by the current membership", () => {
  const held = receipt(CARA, "$a", { origin: TWO });
  given(held, state("$left", member(CARA, "leave")))
    .when(live("$a"))
    .then("ordered", "1 rejected: not_joined");
  given(state("$left", member(ALICE, "join")), held, live("$join", member(CARA, "join")))
    .when(live("$a"))
    .then("ordered", "2 released");
});

f5("on the user's own join is judged as if it came just after the join", () => {
  given(state("$alice", member(ALICE, "join")), receipt(CARA, "$join", { origin: TWO }))
    .when(live("$join", member(CARA, "join")))
    .then("ordered", "2 released");
  given(receipt(CARA, "$leave", { origin: TWO }))
    .when(live("$leave", member(CARA, "leave")))
    .then("ordered", "1 rejected: not_joined");
});

f5.run();
