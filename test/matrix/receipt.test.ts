import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type ReceiptContent, receiptItems } from "../../src/matrix/receipt.ts";

const content = suite("the content of an m.receipt event");

content("is split into its receipts", () => {
  const bob = { ts: 5, order: 1_024, thread_id: "main" as const };
  const shown: ReceiptContent = {
    $a: { "m.read": { "@bob:a.org": bob }, "m.read.private": { "@eve:a.org": { ts: 6, order: 0 } } },
    $b: { "m.read": {} },
  };
  assert.equal(
    [...receiptItems(shown)],
    [
      { event: "$a", type: "m.read", user: "@bob:a.org", data: bob },
      { event: "$a", type: "m.read.private", user: "@eve:a.org", data: { ts: 6, order: 0 } },
    ],
  );
});

content.run();
