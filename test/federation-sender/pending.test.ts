/** Receipts that wait for one server, loaded into transactions. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { PendingReceipts } from "../../src/federation-sender/pending.ts";
import { EDUS_PER_TRANSACTION_MAX } from "../../src/limits.ts";
import type { EventId, RoomId, UserId } from "../../src/matrix/ids.ts";
import { type FederatedReceipt, packEdus, receiptsIn } from "../../src/matrix/receipt-edu.ts";
import { turnsDuring } from "../support/turns.ts";

const receipts = (count: number, event = "$e"): FederatedReceipt[] =>
  Array.from({ length: count }, (_, i) => ({
    room: `!r${i % 7}:a` as RoomId,
    user: `@user-${i}:a` as UserId,
    thread: null,
    event: event as EventId,
    ts: i,
  }));

function pendingOf(given: readonly FederatedReceipt[]): PendingReceipts {
  const pending = new PendingReceipts();
  let sequence = 0;
  for (const { edu } of packEdus(given)) pending.add(edu, ++sequence);
  return pending;
}

const pendingReceipts = suite("pending receipts");

pendingReceipts("are loaded over many turns, all of them", async () => {
  const given = receipts(20_000);
  const pending = pendingOf(given);
  const { result, turns } = await turnsDuring(() => pending.load());
  assert.ok(turns >= 15, `${turns} turns`);
  assert.is(result.edus.flatMap((edu) => [...receiptsIn(edu)]).length, given.length);
  pending.settle(result);
  assert.is(pending.size, 0);
});

pendingReceipts("beyond a transaction wait for the next, those that wait longest first", async () => {
  const given = receipts(50_000, `$${"e".repeat(150)}`);
  const pending = pendingOf(given);
  const sizes: number[] = [];
  while (pending.size > 0) {
    const load = await pending.load();
    assert.ok(load.edus.length <= EDUS_PER_TRANSACTION_MAX);
    if (sizes.length === 0) assert.is(load.waiting[0]?.receipt.user, given[0]?.user);
    sizes.push(load.waiting.length);
    pending.settle(load);
  }
  assert.is(sizes.length, 2);
  assert.is(
    sizes.reduce((sum, size) => sum + size),
    given.length,
  );
});

pendingReceipts("that are replaced while they are loaded stay pending", async () => {
  const given = receipts(3_000);
  const pending = pendingOf(given);
  const loading = pending.load();
  const [{ edu }] = packEdus(receipts(1, "$later")) as [ReturnType<typeof packEdus>[number]];
  pending.add(edu, 99);
  const load = await loading;
  assert.is(load.waiting.length, given.length);
  pending.settle(load);
  const { edus } = await pending.load();
  assert.equal(
    edus.flatMap((each) => [...receiptsIn(each)].map(({ event }) => event)),
    ["$later"],
  );
});

pendingReceipts.run();
