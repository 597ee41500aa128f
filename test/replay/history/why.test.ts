import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Entry } from "../../../actors/entry.ts";
import { type Why, why } from "../../../src/replay/history/why.ts";
import { ALICE, acl, at, BOB, backfilled, CARA, inThread, live, member, receipt, TWO } from "../../support/given.ts";
import { replayed } from "../../support/replayed.ts";

function asked(user: string, event: string, ...entries: readonly Entry[]): Why {
  const { history } = replayed(...entries);
  return why(history, { user, event, position: history.position });
}

const suiteOfWhy = suite("why");

suiteOfWhy("names the receipt that made an event read", () => {
  const { verdict, answer, entries } = asked(BOB, "$1", live("$1"), live("$2"), receipt(BOB, "$2"));
  assert.is(verdict, "read");
  assert.is(
    answer,
    `Read: the unthreaded m.read marker came to $2, order ${at(2)} at position ${at(3)}, and ${at(2)} ≥ ${at(1)} (F12).`,
  );
  assert.equal(
    entries.map(({ position }) => position),
    [at(1), at(3)],
  );
  assert.match(entries[1]!.text, `the unthreaded m.read marker begins at ${at(2)} ($2)`);
});

suiteOfWhy("names both a held receipt and the event that released it", () => {
  const { verdict, entries } = asked(BOB, "$1", receipt(BOB, "$1"), live("$1"));
  assert.is(verdict, "read");
  assert.equal(
    entries.map(({ position, text }) => [position, text]),
    [
      [at(1), `${BOB}'s receipt on $1: held, its event is not known yet`],
      [at(2), `${ALICE} sends $1: order ${at(2)}, the main timeline`],
      [at(2), `$1 comes and releases it: the unthreaded m.read marker begins at ${at(2)} ($1)`],
    ],
  );
});

suiteOfWhy("names the first receipt that covered it, and where its marker is by now", () => {
  const { answer, because } = asked(BOB, "$1", live("$1"), receipt(BOB, "$1"), live("$2"), receipt(BOB, "$2"));
  assert.match(answer, `came to it at position ${at(2)}`);
  assert.equal(because, [`That marker stands at $2 by now, order ${at(3)}, since position ${at(4)}.`]);
});

suiteOfWhy("knows that a user has read their own events, and everybody what is older than the log", () => {
  assert.is(asked(ALICE, "$1", live("$1")).answer, `Read: ${ALICE} sent it (F12).`);
  assert.match(asked(BOB, "$1", backfilled("$1")).answer, `its order -${at(1)} is negative`);
});

suiteOfWhy("says that nothing of the user covers an event", () => {
  const { verdict, answer, because } = asked(BOB, "$1", live("$1"));
  assert.is(verdict, "unread");
  assert.is(answer, `Unread: ${BOB} has no marker that covers the main timeline (F12).`);
  assert.equal(because, []);
});

suiteOfWhy("says which marker is not there yet", () => {
  const { verdict, because } = asked(BOB, "$2", live("$1"), receipt(BOB, "$1"), live("$2"));
  assert.is(verdict, "unread");
  assert.equal(because, [`The unthreaded m.read marker stands at $1, order ${at(1)} < ${at(3)}.`]);
});

suiteOfWhy("says when a marker is further, but of another thread", () => {
  const { verdict, because } = asked(
    BOB,
    "$2",
    live("$1"),
    live("$2", inThread("$1")),
    live("$3"),
    receipt(BOB, "$3", { thread: "main" }),
  );
  assert.is(verdict, "unread");
  assert.equal(because, [
    `The m.read marker of the main timeline stands at order ${at(3)}, but it covers only the main timeline, and this event is in thread $1 (F12).`,
  ]);
});

suiteOfWhy("says that m.fully_read marks nothing as read", () => {
  const { verdict, because } = asked(BOB, "$1", live("$1"), receipt(BOB, "$1", { type: "m.fully_read" }));
  assert.is(verdict, "unread");
  assert.match(because.join(), "but m.fully_read marks nothing as read (F12)");
});

suiteOfWhy("says that a receipt named the wrong thread, at once or once its event came", () => {
  const entries = [live("$1"), live("$2", inThread("$1"))];
  const direct = asked(BOB, "$2", ...entries, receipt(BOB, "$2", { thread: "main" }));
  assert.equal(direct.because, [
    `The m.read receipt at position ${at(3)} on this event was rejected (wrong_thread): the event is in another thread than the receipt names.`,
  ]);
  const held = asked(BOB, "$2", receipt(BOB, "$2", { thread: "main" }), ...entries);
  assert.equal(held.because, [
    `The m.read receipt at position ${at(1)} on $2 was held, and rejected (wrong_thread) at position ${at(3)}.`,
  ]);
});

suiteOfWhy("says why a federated receipt was not taken", () => {
  const denied = asked(
    CARA,
    "$1",
    live("$acl", acl({ allow: ["*"], deny: [TWO] })),
    live("$1"),
    receipt(CARA, "$1", { origin: TWO }),
  );
  assert.match(denied.because.join(), "rejected (acl_denied)");
  const stranger = asked(CARA, "$1", live("$j", member(BOB, "join")), live("$1"), receipt(CARA, "$1", { origin: TWO }));
  assert.match(stranger.because.join(), "rejected (not_joined)");
});

suiteOfWhy("names receipts that are still held", () => {
  const { because } = asked(BOB, "$1", live("$1"), receipt(BOB, "$nowhere"));
  assert.equal(because, [
    `The m.read receipt at position ${at(2)} on $nowhere is held: the log has no event $nowhere (F4).`,
  ]);
});

suiteOfWhy("says of an event that is not there what waits for it, and when it comes", () => {
  const { history } = replayed(receipt(BOB, "$1"), live("$2"), live("$1"));
  const answer = why(history, { user: BOB, event: "$1", position: at(2) });
  assert.is(answer.verdict, "unknown");
  assert.equal(answer.because, [
    `It comes at position ${at(3)}, after this point.`,
    `The m.read receipt at position ${at(1)} on $1 waits for it, and is judged when it comes (F4, F5).`,
  ]);
});

suiteOfWhy("says when an event counts nowhere", () => {
  const redaction = live("$r", { type: "m.room.redaction", redacts: "$1", content: {} });
  assert.match(asked(BOB, "$1", live("$1"), redaction).because.join(), `redacted at position ${at(2)}`);
  assert.match(asked(BOB, "$j", live("$j", member(ALICE, "join"))).because.join(), "or state: it counts as unread");
});

suiteOfWhy.run();
