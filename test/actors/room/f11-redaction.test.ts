import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { EventId } from "../../../src/matrix/ids.ts";
import { backfilled, inThread, live, receipt, relates } from "../../support/entries.ts";
import { BASE, BOB, CARA } from "../../support/example-room.ts";
import { given } from "../../support/given.ts";

const f11 = suite("F11: a redaction");

const redaction = (id: string, redacts: string) => live(id, { type: "m.room.redaction", redacts, content: {} });

f11("keeps the target's order and markers, and moves it to main", () => {
  const story = given(live("$root"), live("$a", inThread("$root")), receipt(BOB, "$a", { thread: "$root" }));
  const marker = { ...story.marker(BOB, { thread: "$root" }) };
  story.when(redaction("$x", "$a")).then("ordered");
  assert.is(story.order("$a"), BASE + 2);
  assert.is(story.thread("$a"), "main");
  assert.equal({ ...story.marker(BOB, { thread: "$root" }) }, marker);
});

f11("moves what had its thread through the target to main, but not what names a thread itself", () => {
  const story = given(
    live("$root"),
    live("$a", inThread("$root")),
    live("$edit", { content: relates("m.replace", "$a") }),
    live("$reaction", { type: "m.reaction", content: relates("m.annotation", "$edit") }),
    live("$reply", inThread("$root")),
    redaction("$x", "$a"),
    live("$late", { type: "m.reaction", content: relates("m.annotation", "$a") }),
  );
  const threads = ["$a", "$edit", "$reaction", "$late", "$reply"].map((id) => story.thread(id));
  assert.equal(threads, ["main", "main", "main", "main", "$root"]);
});

f11("leaves receipts for the thread that the target was in right", () => {
  given(live("$root"), live("$a", inThread("$root")), redaction("$x", "$a"))
    .when(receipt(BOB, "$a", { thread: "$root" }))
    .then("advanced")
    .when(receipt(BOB, "$a", { thread: "main" }))
    .then("advanced")
    .when(receipt(BOB, "$a", { thread: "$other" }))
    .then("rejected: wrong_thread");
});

f11("gives the threads that it would have given if it had come last, though it comes first", () => {
  const story = given(redaction("$x", "$a"), live("$edit", { content: relates("m.replace", "$a") }), live("$root"));
  story.and(live("$a", inThread("$root")));
  assert.equal([story.thread("$a"), story.thread("$edit")], ["main", "main"]);
});

f11("leaves its target, so that receipts on it still work", () => {
  const story = given(live("$a"), redaction("$x", "$a")).when(receipt(BOB, "$a")).then("advanced");
  assert.is(story.isRead(BOB, "$a"), true);
});

f11("removes its target from the unread counts, by redacts or content.redacts", () => {
  const story = given(live("$a"), live("$b"), live("$c"));
  assert.is(story.unread(BOB).main, 3);
  assert.is(story.and(redaction("$x", "$b")).unread(BOB).main, 2);
  assert.is(story.and(live("$y", { type: "m.room.redaction", content: { redacts: "$c" } })).unread(BOB).main, 1);
});

f11("leaves its target unread for F12, which is about every event", () => {
  assert.is(given(live("$a"), redaction("$x", "$a")).isRead(BOB, "$a"), false);
});

f11("of a threaded event removes it from the count of the thread", () => {
  const story = given(
    live("$root"),
    live("$a", inThread("$root")),
    live("$b", inThread("$root")),
    redaction("$x", "$a"),
  );
  assert.equal(story.unread(BOB), { unthreaded: 2, main: 1, threads: { $root: 1 } });
});

f11("that was backfilled works like a live one", () => {
  const story = given(live("$a")).and(backfilled("$x", { type: "m.room.redaction", redacts: "$a", content: {} }));
  assert.is(story.unread(BOB).unthreaded, 0);
});

f11("repeated changes nothing: the first one is stored", () => {
  const story = given(live("$a"), redaction("$x", "$a"), redaction("$y", "$a"));
  assert.is(story.unread(BOB).unthreaded, 0);
  assert.is(story.room.events.get("$a" as EventId)?.redaction, "$x");
});

f11("of an unknown event changes no other event", () => {
  const story = given(live("$a")).when(redaction("$x", "$unknown")).then("ordered");
  assert.is(story.unread(BOB).unthreaded, 1);
});

f11("before its target removes it from the counts too, and is stored", () => {
  const story = given(redaction("$x", "$a"), live("$a"), live("$b"));
  assert.is(story.unread(BOB).unthreaded, 1);
  assert.is(story.room.events.get("$a" as EventId)?.redaction, "$x");
  assert.is(story.order("$a"), BASE + 2);
});

f11("before its target, twice: the first one is stored", () => {
  const story = given(redaction("$x", "$a"), redaction("$y", "$a"), live("$a"));
  assert.is(story.room.events.get("$a" as EventId)?.redaction, "$x");
});

f11("leaves its target in the timeline, and is stored for those who serve it", () => {
  const story = given(live("$a"), live("$b"), redaction("$x", "$a"));
  assert.equal(
    story.room.timeline.map(({ order }) => order),
    [BASE + 1, BASE + 2, BASE + 3],
  );
  assert.is(story.room.events.get("$a" as EventId)?.redaction, "$x");
  assert.is(story.room.events.get("$b" as EventId)?.redaction, undefined);
});

f11("is recognised by its type: other events with redacts redact nothing", () => {
  const story = given(live("$a"), live("$x", { sender: BOB, redacts: "$a" }));
  assert.is(story.room.events.get("$a" as EventId)?.redaction, undefined);
  assert.is(story.unread(CARA).unthreaded, 2);
});

f11.run();
