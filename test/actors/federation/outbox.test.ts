/** The federation outbox: which receipts are sent to which servers, and when. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { BACKFILLED, LIVE, STATE } from "../../../actors/entry.ts";
import { inThread } from "../../support/entries.ts";
import { LOCAL as A, everywhere, FoldedOutbox, MINUTE_MS, member, roomOf } from "../../support/outbox.ts";
import { event, ofUnknownThread, receipt } from "../../support/session-fold.ts";

const outbox = suite("federation outbox");

outbox("sends to every other server with a joined member, and to no other", () => {
  const folded = roomOf(3);
  folded.fold([STATE, member("@u:invited.example", "invite")]);
  folded.fold([STATE, member("@u:left.example")]);
  folded.fold(receipt("$1", { user: A }));
  folded.fold([LIVE, member("@u:left.example", "leave")]);
  folded.fold([LIVE, member("@u:s3.example")]);
  folded.fold([LIVE, event("$2")]);
  folded.fold(receipt("$2", { user: A }));
  assert.equal(folded.take("urgent"), everywhere(4, `${A} - → $2`));
  assert.equal(folded.take("waiting"), {});
});

outbox("has nothing to send from a room without remote or known members", () => {
  for (const folded of [roomOf(1), new FoldedOutbox()]) {
    folded.fold([LIVE, event("$9")]);
    folded.fold(receipt("$9", { user: A }));
    assert.is(folded.outbox.oldest(), undefined);
  }
});

outbox("ignores receipts that are private, remote, of unknown thread, stale or already published", () => {
  const folded = roomOf(3);
  folded.fold([LIVE, event("$2")]);
  folded.fold(receipt("$2", { user: A }), true);
  folded.fold(receipt("$1", { user: A }));
  folded.fold(receipt("$1", { user: A, type: "m.read.private" }));
  folded.fold(receipt("$1", { user: A, type: "m.fully_read" }));
  folded.fold(receipt("$1", { user: "@u:s1.example", origin: "s1.example" }));
  folded.fold(receipt("$1", { user: "@u:s1.example" }));
  folded.fold(ofUnknownThread("$1", { user: "@b:here.example" }));
  assert.is(folded.outbox.oldest(), undefined);
});

outbox("without own server names treats the servers of local receipts as its own", () => {
  const folded = roomOf(3, []);
  folded.fold(receipt("$1", { user: A }));
  assert.equal(folded.take("urgent"), everywhere(3, `${A} - → $1`));
});

outbox("holds a receipt until its event is known here", () => {
  const folded = roomOf(3);
  assert.is(folded.fold(receipt("$2", { user: A })).outcome, "held");
  assert.is(folded.outbox.oldest(), undefined);
  folded.fold([LIVE, event("$2")]);
  assert.equal(folded.take("urgent"), everywhere(3, `${A} - → $2`));
});

outbox("sends at once in a room of fewer than 10 servers if the event is younger than 60 s", () => {
  const folded = roomOf(9);
  folded.now += MINUTE_MS - 1;
  folded.fold(receipt("$1", { user: A }));
  assert.equal(folded.take("urgent"), everywhere(9, `${A} - → $1`));
  assert.equal(folded.take("waiting"), {});
});

outbox("asks no record's clock how old an event is", () => {
  const days = 24 * 60 * MINUTE_MS;
  for (const [eventAt, receiptAt] of [
    [3 * days, 0],
    [-3 * days, 0],
    [0, 3 * days],
  ]) {
    const folded = roomOf(3);
    folded.fold([LIVE, event("$2")], false, eventAt);
    folded.fold(receipt("$2", { user: A }), false, receiptAt);
    assert.equal(folded.take("urgent"), everywhere(3, `${A} - → $2`));
    folded.now += MINUTE_MS;
    folded.fold(receipt("$2", { user: A, thread: "main" }), false, eventAt);
    assert.equal(folded.take("urgent"), {});
  }
});

outbox("batches everything in a room of 10 servers", () => {
  const folded = roomOf(10);
  folded.fold(receipt("$1", { user: A }));
  assert.equal(folded.take("urgent"), {});
  assert.equal(folded.take("waiting"), everywhere(10, `${A} - → $1`));
});

outbox("batches a receipt on an event older than 60 s, except for the server of its sender", () => {
  const folded = roomOf(4);
  folded.fold([LIVE, event("$2", { sender: "@u:s2.example" })]);
  folded.now += MINUTE_MS;
  folded.fold(receipt("$1", { user: A }));
  assert.equal(folded.take("urgent"), {}, "the event's sender is local");
  folded.fold(receipt("$2", { user: A, thread: "main" }));
  assert.equal(folded.take("urgent"), { "s2.example": [`${A} main → $2`] });
  assert.equal(folded.take("waiting"), {
    "s1.example": [`${A} - → $1`, `${A} main → $2`],
    "s2.example": [`${A} - → $1`],
    "s3.example": [`${A} - → $1`, `${A} main → $2`],
  });
});

outbox("treats a backfilled event as old", () => {
  const folded = roomOf(3);
  folded.fold([BACKFILLED, event("$0")]);
  folded.fold(receipt("$0", { user: A }));
  assert.equal(folded.take("urgent"), {});
  assert.equal(folded.take("waiting"), everywhere(3, `${A} - → $0`));
});

outbox("sends only the last receipt of each thread", () => {
  const folded = roomOf(12);
  for (const id of ["$2", "$3", "$4"]) {
    folded.fold([LIVE, event(id, inThread("$1"))]);
    folded.fold(receipt(id, { user: A, thread: "$1" }));
  }
  folded.fold(receipt("$1", { user: A, thread: "main" }));
  folded.fold(receipt("$4", { user: A }));
  const lines = folded.take("waiting")["s1.example"];
  assert.equal(lines, [`${A} $1 → $4`, `${A} main → $1`, `${A} - → $4`]);
});

outbox("does not send a batched receipt after a later urgent one", () => {
  const folded = roomOf(3);
  folded.now += MINUTE_MS;
  folded.fold(receipt("$1", { user: A }));
  folded.fold([LIVE, event("$2")]);
  folded.fold(receipt("$2", { user: A }));
  assert.equal(folded.take("urgent"), everywhere(3, `${A} - → $2`));
  assert.equal(folded.take("waiting"), {});
});

outbox("does not send an urgent receipt after a later batched one", () => {
  const folded = roomOf(3);
  folded.fold(receipt("$1", { user: A }));
  folded.now += MINUTE_MS;
  folded.fold([LIVE, event("$2", { sender: "@u:s2.example" })]);
  folded.now += MINUTE_MS;
  folded.fold(receipt("$2", { user: A }));
  assert.equal(folded.take("waiting"), { "s1.example": [`${A} - → $2`] });
  assert.equal(folded.take("urgent"), { "s2.example": [`${A} - → $2`] });
});

outbox("replaces an urgent receipt by a later batched one", () => {
  const folded = roomOf(3);
  folded.fold([LIVE, event("$2")]);
  folded.now += MINUTE_MS / 2;
  folded.fold(receipt("$1", { user: A }));
  folded.now += MINUTE_MS / 2;
  folded.fold(receipt("$2", { user: A }));
  assert.equal(folded.take("waiting"), everywhere(3, `${A} - → $2`));
  assert.equal(folded.take("urgent"), {});
});

outbox("returns the position of the oldest change that is not sent", () => {
  const folded = roomOf(12);
  folded.fold(receipt("$1", { user: A }));
  const oldest = folded.outbox.oldest();
  assert.is(oldest, folded.room.position);
  folded.fold([LIVE, event("$2")]);
  folded.fold(receipt("$2", { user: A }));
  assert.is(folded.outbox.oldest(), oldest);
  folded.take("waiting");
  assert.is(folded.outbox.oldest(), undefined);
});

outbox("is not held for by a lane whose receipts all went to the other one", () => {
  const folded = roomOf(3);
  folded.fold([LIVE, event("$2")]);
  folded.fold(receipt("$1", { user: A }));
  folded.now += MINUTE_MS;
  folded.fold(receipt("$2", { user: A }));
  assert.is(folded.outbox.oldest(), folded.room.position);
});

outbox.run();
