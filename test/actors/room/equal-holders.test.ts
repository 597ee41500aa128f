/** The holder whose oldest receipt is oldest, however holders come and go. */
import * as fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { EqualHolders } from "../../../actors/room/equal-holders.ts";
import { check } from "../../support/property.ts";

const holders = suite("holders of equally many receipts");

holders("are given by their oldest receipt, like by a search of all", () => {
  const names = ["a", "b", "c", "d", "e"];
  const step = fc.record({ holder: fc.constantFrom(...names), oldest: fc.nat(1_000), leaves: fc.boolean() });
  check(
    fc.property(fc.array(step, { maxLength: 400, size: "max" }), (steps) => {
      const equal = new EqualHolders();
      const naive = new Map<string, number>();
      for (const { holder, oldest, leaves } of steps) {
        if (leaves) {
          equal.delete(holder);
          naive.delete(holder);
        } else if (!naive.has(holder) && ![...naive.values()].includes(oldest)) {
          equal.add(holder, oldest);
          naive.set(holder, oldest);
        }
        assert.is(equal.size, naive.size);
        const [first] = [...naive].sort(([, a], [, b]) => a - b);
        assert.is(equal.first(), first?.[0]);
      }
    }),
  );
});

holders("that leave are not kept for ever", () => {
  const equal = new EqualHolders();
  for (let i = 0; i < 100_000; i++) {
    equal.add(`${i}`, i);
    if (i >= 10) equal.delete(`${i - 10}`);
    if (i > 99_000) assert.is(equal.first(), `${i - 9}`);
  }
  assert.is(equal.size, 10);
});

holders.run();
