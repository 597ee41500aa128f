/** Receipts: batched into requests on the way in, merged into one content on the way out. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Frontend } from "../../src/frontend/frontend.ts";
import { RECEIPTS_PER_REQUEST_MAX, ReceiptBatches } from "../../src/gateway/receipt-batches.ts";
import { mergeReceipts } from "../../src/gateway/sync/receipt-merge.ts";
import type { EventId, RoomId, UserId } from "../../src/matrix/ids.ts";
import type { ReceiptContent } from "../../src/matrix/receipt.ts";

const ALICE = "@alice:a.org" as UserId;
const ROOM = "!r:a.org" as RoomId;

const merged = suite("merged receipts");

const content = (event: string, order: number, more: { thread_id?: string } = {}, user = ALICE, type = "m.read") =>
  ({ [event]: { [type]: { [user]: { ts: 1, order, ...more } } } }) as unknown as ReceiptContent;

merged("the last receipt of each user, type and thread is kept", () => {
  const all = mergeReceipts([
    content("$1", 1),
    content("$1", 1, { thread_id: "main" }),
    content("$1", 1, {}, "@bob:a.org" as UserId),
    content("$1", 1, {}, ALICE, "m.read.private"),
    content("$2", 2),
  ]);
  assert.equal(all, {
    $1: {
      "m.read": { [ALICE]: { ts: 1, order: 1, thread_id: "main" }, "@bob:a.org": { ts: 1, order: 1 } },
      "m.read.private": { [ALICE]: { ts: 1, order: 1 } },
    },
    $2: { "m.read": { [ALICE]: { ts: 1, order: 2 } } },
  });
});

merged("of an unthreaded and a threaded receipt on one event, the unthreaded one is kept, in either order", () => {
  const unthreaded = content("$1", 1);
  const threaded = content("$1", 1, { thread_id: "main" });
  assert.equal(mergeReceipts([unthreaded, threaded]), unthreaded);
  assert.equal(mergeReceipts([threaded, unthreaded]), unthreaded);
});

merged.run();

const batches = suite("receipt batches");

const receipt = (n: number) => ({ user_id: ALICE, receipt_type: "m.read" as const, event_id: `$${n}` as EventId });

batches("receipts of one turn are sent as one request per room, up to the maximum", async () => {
  const sent: [room: string, count: number][] = [];
  const frontend = {
    send: async (_: string, room: RoomId, receipts: unknown[]) => void sent.push([room, receipts.length]),
  };
  const outgoing = new ReceiptBatches(frontend as unknown as Frontend);
  const all = Array.from({ length: RECEIPTS_PER_REQUEST_MAX + 1 }, (_, n) => outgoing.send(ROOM, [receipt(n)]));
  all.push(outgoing.send("!other:a.org" as RoomId, [receipt(0)]));
  await Promise.all(all);
  assert.equal(sent, [
    [ROOM, RECEIPTS_PER_REQUEST_MAX],
    [ROOM, 1],
    ["!other:a.org", 1],
  ]);
  await outgoing.send(ROOM, [receipt(0)]);
  assert.is(sent.length, 4);
});

batches("a failed request fails all of its receipts", async () => {
  const failing = { send: () => Promise.reject(new Error("not stored")) };
  const outgoing = new ReceiptBatches(failing as unknown as Frontend);
  const results = await Promise.allSettled([outgoing.send(ROOM, [receipt(0)]), outgoing.send(ROOM, [receipt(1)])]);
  assert.equal(
    results.map(({ status }) => status),
    ["rejected", "rejected"],
  );
});

batches.run();
