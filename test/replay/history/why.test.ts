/** Explanations of why an event is read or unread. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Entry, UNKNOWN_THREAD } from "../../../actors/entry.ts";
import { type Why, why } from "../../../src/replay/history/why-text.ts";
import { acl, backfilled, inThread, live, member, receipt } from "../../support/entries.ts";
import { ALICE, BOB, CARA, TWO } from "../../support/example-room.ts";
import { at } from "../../support/given.ts";
import { replayed } from "../../support/replayed.ts";

/** The order of the nth live event: `replayed` folds a log whose base is 0. */
const order = (n: number) => n;

function explained(user: string, event: string, ...entries: readonly Entry[]): Why {
  const { history } = replayed(...entries);
  return why(history, { user, event, position: history.position });
}

const explanation = suite("explanation");

explanation("names the receipt that read the event", () => {
  const { verdict, answer, entries } = explained(BOB, "$1", live("$1"), live("$2"), receipt(BOB, "$2"));
  assert.is(verdict, "read");
  assert.is(
    answer,
    `Read: the unthreaded m.read marker reached $2, order ${order(2)} at position ${at(3)}, and ${order(2)} ≥ ${order(1)} (F12).`,
  );
  assert.equal(
    entries.map(({ position }) => position),
    [at(1), at(3)],
  );
  assert.match(entries[1]!.text, `the unthreaded m.read marker begins at ${order(2)} ($2)`);
});

explanation("names a held receipt and the event that released it", () => {
  const { verdict, entries } = explained(BOB, "$1", receipt(BOB, "$1"), live("$1"));
  assert.is(verdict, "read");
  assert.equal(
    entries.map(({ position, text }) => [position, text]),
    [
      [at(1), `${BOB}'s receipt on $1: held`],
      [at(2), `${ALICE} sends $1: order ${order(1)}, the main timeline`],
      [at(2), `$1 is known, and its thread: the unthreaded m.read marker begins at ${order(1)} ($1)`],
    ],
  );
});

explanation("names the first receipt that covered the event, and the current place of its marker", () => {
  const { answer, because } = explained(BOB, "$1", live("$1"), receipt(BOB, "$1"), live("$2"), receipt(BOB, "$2"));
  assert.match(answer, `reached it at position ${at(2)}`);
  assert.equal(because, [`That marker is at $2 by now, order ${order(2)}, since position ${at(4)}.`]);
});

explanation("says that a user has read their own events, and everybody has read backfilled ones", () => {
  assert.is(explained(ALICE, "$1", live("$1")).answer, `Read: ${ALICE} sent it (F12).`);
  assert.match(explained(BOB, "$1", backfilled("$1")).answer, `its order -1 is negative`);
});

explanation("says that no marker of the user covers the event", () => {
  const { verdict, answer, because } = explained(BOB, "$1", live("$1"));
  assert.is(verdict, "unread");
  assert.is(answer, `Unread: ${BOB} has no marker that covers the main timeline (F12).`);
  assert.equal(because, []);
});

explanation("names a marker that has not reached the event", () => {
  const { verdict, because } = explained(BOB, "$2", live("$1"), receipt(BOB, "$1"), live("$2"));
  assert.is(verdict, "unread");
  assert.equal(because, [`The unthreaded m.read marker is at $1, order ${order(1)} < ${order(2)}.`]);
});

explanation("names a marker that is ahead, but in another thread", () => {
  const { verdict, because } = explained(
    BOB,
    "$2",
    live("$1"),
    live("$2", inThread("$1")),
    live("$3"),
    receipt(BOB, "$3", { thread: "main" }),
  );
  assert.is(verdict, "unread");
  assert.equal(because, [
    `The m.read marker of the main timeline is at order ${order(3)}, but it covers only the main timeline, and this event is in thread $1 (F12).`,
  ]);
});

explanation("says that m.fully_read marks nothing as read", () => {
  const { verdict, because } = explained(BOB, "$1", live("$1"), receipt(BOB, "$1", { type: "m.fully_read" }));
  assert.is(verdict, "unread");
  assert.match(because.join(), "but m.fully_read marks nothing as read (F12)");
});

