import { suite } from "uvu";
import * as assert from "uvu/assert";
import { backfilled, history, inThread, live, relates } from "../../support/entries.ts";
import { CARA } from "../../support/example-room.ts";
import { given, Story } from "../../support/given.ts";

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

for (const [name, relating] of Object.entries({ reaction, edit })) {
  f3(`is that of the event which a ${name} is about`, () => {
    const story = given(live("$root"), live("$a", inThread("$root")))
      .and(live("$x", relating("$a")))
      .and(live("$y", relating("$root")));
    assert.is(story.thread("$x"), "$root");
    assert.is(story.thread("$y"), "main");
  });
}

for (const [name, relating] of Object.entries({ redaction, redactionByContent })) {
  f3(`is main for a ${name}, whatever it redacts`, () => {
    assert.is(given(live("$a", inThread("$root")), live("$x", relating("$a"))).thread("$x"), "main");
  });
}

f3("is main for a redaction that relates to an event of a thread", () => {
  const story = given(live("$b", inThread("$two"))).and(
    live("$x", { type: "m.room.redaction", redacts: "$a", content: relates("m.reference", "$b") }),
  );
  assert.is(story.thread("$x"), "main");
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

for (const [name, relating] of Object.entries({ reaction, edit })) {
  f3(`is main for a ${name} of an event that is not known, until that comes, live or not`, () => {
    for (const come of [live, history, backfilled]) {
      const story = given(live("$x", relating("$a")));
      assert.is(story.thread("$x"), "main");
      story.and(come("$a", inThread("$root")), live("$x", relating("$a")));
      assert.is(story.thread("$x"), "$root");
      assert.is(story.room.unsettled.size, 0);
    }
  });
}

f3("is settled for all that hang on an event in turn, newest first as in backfill", () => {
  const story = given(
    backfilled("$reaction", reaction("$edit")),
    backfilled("$edit", edit("$reply")),
    backfilled("$reply", inThread("$root")),
    backfilled("$root"),
  );
  assert.equal(
    ["$reaction", "$edit", "$reply", "$root"].map((id) => story.thread(id)),
    ["$root", "$root", "$root", "main"],
  );
});

f3("is main for events that hang on each other in a circle, and for what hangs on them", () => {
  const story = given(live("$a", edit("$b")), live("$d", edit("$a")), live("$b", edit("$c")), live("$c", edit("$a")));
  assert.equal(
    ["$a", "$b", "$c", "$d"].map((id) => story.thread(id)),
    ["main", "main", "main", "main"],
  );
  assert.is(story.room.unsettled.size, 0);
});

f3("of more than 1,000 unsettled events of a server is main for the oldest, for good", () => {
  const story = new Story();
  story.fold(live("$other", { ...edit("$a"), sender: CARA }));
  for (let i = 0; i < 1_001; i++) story.fold(live(`$${i}`, edit("$a")));
  assert.is(story.room.unsettled.size, 1_001);
  story.and(live("$a", inThread("$root")));
  assert.equal(
    ["$0", "$1", "$1000", "$other"].map((id) => story.thread(id)),
    ["main", "$root", "$root", "$root"],
  );
});

f3("of more than 10,000 unsettled events of a room is main for the oldest, and what hangs on it", () => {
  const story = new Story();
  story.and(live("$first", edit("$a")), live("$on-first", { ...edit("$first"), sender: "@u:last.example" }));
  for (let i = 0; i < 9_999; i++) story.fold(live(`$${i}`, { ...edit("$b"), sender: `@u:s${i % 20}.example` }));
  assert.is(story.room.unsettled.size, 9_999);
  story.and(live("$a", inThread("$root")));
  assert.equal([story.thread("$first"), story.thread("$on-first")], ["main", "main"]);
});

f3("takes redacts from redactions alone", () => {
  const story = given(live("$a", inThread("$root")), live("$x", { redacts: "$a", content: { redacts: "$a" } }));
  assert.is(story.thread("$x"), "main");
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
  { rel_type: "m.thread", event_id: "$with NUL\0" },
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
