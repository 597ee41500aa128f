/** Items of requests, as declared in the contract (docs/design.md#requests). */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { REQUESTS, receiptRequest } from "../../../src/bus/contract/requests.ts";
import { fault, refuses } from "../../support/faults.ts";

const RECEIPT = { user_id: "@a:example.org", receipt_type: "m.read", event_id: "$a" };

const request = suite("receipt schema");

request("accepts a receipt, with every key it may have", () => {
  assert.equal(receiptRequest.parse(RECEIPT), RECEIPT);
  for (const thread_id of ["main", "$root"]) {
    const full = { ...RECEIPT, thread_id, ts: 5 };
    assert.equal(receiptRequest.parse(full), full);
  }
});

request("accepts every receipt type, and no thread with m.fully_read", () => {
  for (const receipt_type of ["m.read", "m.read.private", "m.fully_read"]) {
    assert.is(fault(receiptRequest, { ...RECEIPT, receipt_type }), "accepted");
  }
  const fullyRead = { ...RECEIPT, receipt_type: "m.fully_read", thread_id: "main" };
  assert.is(fault(receiptRequest, fullyRead), "thread_id: is not allowed with m.fully_read");
});

request("takes null for an optional key as absent, and any number as a time", () => {
  assert.equal(receiptRequest.parse({ ...RECEIPT, thread_id: null, thread_known: null, ts: null }), RECEIPT);
  assert.equal(receiptRequest.parse({ ...RECEIPT, ts: 1.5 }).ts, 1);
  assert.equal(receiptRequest.parse({ ...RECEIPT, ts: 2 ** 60 }).ts, Number.MAX_SAFE_INTEGER);
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
    [{ ...RECEIPT, thread_id: "" }, 'thread_id: must be "main" or the event id of a thread root'],
    [{ ...RECEIPT, ts: "now" }, "ts: must be a number of milliseconds"],
  ]);
});

request("has a thread, or says that it is unknown, but not both", () => {
  const unknown = { ...RECEIPT, thread_known: false };
  assert.equal(receiptRequest.parse(unknown), unknown);
  refuses(receiptRequest, [
    [{ ...RECEIPT, thread_known: true }, "thread_known: must be false where it is given"],
    [{ ...unknown, thread_id: "main" }, "thread_known: is not allowed with thread_id"],
  ]);
});

const state = suite("state event schema");

state("requires a state key", () => {
  const event = { event_id: "$a", type: "m.room.name", sender: "@a:a", origin_server_ts: 5, content: {} };
  refuses(REQUESTS.state.item, [
    [event, "state_key: is missing, so this is no state event"],
    [{ ...event, state_key: 7 }, "state_key: must be a state key"],
    [{ ...event, state_key: "k".repeat(256) }, "state_key: must be at most 255 characters"],
  ]);
  assert.is(fault(REQUESTS.state.item, { ...event, state_key: "" }), "accepted");
});

request.run();
state.run();
