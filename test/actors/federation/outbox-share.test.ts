/** The federation outbox: how much of a user a server gets in a window, and how much is taken at once (I20). */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { LIVE } from "../../../actors/entry.ts";
import { TAKE_STEPS_MAX } from "../../../actors/federation/lane.ts";
import { inThread } from "../../support/entries.ts";
import { LOCAL as A, everywhere, type FoldedOutbox, roomOf } from "../../support/outbox.ts";
import { event, receipt } from "../../support/session-fold.ts";

const outbox = suite("share of a federation window");

/** A room with events in this many threads. */
function roomOfThreads(servers: number, threads: number): FoldedOutbox {
  const folded = roomOf(servers);
  for (let i = 0; i < threads; i++) folded.fold([LIVE, event(`$in${i}`, inThread(`$root${i}`))]);
  return folded;
}

const readThread = (folded: FoldedOutbox, i: number) =>
  folded.fold(receipt(`$in${i}`, { user: A, thread: `$root${i}` }));

outbox("spreads 200 threads of a user over 50 windows, the first ones first (I20)", () => {
  const folded = roomOfThreads(300, 200);
  for (let i = 0; i < 200; i++) readThread(folded, i);
  assert.equal(folded.take("urgent"), {});
  for (let window = 0; window < 50; window++) {
    assert.not(folded.outbox.isEmpty);
    const lines = [0, 1, 2, 3].map((i) => `${A} $root${4 * window + i} → $in${4 * window + i}`);
    assert.equal(folded.take("waiting"), everywhere(300, ...lines));
  }
  assert.ok(folded.outbox.isEmpty);
  assert.equal(folded.take("waiting"), {}, "the last window is over");
  assert.not(folded.outbox.hasWindow);
});

outbox("sends four urgent receipts of a user in a window, and the next ones first in the next window", () => {
  const folded = roomOfThreads(3, 8);
  for (let i = 0; i < 8; i++) readThread(folded, i);
  const lines = (...threads: number[]) => everywhere(3, ...threads.map((i) => `${A} $root${i} → $in${i}`));
  assert.equal(folded.take("urgent"), lines(0, 1, 2, 3));
  assert.ok(folded.outbox.hasWindow);
  assert.equal(folded.take("urgent"), {});
  assert.equal(folded.take("waiting"), lines(4, 5, 6, 7));
});

outbox("sends every thread in turn when all of them move in each window", () => {
  const folded = roomOf(12);
  const sent = new Set<string>();
  let id = 1;
  for (let window = 0; window < 6; window++) {
    for (let thread = 0; thread < 12; thread++) {
      folded.fold([LIVE, event(`$e${++id}`, inThread(`$root${thread}`))]);
      folded.fold(receipt(`$e${id}`, { user: A, thread: `$root${thread}` }));
    }
    for (const line of folded.take("waiting")["s1.example"] ?? []) sent.add(line.split(" → ")[0]!);
  }
  assert.is(sent.size, 12);
});

outbox("is held for until the backlog is released, and sends it all the same", () => {
  const folded = roomOfThreads(12, 9);
  for (let i = 0; i < 9; i++) readThread(folded, i);
  folded.take("waiting");
  assert.ok(folded.outbox.oldest()! < folded.room.position);
  folded.fold(receipt("$1", { user: "@new:here.example" }));
  folded.outbox.releaseBacklog();
  assert.is(folded.outbox.oldest(), folded.room.position, "what came since the take still counts");
  assert.is(folded.take("waiting")["s1.example"]?.length, 5);
  assert.is(folded.outbox.oldest(), undefined);
  assert.is(folded.take("waiting")["s1.example"]?.length, 1);
});

outbox("takes a large lane in several parts, within one window", () => {
  const folded = roomOf(12);
  const users = TAKE_STEPS_MAX + 10;
  for (let i = 0; i < users; i++) folded.fold(receipt("$1", { user: `@${i}:here.example` }));
  const first = folded.outbox.take("waiting");
  assert.ok(first.isCut);
  assert.ok(first.dispatch!.batches.every(({ receipts }) => receipts.length <= TAKE_STEPS_MAX));
  const second = folded.outbox.take("waiting");
  assert.not(second.isCut);
  const sent = [first, second].flatMap(({ dispatch }) => dispatch!.batches.flatMap(({ receipts }) => receipts));
  assert.is(new Set(sent.map(({ user }) => user)).size, users);
});

outbox.run();
