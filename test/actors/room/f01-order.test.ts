import { suite } from "uvu";
import * as assert from "uvu/assert";
import { LIVE, positionOf } from "../../../actors/entry.ts";
import { fold } from "../../../actors/room/fold.ts";
import { Room } from "../../../actors/room/room.ts";
import { at, backfilled, event, given, live, ROOM } from "../../support/given.ts";

const f1 = suite("F1: the order of an event");

f1("is the position of a live event", () => {
  const story = given(live("$a"), live("$b"));
  assert.is(story.order("$a"), at(1));
  assert.is(story.order("$b"), at(2));
});

f1("is the negative of the position of a backfilled event", () => {
  assert.is(given(backfilled("$a")).order("$a"), -at(1));
});

f1("puts events that are backfilled newest first in their chronological order", () => {
  const story = given(live("$now"), backfilled("$yesterday"), backfilled("$before"));
  const sorted = ["$now", "$before", "$yesterday"].sort((a, b) => story.order(a)! - story.order(b)!);
  assert.equal(sorted, ["$before", "$yesterday", "$now"]);
});

f1("differs for the entries of one record", () => {
  const room = new Room(ROOM);
  const [first, second] = [positionOf(7, 0), positionOf(7, 1)];
  assert.equal(fold(room, first, [LIVE, event("$a")]), { outcome: "ordered", order: 7168, settled: [] });
  assert.equal(fold(room, second, [LIVE, event("$b")]), { outcome: "ordered", order: 7169, settled: [] });
});

f1("does not depend on the timestamp of the event", () => {
  const story = given(live("$a", { origin_server_ts: 9 }), live("$b", { origin_server_ts: 1 }));
  assert.ok(story.order("$b")! > story.order("$a")!);
});

f1.run();
