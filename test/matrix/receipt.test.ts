import { suite } from "uvu";
import * as assert from "uvu/assert";
import type * as z from "zod";
import { eduItem, receiptRequest } from "../../src/matrix/receipt.ts";

const RECEIPT = { user_id: "@a:example.org", receipt_type: "m.read", event_id: "$a" };
const ITEM = { event_ids: ["$a"], data: { ts: 5 } };

/** `field: reason` of the first fault. */
function fault(schema: z.ZodType, value: unknown): string {
  const [issue] = schema.safeParse(value).error?.issues ?? [];
  return issue === undefined ? "accepted" : `${issue.path.join(".")}: ${issue.message}`;
}

function refuses(schema: z.ZodType, faults: readonly (readonly [unknown, string])[]): void {
  for (const [value, expected] of faults) {
    const actual = fault(schema, value);
    assert.ok(actual.startsWith(expected), `${actual} is not ${expected}`);
  }
}

const request = suite("the receipt schema");

request("accepts a receipt, with every key it may have", () => {
  assert.equal(receiptRequest.parse(RECEIPT), RECEIPT);
  for (const thread_id of ["main", "$root"]) {
    const full = { ...RECEIPT, thread_id, ts: 5 };
    assert.equal(receiptRequest.parse(full), full);
  }
});

request("accepts the three types, and no thread with m.fully_read", () => {
  for (const receipt_type of ["m.read", "m.read.private", "m.fully_read"]) {
    assert.is(fault(receiptRequest, { ...RECEIPT, receipt_type }), "accepted");
  }
  const fullyRead = { ...RECEIPT, receipt_type: "m.fully_read", thread_id: "main" };
  assert.is(fault(receiptRequest, fullyRead), "thread_id: is not allowed with m.fully_read");
});

request("drops other keys", () => {
  assert.equal(receiptRequest.parse({ ...RECEIPT, origin: "evil.example", order: 9 }), RECEIPT);
});

request("names the field and the reason", () => {
  refuses(receiptRequest, [
    [null, ": must be a receipt (an object)"],
    [[RECEIPT], ": must be a receipt (an object)"],
    [{}, "user_id: must be a user id"],
    [{ ...RECEIPT, user_id: "a" }, "user_id: must be a user id"],
    [{ ...RECEIPT, receipt_type: "m.unread" }, "receipt_type: must be m.read, m.read.private or m.fully_read"],
    [{ ...RECEIPT, receipt_type: "__proto__" }, "receipt_type: must be m.read, m.read.private or m.fully_read"],
    [{ ...RECEIPT, event_id: "a" }, "event_id: must be an event id"],
    [{ ...RECEIPT, thread_id: null }, 'thread_id: must be "main" or the event id of a thread root'],
    [{ ...RECEIPT, thread_id: "" }, 'thread_id: must be "main" or the event id of a thread root'],
    [{ ...RECEIPT, ts: "now" }, "ts: must be an integer of milliseconds"],
    [{ ...RECEIPT, ts: 1.5 }, "ts: must be an integer of milliseconds"],
  ]);
});

const edu = suite("the schema of an EDU's item");

edu("accepts one event id, a time, and a thread", () => {
  assert.equal(eduItem.parse(ITEM), ITEM);
  const threaded = { event_ids: ["$a"], data: { ts: 5, thread_id: "main" } };
  assert.equal(eduItem.parse(threaded), threaded);
});

edu("drops other keys: an order never crosses federation", () => {
  assert.equal(eduItem.parse({ ...ITEM, order: 1, data: { ts: 5, order: 9 } }), ITEM);
});

edu("names the field and the reason", () => {
  refuses(eduItem, [
    [7, ": must be an object"],
    [{ data: ITEM.data }, "event_ids: must be an array of exactly one event id"],
    [{ ...ITEM, event_ids: [] }, "event_ids: must be an array of exactly one event id"],
    [{ ...ITEM, event_ids: ["$a", "$b"] }, "event_ids: must be an array of exactly one event id"],
    [{ ...ITEM, event_ids: ["a"] }, "event_ids.0: must be an event id"],
    [{ event_ids: ["$a"] }, "data: must be an object"],
    [{ ...ITEM, data: {} }, "data.ts: must be an integer of milliseconds"],
    [{ ...ITEM, data: { ts: 5, thread_id: 1 } }, 'data.thread_id: must be "main"'],
  ]);
});

request.run();
edu.run();
