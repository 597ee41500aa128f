/** Steps as lines of text, and filters of steps. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { matches } from "../../../src/replay/history/step-filter.ts";
import { paintsOf, stepLine } from "../../../src/replay/history/text.ts";
import { acl, backfilled, inThread, live, member, receipt, state } from "../../support/entries.ts";
import { BOB, CARA, TWO } from "../../support/example-room.ts";
import { at } from "../../support/given.ts";
import { replayed } from "../../support/replayed.ts";

const LONG = "$abcdefghijklmnopqrstuvwxyz";

const lines = suite("lines");

lines("have time, position, outcome, user, entry and changes", () => {
  const { steps } = replayed(
    live("$1"),
    receipt(BOB, "$1"),
    live("$2", inThread("$1")),
    receipt(BOB, "$2", { thread: "$1" }),
    receipt(BOB, "$1"),
    receipt(BOB, "$3"),
    receipt(BOB, "$1", { thread: "$1" }),
    live("$3", member(BOB, "join")),
    live("$1"),
    backfilled(LONG),
    state("$s", acl({ allow: ["*"], deny: [TWO] })),
    live("$r", { type: "m.room.redaction", redacts: LONG, content: {} }),
    receipt(CARA, "$1", { origin: TWO }),
  );
  const expected = [
    "1024  ordered    @alice:one.example  m.room.message $1  order 1",
    "2048  advanced   @bob:one.example  m.read $1  marker none → 1",
    "3072  ordered    @alice:one.example  m.room.message $2 in thread $1 (m.thread of $1)  order 2",
    "4096  advanced   @bob:one.example  m.read $2 in thread $1  marker none → 2",
    "5120  stale      @bob:one.example  m.read $1  marker is at 1, not before 1",
    "6144  held       @bob:one.example  m.read $3  its event is not in the log yet",
    "7168  rejected   @bob:one.example  m.read $1 in thread $1  wrong_thread: the event is in another thread than the receipt names",
    "8192  ordered    @bob:one.example  m.room.member $3 (@bob:one.example is join)  order 3  released @bob:one.example m.read of 6144: marker 1 → 3",
    "9216  duplicate  @alice:one.example  m.room.message $1  keeps order 1",
    "10240  ordered    @alice:one.example  backfill m.room.message $abcdefghij…  order -1",
    "11264  noted      @alice:one.example  state m.room.server_acl $s",
    "12288  ordered    @alice:one.example  m.room.redaction $r (redacts $abcdefghij…)  order 4",
    "13312  rejected   @cara:two.example  m.read $1 from two.example  acl_denied: the room's m.room.server_acl denies the server that sent the receipt",
  ];
  assert.equal(
    steps.map((step) => stepLine(step)),
    expected.map((line, i) => `1970-01-01 00:00:${String(i + 1).padStart(2, "0")}.000  ${line}`),
  );
});

lines("are coloured by outcome", () => {
  const paints = paintsOf((name) => (text) => `<${name}>${text}</>`);
  const { steps } = replayed(receipt(BOB, "$1"), live("$1"));
  assert.match(stepLine(steps[0]!, paints), "<yellow>held     </>");
  assert.match(stepLine(steps[1]!, paints), "<cyan>ordered  </>");
  assert.match(stepLine(steps[1]!, paints), "<bold>1</>  <green>released</>");
});

lines("name the receipt that was dropped for a held one", () => {
  const { steps } = replayed(...Array.from({ length: 9 }, (_, i) => receipt(BOB, `$${i}`)));
  assert.match(stepLine(steps[8]!), `rejected ${BOB} m.read of ${at(1)}: held_overflow`);
});

lines("name some of many released receipts, and count the others", () => {
  const many = Array.from({ length: 9 }, (_, i) => receipt(`@u${i}:one.example` as typeof BOB, "$1"));
  const { steps } = replayed(...many, live("$1"));
  assert.match(stepLine(steps[9]!), "and 5 more held receipts");
});

const filter = suite("filter");

filter("selects the entries of a user, and those that released held receipts of the user", () => {
  const { steps } = replayed(receipt(BOB, "$1"), live("$1"), live("$2"));
  assert.equal(
    steps.map((step) => matches({ user: "@bob" }, step)),
    [true, true, false],
  );
});

filter("selects an event, receipts on it, and its redaction, by a prefix of its id", () => {
  const { steps } = replayed(
    live(LONG),
    live("$2"),
    receipt(BOB, LONG),
    live("$r", { type: "m.room.redaction", redacts: LONG, content: {} }),
  );
  for (const event of [LONG, "$abc", "$abcdefghij…"]) {
    assert.equal(
      steps.map((step) => matches({ event }, step)),
      [true, false, true, true],
    );
  }
});

filter("selects entries by outcome, and releases by the event that released", () => {
  const { steps } = replayed(receipt(BOB, "$1"), live("$1"), receipt(BOB, "$1"));
  const shown = (outcome: "released" | "stale" | "held") => steps.map((step) => matches({ outcome }, step));
  assert.equal(shown("released"), [false, true, false]);
  assert.equal(shown("stale"), [false, false, true]);
  assert.equal(shown("held"), [true, false, false]);
});

filter("selects a thread: its events, and receipts that name it or are on one of its events", () => {
  const { steps } = replayed(live("$1"), live("$2", inThread("$1")), receipt(BOB, "$2"), receipt(BOB, "$1"));
  assert.equal(
    steps.map((step) => matches({ thread: "$1" }, step)),
    [false, true, true, false],
  );
});

filter("selects from a position or a time on", () => {
  const { steps } = replayed(live("$1"), live("$2"), live("$3"));
  assert.equal(
    steps.map((step) => matches({ from: at(2) }, step)),
    [false, true, true],
  );
  assert.equal(
    steps.map((step) => matches({ fromTime: 3_000 }, step)),
    [false, false, true],
  );
});

lines.run();
filter.run();
