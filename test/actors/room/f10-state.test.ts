import { suite } from "uvu";
import * as assert from "uvu/assert";
import { acl, backfilled, history, live, member, receipt, state } from "../../support/entries.ts";
import { ALICE, BASE, BOB, CARA, TWO } from "../../support/example-room.ts";
import { given } from "../../support/given.ts";

const fromTwo = receipt(CARA, "$a", { origin: TWO });
const memberOf = (story: ReturnType<typeof given>) => story.room.memberships();

const f10 = suite("F10: membership and server ACL");

f10("follow live state events in log order", () => {
  const story = given(live("$1", member(BOB, "join")), live("$2", member(BOB, "leave")));
  assert.equal(memberOf(story), { [BOB]: "leave" });
  story.and(
    live("$a"),
    live("$3", acl({ allow: [] })),
    live("$4", acl({ allow: ["*"] })),
    live("$5", member(CARA, "join")),
  );
  story.when(fromTwo).then("advanced");
});

f10("follow state entries in log order, among live events", () => {
  const story = given(live("$1", member(BOB, "join")), state("$2", member(BOB, "ban")), live("$a"));
  assert.equal(memberOf(story), { [BOB]: "ban" });
  story.and(state("$3", member(CARA, "join")), live("$4", acl({ allow: ["*"] })), state("$5", acl({ allow: [] })));
  story.when(fromTwo).then("rejected: acl_denied");
});

f10("are not changed by backfilled events", () => {
  const story = given(
    live("$a"),
    live("$1", member(CARA, "join")),
    backfilled("$2", member(CARA, "leave")),
    backfilled("$3", acl({ allow: [] })),
  );
  assert.equal(memberOf(story), { [CARA]: "join" });
  story.when(fromTwo).then("advanced");
});

f10("stay unknown if there are only backfilled events", () => {
  given(live("$a"), backfilled("$1", member(ALICE, "join")))
    .when(fromTwo)
    .then("advanced");
});

f10("do not follow events that are not state events", () => {
  const { state_key: _, ...message } = member(CARA, "leave");
  const story = given(live("$a"), live("$1", message), live("$2", { ...acl({ allow: [] }), state_key: "other" }));
  assert.equal(memberOf(story), {});
  story.when(fromTwo).then("advanced");
});

f10("do not follow malformed membership", () => {
  const odd = { ...member(CARA, "leave"), content: { membership: 7 } };
  const noUser = { ...member(CARA, "leave"), state_key: "cara" };
  assert.equal(memberOf(given(live("$1", odd), live("$2", noUser))), {});
});

f10("treat a malformed server ACL as an empty one, which denies everybody", () => {
  given(live("$a"), live("$1", acl({ allow: "*" })))
    .when(fromTwo)
    .then("rejected: acl_denied");
});

f10("do not affect receipts before a change", () => {
  const story = given(live("$a"), fromTwo, live("$1", acl({ allow: [] })), live("$2", member(CARA, "ban")));
  assert.is(story.marker(CARA)?.event, "$a");
});

const entry = suite("F10: a state entry");

entry("is noted, has no order, and does not make its event known", () => {
  const story = given()
    .when(state("$1", member(BOB, "join")))
    .then("noted");
  assert.is(story.order("$1"), undefined);
  assert.is(story.isRead(ALICE, "$1"), null);
  assert.equal(story.room.timeline, []);
});

entry("releases nothing", () => {
  given(receipt(BOB, "$1"))
    .when(state("$1", member(BOB, "join")))
    .then("noted")
    .when(live("$1"))
    .then("ordered", "1 released");
});

entry("is noted each time, whatever its type", () => {
  const topic = state("$1", { type: "m.room.topic", state_key: "", content: { topic: "" } });
  given().when(topic).then("noted").when(topic).then("noted");
});

entry("of a known event is noted, and changes no order", () => {
  const story = given(live("$1", member(BOB, "join")));
  const order = story.order("$1");
  story.when(state("$1", member(BOB, "join"))).then("noted");
  assert.is(story.order("$1"), order);
});

entry("leaves alone what a live event set after the state was read", () => {
  const story = given(live("$a"), live("$1", member(CARA, "join")), state("$0", member(CARA, "leave"), BASE + 1));
  assert.equal(memberOf(story), { [CARA]: "join" });
  story.and(state("$2", member(CARA, "ban"), BASE + 2));
  assert.equal(memberOf(story), { [CARA]: "ban" });
});

entry("leaves alone what a state entry set that was read later", () => {
  const story = given(live("$a"), live("$b"), state("$1", member(CARA, "join"), BASE + 2));
  story.and(state("$0", member(CARA, "leave"), BASE + 1));
  assert.equal(memberOf(story), { [CARA]: "join" });
  story.and(state("$2", member(CARA, "ban"), BASE + 2));
  assert.equal(memberOf(story), { [CARA]: "ban" });
});

entry("says the membership where a later member event says none", () => {
  const odd = { ...member(CARA, "join"), content: { membership: 7 } };
  const story = given(live("$a"), state("$1", member(CARA, "join")), live("$2", odd), live("$3"));
  story.and(state("$0", member(CARA, "leave"), BASE + 1));
  assert.equal(memberOf(story), { [CARA]: "leave" });
});

entry("can't have been read after the newest event", () => {
  const story = given(live("$a"), state("$1", member(CARA, "join"), BASE + 9), live("$2", member(CARA, "leave")));
  story.and(state("$3", member(CARA, "ban"), BASE + 1));
  assert.equal(memberOf(story), { [CARA]: "leave" });
});

entry("that was read before there was any live event leaves alone what those set", () => {
  const story = given(
    live("$1", member(CARA, "join")),
    state("$0", member(CARA, "leave"), 0),
    state("$2", member(BOB, "join"), 0),
  );
  assert.equal(memberOf(story), { [CARA]: "join", [BOB]: "join" });
});

f10("are left alone by history", () => {
  assert.equal(memberOf(given(live("$1", member(CARA, "join")), history("$0", member(CARA, "leave")))), {
    [CARA]: "join",
  });
});

f10.run();
entry.run();
