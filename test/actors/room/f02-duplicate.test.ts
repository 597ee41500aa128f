import { suite } from "uvu";
import * as assert from "uvu/assert";
import { acl, backfilled, history, inThread, live, receipt, state } from "../../support/entries.ts";
import { ALICE, BOB, CARA, TWO } from "../../support/example-room.ts";
import { at, given } from "../../support/given.ts";

const f2 = suite("F2: a known event");

for (const [first, name] of [
  [live("$a"), "live"],
  [history("$a"), "history"],
  [backfilled("$a"), "backfilled"],
] as const) {
  for (const [again, nameAgain] of [
    [live("$a"), "live"],
    [history("$a"), "history"],
    [backfilled("$a"), "backfilled"],
  ] as const) {
    f2(`keeps its first order when it was ${name} and comes ${nameAgain}`, () => {
      const story = given(first);
      const order = story.order("$a");
      story.when(again).then("duplicate").when(again).then("duplicate");
      assert.is(story.order("$a"), order);
    });
  }
}

f2("names its first order in the outcome", () => {
  assert.equal(given(backfilled("$a")).fold(live("$a")), { outcome: "duplicate", order: -1 });
});

f2("keeps its thread, sender and place in the timeline, whatever the copy has", () => {
  const story = given(live("$a"), live("$b")).and(live("$a", { ...inThread("$b"), sender: BOB }));
  assert.is(story.thread("$a"), "main");
  assert.is(story.isRead(ALICE, "$a"), true);
  assert.is(story.isRead(BOB, "$a"), false);
  assert.equal(
    story.room.timeline.map(({ position }) => position),
    [at(1), at(2)],
  );
});

f2("counts once", () => {
  assert.is(given(live("$a"), live("$a"), backfilled("$a")).unread(BOB).unthreaded, 1);
});

f2("does not set the server ACL again", () => {
  const first = live("$acl", acl({ allow: ["*"] }));
  given(live("$a"), first, live("$new", acl({ allow: ["one.example"] })), first)
    .when(receipt(CARA, "$a", { origin: TWO }))
    .then("rejected: acl_denied");
});

f2("does not become known by a state entry", () => {
  given(state("$acl", acl({ allow: ["*"] })))
    .when(live("$acl", acl({ allow: ["*"] })))
    .then("ordered");
});

f2.run();
