/** Sync tokens: format, and what is refused. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { decodeSyncToken, encodeSyncToken } from "../../../src/gateway/sync/sync-token.ts";

const token = suite("sync token");

token("contains the marks and memberships of every partition", () => {
  const marks = [
    { sequence: 0, published: 0 },
    { sequence: 1_234_567, published: 9_007_199_254_740_991 },
    { sequence: 35, published: 36 },
  ];
  const text = encodeSyncToken(marks, [7, 0, 1_295]);
  assert.is(text, "t0.0_qglj.2gosa7pa2gv_z.10~7_0_zz");
  assert.equal(decodeSyncToken(text, 3, "since"), { marks, memberships: [7, 0, 1_295] });
});

token("is parsed by a gateway that did not write it", () => {
  assert.equal(decodeSyncToken("t1.2_zz.10~3_6", 2, "since"), {
    marks: [
      { sequence: 1, published: 2 },
      { sequence: 1_295, published: 36 },
    ],
    memberships: [3, 6],
  });
});

token("is refused if it is malformed or has another partition count", () => {
  const good = "t1.2_4.5~3_6";
  assert.is(decodeSyncToken(good, 2, "since").marks.length, 2);
  for (const bad of [
    "",
    "t",
    "t~",
    "x1.2_4.5~3_6",
    "t1.2~3",
    "t1.2_4.5",
    "t1.2_4.5~",
    "t1.2_4.5~3",
    "t1.2~3_6",
    "t1.2_4.5_7.8~3_6_9",
    "t1.2_4~3_6",
    "t1.2_4.5~3_6.7",
    "t1.2_4.~3_6",
    "t1.2_4.5~3_6~9",
    "t1.2_4.5~3_A",
    "t1.2_4.5~3_-6",
    "t1.2_4.zzzzzzzzzzzzz~3_6",
    `${good}\n`,
  ]) {
    assert.throws(() => decodeSyncToken(bad, 2, "from"), /from: is not a token of this server/, bad);
  }
});

token.run();
