import { suite } from "uvu";
import * as assert from "uvu/assert";
import { backfilled, given, inThread, live, relates } from "../../support/given.ts";

const f3 = suite("F3: the thread of an event");

const reaction = (target: string) => ({ type: "m.reaction", content: relates("m.annotation", target) });
const edit = (target: string) => ({ content: relates("m.replace", target) });
const redaction = (redacts: string) => ({ type: "m.room.redaction", content: {}, redacts });
const redactionByContent = (redacts: string) => ({ type: "m.room.redaction", content: { redacts } });
const reply = (target: string) => ({
  content: { body: "…", "m.relates_to": { "m.in_reply_to": { event_id: target } } },
});

f3("is the root that m.thread names, and the root itself is in main", () => {
  const story = given(live("$root"), live("$a", inThread("$root")));
  assert.is(story.thread("$a"), "$root");
  assert.is(story.thread("$root"), "main");
});

f3("is named by m.thread, even if the root is unknown or comes later", () => {
  const story = given(live("$a", inThread("$root")), backfilled("$root"));
  assert.is(story.thread("$a"), "$root");
  assert.is(story.thread("$root"), "main");
});

f3("is main for an event that relates to nothing", () => {
  assert.is(given(live("$a")).thread("$a"), "main");
});

for (const [name, relating] of Object.entries({ reaction, edit, redaction, redactionByContent })) {
  f3(`is that of the target of a ${name}`, () => {
    const story = given(live("$root"), live("$a", inThread("$root")))
      .and(live("$x", relating("$a")))
      .and(live("$y", relating("$root")));
    assert.is(story.thread("$x"), "$root");
    assert.is(story.thread("$y"), "main");
  });
}

f3("is inherited: a redaction of a reaction to a threaded event is in the thread", () => {
  const story = given(live("$a", inThread("$root")), live("$x", reaction("$a")), live("$y", redaction("$x")));
  assert.is(story.thread("$y"), "$root");
});

f3("is inherited through relations of any type", () => {
  const story = given(live("$a", inThread("$root")), live("$x", { content: relates("org.example.vote", "$a") }));
  assert.is(story.thread("$x"), "$root");
});

f3("is main for a plain reply into a thread", () => {
  assert.is(given(live("$a", inThread("$root")), live("$x", reply("$a"))).thread("$x"), "main");
});

f3("is the thread of m.thread for a reply inside a thread", () => {
  const relation = { rel_type: "m.thread", event_id: "$root", "m.in_reply_to": { event_id: "$other" } };
  const story = given(live("$other"), live("$a", { content: { "m.relates_to": relation } }));
  assert.is(story.thread("$a"), "$root");
});

f3("is that of m.thread, whatever the event redacts", () => {
  const story = given(live("$a", inThread("$one"))).and(
    live("$x", { type: "m.room.redaction", redacts: "$a", content: relates("m.thread", "$two") }),
  );
  assert.is(story.thread("$x"), "$two");
});

f3("is that of a known related event rather than of the redacted one", () => {
  const story = given(live("$a", inThread("$one")), live("$b", inThread("$two"))).and(
    live("$x", { type: "m.room.redaction", redacts: "$a", content: relates("m.reference", "$b") }),
  );
  assert.is(story.thread("$x"), "$two");
});

for (const [name, relating] of Object.entries({ reaction, edit, redaction, redactionByContent })) {
  f3(`is main for a ${name} of an unknown event, also when that comes`, () => {
    const story = given(live("$x", relating("$a")), live("$a", inThread("$root"))).and(live("$x", relating("$a")));
    assert.is(story.thread("$a"), "$root");
    assert.is(story.thread("$x"), "main");
  });
}

f3("ignores redacts of events that are not redactions", () => {
  const story = given(live("$a", inThread("$root")), live("$x", { redacts: "$a", content: { redacts: "$a" } }));
  assert.is(story.thread("$x"), "main");
});

f3("prefers the top-level redacts to the one in content", () => {
  const story = given(live("$a", inThread("$one")), live("$b", inThread("$two"))).and(
    live("$x", { type: "m.room.redaction", redacts: "$a", content: { redacts: "$b" } }),
  );
  assert.is(story.thread("$x"), "$one");
});

for (const relation of [
  null,
  7,
  "m.thread",
  [],
  ["m.thread", "$root"],
  {},
  { rel_type: "m.thread" },
  { event_id: "$a" },
  { rel_type: "m.thread", event_id: 7 },
  { rel_type: "m.thread", event_id: "main" },
  { rel_type: "m.thread", event_id: "$with space" },
  { rel_type: ["m.thread"], event_id: "$a" },
]) {
  f3(`is main when m.relates_to is ${JSON.stringify(relation)}`, () => {
    const story = given(live("$a", inThread("$root")), live("$x", { content: { "m.relates_to": relation } }));
    assert.is(story.thread("$x"), "main");
  });
}

f3("is main for an event that names itself as its thread root", () => {
  assert.is(given(live("$a", inThread("$a"))).thread("$a"), "main");
});

f3.run();