explanation("names a receipt with the wrong thread, rejected at once or when its event came", () => {
  const entries = [live("$1"), live("$2", inThread("$1"))];
  const direct = explained(BOB, "$2", ...entries, receipt(BOB, "$2", { thread: "main" }));
  assert.equal(direct.because, [
    `The m.read receipt at position ${at(3)} on this event was rejected (wrong_thread): the event is in another thread than the receipt names.`,
  ]);
  const held = explained(BOB, "$2", receipt(BOB, "$2", { thread: "main" }), ...entries);
  assert.equal(held.because, [
    `The m.read receipt at position ${at(1)} on $2 was held, and rejected (wrong_thread) at position ${at(3)}.`,
  ]);
});

explanation("says why a federated receipt was rejected", () => {
  const denied = explained(
    CARA,
    "$1",
    live("$acl", acl({ allow: ["*"], deny: [TWO] })),
    live("$1"),
    receipt(CARA, "$1", { origin: TWO }),
  );
  assert.match(denied.because.join(), "rejected (acl_denied)");
  const stranger = explained(
    CARA,
    "$1",
    live("$j", member(BOB, "join")),
    live("$1"),
    receipt(CARA, "$1", { origin: TWO }),
  );
  assert.match(stranger.because.join(), "rejected (not_joined)");
});

explanation("names receipts that are still held", () => {
  const { because } = explained(BOB, "$1", live("$1"), receipt(BOB, "$nowhere"));
  assert.equal(because, [
    `The m.read receipt at position ${at(2)} on $nowhere is held: the log has no event $nowhere (F4).`,
  ]);
});

explanation("says of an unknown event which receipts wait for it, and when it comes", () => {
  const { history } = replayed(receipt(BOB, "$1"), live("$2"), live("$1"));
  const answer = why(history, { user: BOB, event: "$1", position: at(2) });
  assert.is(answer.verdict, "unknown");
  assert.equal(answer.because, [
    `It comes at position ${at(3)}, after this point.`,
    `The m.read receipt at position ${at(1)} on $1 waits for it, and is judged when it comes (F4, F5).`,
  ]);
});

explanation("says that an event never counts as unread", () => {
  const redaction = live("$r", { type: "m.room.redaction", redacts: "$1", content: {} });
  assert.match(explained(BOB, "$1", live("$1"), redaction).because.join(), `redacted at position ${at(2)}`);
  assert.match(
    explained(BOB, "$j", live("$j", member(ALICE, "join"))).because.join(),
    "an edit or state, means that it never counts as unread",
  );
});

explanation("names no marker if a stale receipt was of unknown thread", () => {
  const reader = receipt(BOB, "$2");
  const unknown: Entry = [reader[0], BOB, reader[2], reader[3], UNKNOWN_THREAD, reader[5], null];
  const { because } = explained(
    BOB,
    "$3",
    live("$1"),
    live("$3", inThread("$1")),
    live("$2"),
    receipt(BOB, "$2", { thread: "main" }),
    unknown,
  );
  assert.equal(because.slice(-1), [
    `The m.read receipt at position ${at(5)} on $2 was stale: an m.read marker that covers the event was at order ${order(3)} already (F7).`,
  ]);
});

explanation("says that the user's stay began after the event", () => {
  const { verdict, answer } = explained(BOB, "$1", live("$1"), live("$2", member(BOB, "join")));
  assert.is(verdict, "read");
  assert.is(answer, `Read: ${BOB} joined the room after it, with the event of order ${order(2)} > ${order(1)} (F12).`);
});

explanation("says why an unread event does not count as unread for a user", () => {
  const sent = explained(BOB, "$1", live("$1"), live("$2", { sender: BOB }));
  assert.is(sent.verdict, "unread");
  assert.equal(sent.because, [
    `It does not count as unread: the user has sent $2, order ${order(2)}, after it in its thread (F13).`,
  ]);
  const left = explained(BOB, "$1", live("$1"), live("$2", member(BOB, "leave")));
  assert.is(left.verdict, "unread");
  assert.equal(left.because, ["It does not count as unread: the user is not joined (F13)."]);
});

explanation("names the thread that the event had at that point", () => {
  const edit = { content: { "m.relates_to": { rel_type: "m.replace", event_id: "$2" } } };
  const { history } = replayed(live("$3", edit), live("$1"), live("$2", inThread("$1")));
  const at2 = why(history, { user: BOB, event: "$3", position: at(2) });
  assert.is(at2.answer, `Unread: ${BOB} has no marker that covers the main timeline (F12).`);
  const at3 = why(history, { user: BOB, event: "$3", position: at(3) });
  assert.is(at3.answer, `Unread: ${BOB} has no marker that covers thread $1 (F12).`);
});

explanation.run();
