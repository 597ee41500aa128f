import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { EventId, RoomId, ThreadId, UserId } from "../../src/matrix/ids.ts";
import { eduItem, type FederatedReceipt, packEdus, receiptKey, receiptsIn } from "../../src/matrix/receipt-edu.ts";
import { refuses } from "../support/faults.ts";
import { check } from "../support/property.ts";

const BYTES_MAX = 65_536;

interface Fields {
  readonly room?: string;
  readonly user?: string;
  readonly thread?: string | null;
  readonly event?: string;
}

const receipt = ({ room = "!r:a", user = "@u:a", thread = null, event = "$e" }: Fields): FederatedReceipt => ({
  room: room as RoomId,
  user: user as UserId,
  thread: thread as ThreadId | null,
  event: event as EventId,
  ts: 1,
});

const contents = (receipts: readonly FederatedReceipt[]) => packEdus(receipts).map(({ edu }) => edu.content);

const edu = suite("receipt EDU");

edu("has many rooms and users, and no orders", () => {
  const item = { event_ids: ["$e"], data: { ts: 1 } };
  assert.equal(packEdus([receipt({}), receipt({ user: "@v:a" }), receipt({ room: "!s:a", thread: "main" })])[0]?.edu, {
    edu_type: "m.receipt",
    content: {
      "!r:a": { "m.read": { "@u:a": item, "@v:a": item } },
      "!s:a": { "m.read": { "@u:a": { event_ids: ["$e"], data: { ts: 1, thread_id: "main" } } } },
    },
  } as never);
});

edu("has one receipt per user and room, so further threads need further EDUs", () => {
  const packed = contents([
    receipt({ event: "$1" }),
    receipt({ event: "$2", thread: "main" }),
    receipt({ event: "$3", thread: "$t" }),
    receipt({ event: "$4", user: "@v:a", thread: "$t" }),
  ]);
  assert.is(packed.length, 3);
  assert.equal(Object.keys(packed[0]!["!r:a" as RoomId]!["m.read"]), ["@u:a", "@v:a"]);
});

edu("stays under 64 KB as JSON, and is nearly full before the next one starts", () => {
  const receipts = Array.from({ length: 3_000 }, (_, i) =>
    receipt({ user: `@"ü${i}:${"a".repeat(i % 90)}.example`, event: `$${"e".repeat(43)}` }),
  );
  const sizes = contents(receipts).map((content) =>
    Buffer.byteLength(JSON.stringify({ edu_type: "m.receipt", content })),
  );
  assert.ok(
    sizes.every((size) => size < BYTES_MAX),
    `${sizes}`,
  );
  assert.ok(
    sizes.slice(0, -1).every((size) => size > BYTES_MAX - 1_000),
    `${sizes}`,
  );
});

edu("for a thousand threads of one user is split into a thousand EDUs", () => {
  const receipts = Array.from({ length: 1_000 }, (_, i) => receipt({ thread: `$${i}` }));
  assert.is(contents(receipts).length, 1_000);
});

const anyReceipt = fc.record({
  room: fc.constantFrom("!r:a", "!s:a", "!t:a"),
  user: fc.constantFrom("@u:a", "@v:a", "@w:a", `@${"x".repeat(200)}:a`),
  thread: fc.constantFrom(null, "main", "$t", "$u"),
  event: fc.nat(5).map((i) => `$${i}`),
});

edu("has the same receipts after packing and unpacking, each once", () => {
  check(
    fc.property(fc.array(anyReceipt), (all) => {
      const receipts = [...new Map(all.map(receipt).map((one) => [receiptKey(one), one])).values()];
      const packed = packEdus(receipts);
      const said = packed.flatMap(({ edu }) => [...receiptsIn(edu)]);
      const sorted = (list: readonly FederatedReceipt[]) => list.map((one) => JSON.stringify(one)).sort();
      assert.equal(sorted(said), sorted(receipts));
      for (const { edu, receipts } of packed) assert.equal(sorted([...receiptsIn(edu)]), sorted(receipts));
    }),
  );
});

const ITEM = { event_ids: ["$a"], data: { ts: 5 } };

const item = suite("schema of EDU items");

item("accepts one event id, a time, and a thread", () => {
  assert.equal(eduItem.parse(ITEM), ITEM);
  const threaded = { event_ids: ["$a"], data: { ts: 5, thread_id: "main" } };
  assert.equal(eduItem.parse(threaded), threaded);
});

item("drops other keys, so an order never crosses federation", () => {
  assert.equal(eduItem.parse({ ...ITEM, order: 1, data: { ts: 5, order: 9 } }), ITEM);
});

item("names the field and the reason", () => {
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

edu("has one key for each (room, user, thread), also with spaces in ids", () => {
  const keys = [
    receiptKey(receipt({ room: "!a", user: "@b:x", thread: "$t @c:y " })),
    receiptKey(receipt({ room: "!a @b:x $t", user: "@c:y", thread: null })),
  ];
  assert.is(new Set(keys).size, 2);
});

edu.run();
item.run();
