import { suite } from "uvu";
import * as assert from "uvu/assert";
import { LIVE, positionOf } from "../../../actors/entry.ts";
import { fold } from "../../../actors/room/fold.ts";
import { Room } from "../../../actors/room/room.ts";
import { backfilled, event, history, live, receipt, state } from "../../support/entries.ts";
import { BASE, BOB, ROOM } from "../../support/example-room.ts";
import { given } from "../../support/given.ts";

const f1 = suite("F1: the order of an event");

const orders = (story: ReturnType<typeof given>, ...ids: string[]) => ids.map((id) => story.order(id));

f1("of a live event is one more than the greatest of its room, from the base on", () => {
  assert.equal(orders(given(live("$a"), live("$b")), "$a", "$b"), [BASE + 1, BASE + 2]);
});

f1("of a history event is one less than the smallest positive of its room", () => {
  const story = given(live("$now"), history("$yesterday"), history("$before"), live("$new"));
  assert.equal(orders(story, "$before", "$yesterday", "$now", "$new"), [BASE - 1, BASE, BASE + 1, BASE + 2]);
});

f1("of a room's first event is the base, if that is history", () => {
  assert.equal(orders(given(history("$a"), live("$b")), "$a", "$b"), [BASE, BASE + 1]);
});

f1("of a backfilled event is one less than the smallest negative of its room, -1 at first", () => {
  const story = given(backfilled("$a"), live("$b"), backfilled("$c"));
  assert.equal(orders(story, "$c", "$a", "$b"), [-2, -1, BASE + 1]);
});

f1("of a history event in a room that has a negative order is that of a backfilled one", () => {
  assert.equal(orders(given(live("$a"), backfilled("$b"), history("$c")), "$c", "$b", "$a"), [-2, -1, BASE + 1]);
});

f1("counts nothing but events: no duplicate, state entry or receipt", () => {
  const story = given(live("$a"), live("$a"), state("$s", { state_key: "" }), receipt(BOB, "$a"), receipt(BOB, "$x"));
  assert.is(story.and(live("$b")).order("$b"), BASE + 2);
});

f1("does not depend on the positions of entries", () => {
  const room = new Room(ROOM, BASE);
  fold(room, positionOf(7, 3), [LIVE, event("$a")]);
  fold(room, positionOf(900, 0), [LIVE, event("$b")]);
  assert.is(room.events.get(event("$b").event_id)?.order, BASE + 2);
  assert.is(room.events.get(event("$b").event_id)?.position, positionOf(900, 0));
});

f1("does not depend on the event's own timestamp", () => {
  const story = given(live("$a", { origin_server_ts: 9 }), live("$b", { origin_server_ts: 1 }));
  assert.ok(story.order("$b")! > story.order("$a")!);
});

f1("is the one that an imported entry carries, live, history or backfilled", () => {
  const story = given(
    live("$a", {}, 7_000),
    history("$b", {}, 6_990),
    backfilled("$c", {}, -5),
    live("$d"),
    backfilled("$e"),
  );
  assert.equal(orders(story, "$a", "$b", "$c", "$d", "$e"), [7_000, 6_990, -5, 7_001, -6]);
});

f1("is not the one that an imported entry carries where another event has it, or a later one", () => {
  const story = given(live("$a", {}, 7_000), live("$b", {}, 7_000), live("$c", {}, 9));
  assert.equal(orders(story, "$a", "$b", "$c"), [7_000, 7_001, 7_002]);
});

f1.run();
