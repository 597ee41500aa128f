import { suite } from "uvu";
import * as assert from "uvu/assert";
import { READ_PRIVATE } from "../../../src/matrix/receipt-types.ts";
import { backfilled, history, inThread, live, member, receipt, relates } from "../../support/entries.ts";
import { ALICE, BOB, CARA } from "../../support/example-room.ts";
import { given, Story } from "../../support/given.ts";

const f13 = suite("F13: unread counts");

f13("are 0 in a room without events", () => {
  assert.equal(given().unread(BOB), { unthreaded: 0, main: 0, threads: {} });
});

f13("are given for the whole room, for main, and for each thread with unread events", () => {
  const story = given(
    live("$a"),
    live("$b"),
    live("$t1", inThread("$a")),
    live("$t2", inThread("$b")),
    live("$t3", inThread("$b")),
  );
  assert.equal(story.unread(BOB), { unthreaded: 5, main: 2, threads: { $a: 1, $b: 2 } });
  story.and(receipt(BOB, "$t1", { thread: "$a" }));
  assert.equal(story.unread(BOB), { unthreaded: 4, main: 2, threads: { $b: 2 } });
  story.and(receipt(BOB, "$t2"));
  assert.equal(story.unread(BOB), { unthreaded: 1, main: 0, threads: { $b: 1 } });
});

f13("count the user's own newest event like a receipt for its thread", () => {
  const story = given(live("$a"), live("$t", inThread("$a")), live("$b", { sender: BOB }), live("$c"));
  assert.equal(story.unread(BOB), { unthreaded: 2, main: 1, threads: { $a: 1 } });
  story.and(live("$r", { sender: BOB, type: "m.reaction", content: relates("m.annotation", "$t") }));
  assert.equal(story.unread(BOB), { unthreaded: 1, main: 1, threads: {} });
  assert.is(story.isRead(BOB, "$t"), false, "it is no receipt");
});

f13("take what is after the event before, when the user's newest event leaves its thread", () => {
  const story = given(
    live("$root"),
    live("$t1", inThread("$root")),
    live("$own", { sender: BOB, ...inThread("$root") }),
  );
  assert.equal(story.unread(BOB).threads, {});
  story.and(live("$x", { type: "m.room.redaction", redacts: "$own", content: {} }));
  assert.equal(story.unread(BOB), { unthreaded: 1, main: 0, threads: { $root: 1 } });
});

f13("are 0 for whoever is known not to be joined", () => {
  const story = given(live("$j", member(BOB, "join")), live("$a"));
  assert.is(story.unread(BOB).unthreaded, 1);
  assert.is(story.unread(CARA).unthreaded, 0);
  assert.is(story.and(live("$l", member(BOB, "leave"))).unread(BOB).unthreaded, 0);
});

f13("take in history, which may be unread", () => {
  const story = given(live("$b"), history("$a"));
  assert.is(story.unread(BOB).unthreaded, 2);
  assert.is(story.and(receipt(BOB, "$a")).unread(BOB).unthreaded, 1);
});

f13("follow events whose thread becomes known", () => {
  const story = given(live("$x", { content: relates("m.reference", "$a") }));
  assert.equal(story.unread(BOB), { unthreaded: 1, main: 1, threads: {} });
  story.and(live("$a", inThread("$root")));
  assert.equal(story.unread(BOB), { unthreaded: 2, main: 0, threads: { $root: 2 } });
});

for (const [name, fields] of Object.entries({
  "a state event": member(ALICE, "join"),
  "a state event with an empty key": { type: "m.room.name", state_key: "", content: {} },
  "an edit": { content: relates("m.replace", "$0") },
  "a reaction": { type: "m.reaction", content: relates("m.annotation", "$0") },
  "a reaction without a relation": { type: "m.reaction", content: {} },
  "a notice": { content: { msgtype: "m.notice", body: "…" } },
  "an event of a type that nobody knows": { type: "org.example.poll", content: {} },
  "the candidates of a call": { type: "m.call.candidates", content: {} },
  "the end of a call": { type: "m.call.hangup", content: {} },
  "a vote": { type: "m.poll.response", content: relates("m.reference", "$0") },
  "a beacon": { type: "m.beacon", content: relates("m.reference", "$0") },
  "a key verification": { type: "m.key.verification.start", content: {} },
  "an annotation of another type": { type: "org.example.vote", content: relates("m.annotation", "$0") },
  "a redaction": { type: "m.room.redaction", redacts: "$0", content: {} },
})) {
  f13(`do not include ${name}`, () => {
    assert.is(given(live("$a", fields)).unread(BOB).unthreaded, 0);
  });
}

for (const [name, fields] of Object.entries({
  "an encrypted event": { type: "m.room.encrypted", content: {} },
  "a sticker": { type: "m.sticker", content: {} },
  "a poll": { type: "m.poll.start", content: {} },
  "a poll by its unstable name": { type: "org.matrix.msc3381.poll.start", content: {} },
  "a call": { type: "m.call.invite", content: {} },
  "a reply": { content: { "m.relates_to": { "m.in_reply_to": { event_id: "$0" } } } },
  "a reference": { content: relates("m.reference", "$0") },
  "a malformed relation": { content: { "m.relates_to": { rel_type: "m.replace" } } },
})) {
  f13(`include ${name}`, () => {
    assert.is(given(live("$a", fields)).unread(BOB).unthreaded, 1);
  });
}

f13("do not include backfilled events", () => {
  assert.is(given(backfilled("$a"), live("$b")).unread(BOB).unthreaded, 1);
});

f13("depend on m.read and m.read.private markers", () => {
  assert.is(given(live("$a"), live("$b"), receipt(BOB, "$a", { type: READ_PRIVATE })).unread(BOB).unthreaded, 1);
});

f13("are 0 with a marker on the user's own last message", () => {
  assert.is(given(live("$a"), live("$b", { sender: BOB }), receipt(BOB, "$b")).unread(BOB).unthreaded, 0);
});

f13("stop at 1000, in each thread and in all", () => {
  const story = new Story();
  for (let i = 0; i < 999; i++) story.fold(live(`$m${i}`));
  assert.equal(story.unread(BOB), { unthreaded: 999, main: 999, threads: {} });
  story.and(live("$t", inThread("$m0")));
  assert.equal(story.unread(BOB), { unthreaded: 1_000, main: 999, threads: { $m0: 1 } });
  for (let i = 0; i < 5; i++) story.fold(live(`$n${i}`));
  assert.equal(story.unread(BOB), { unthreaded: 1_000, main: 1_000, threads: { $m0: 1 } });
  for (let i = 0; i < 1_005; i++) story.fold(live(`$o${i}`, inThread("$m1")));
  assert.equal(story.unread(BOB), { unthreaded: 1_000, main: 1_000, threads: { $m0: 1, $m1: 1_000 } });
});

f13.run();
