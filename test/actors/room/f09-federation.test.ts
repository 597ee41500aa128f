import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { UserId } from "../../../src/matrix/ids.ts";
import { acl, inThread, live, member, receipt, state } from "../../support/entries.ts";
import { ALICE, BOB, CARA, TWO } from "../../support/example-room.ts";
import { given } from "../../support/given.ts";

const f9 = suite("F9: a receipt with an origin");

const fromTwo = receipt(CARA, "$a", { origin: TWO });

f9("advances a marker if there is no server ACL and membership is unknown", () => {
  given(live("$a")).when(fromTwo).then("advanced");
});

f9("is rejected if the server ACL of the room denies its server", () => {
  const story = given(live("$a"), live("$acl", acl({ allow: ["*"], deny: ["two.example"] })))
    .when(fromTwo)
    .then("rejected: acl_denied");
  assert.is(story.marker(CARA), undefined);
});

f9("is rejected if the server ACL does not allow its server", () => {
  given(live("$a"), live("$acl", acl({ deny: [] })))
    .when(fromTwo)
    .then("rejected: acl_denied");
});

f9("advances a marker if the server ACL allows its server", () => {
  given(live("$a"), live("$acl", acl({ allow: ["*.example"] })))
    .when(fromTwo)
    .then("advanced");
});

f9("is rejected, not held, if its event is unknown and its server is denied", () => {
  const story = given(live("$acl", acl({ allow: [] })))
    .when(fromTwo)
    .then("rejected: acl_denied");
  assert.is(story.room.held.size, 0);
});

f9("is held if its event is unknown and its user is not joined, because the join may come too", () => {
  given(state("$alice", member(ALICE, "join")))
    .when(fromTwo)
    .then("held");
});

f9("is rejected if membership is known and its user never joined", () => {
  given(live("$a"), state("$alice", member(ALICE, "join")))
    .when(fromTwo)
    .then("rejected: not_joined");
});

f9(
  "that a homeserver has accepted is taken from a user who isn't known to be joined, but not from a denied server",
  () => {
    const accepted = receipt(CARA, "$a", { origin: TWO, accepted: true });
    given(live("$a"), state("$alice", member(ALICE, "join")))
      .when(accepted)
      .then("advanced");
    given(live("$a"), live("$acl", acl({ allow: [] })))
      .when(accepted)
      .then("rejected: acl_denied");
  },
);

for (const membership of ["leave", "ban", "invite", "knock"]) {
  f9(`is rejected if the membership of its user is ${membership}`, () => {
    given(live("$a"), live("$join", member(CARA, "join")), live("$then", member(CARA, membership)))
      .when(fromTwo)
      .then("rejected: not_joined");
  });
}

f9("advances a marker if its user is joined", () => {
  given(live("$a"), live("$join", member(CARA, "join")))
    .when(fromTwo)
    .then("advanced");
});

f9("is rejected before its thread is checked", () => {
  given(live("$a", inThread("$root")), live("$leave", member(CARA, "leave")))
    .when(receipt(CARA, "$a", { origin: TWO, thread: "main" }))
    .then("rejected: not_joined");
});

f9("is judged by its origin without the port", () => {
  const dan = "@dan:two.example:8448" as UserId;
  given(live("$a"), live("$acl", acl({ allow: ["*"], deny: ["two.example"] })))
    .when(receipt(dan, "$a", { origin: "two.example:8448" }))
    .then("rejected: acl_denied");
});

const local = suite("F9: a local receipt");

local("is not checked against the server ACL", () => {
  given(live("$a"), live("$acl", acl({ allow: [] })))
    .when(receipt(BOB, "$a"))
    .then("advanced");
});

local("is not checked against the membership", () => {
  given(live("$a"), live("$ban", member(BOB, "ban")))
    .when(receipt(BOB, "$a"))
    .then("advanced");
});

f9.run();
local.run();
