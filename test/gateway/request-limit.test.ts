/** The request limit per user. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { RequestLimit } from "../../src/gateway/request-limit.ts";
import type { UserId } from "../../src/matrix/ids.ts";

const ALICE = "@alice:a.org" as UserId;
const BOB = "@bob:a.org" as UserId;

const limit = suite("request limit");

limit("each user has a maximum per window, and the full maximum again in the next one", () => {
  let now = 5_000;
  const requests = new RequestLimit({ max: 2, windowMs: 1_000, now: () => now });
  assert.is(requests.take(ALICE), undefined);
  assert.is(requests.take(ALICE), undefined);
  now += 300;
  assert.is(requests.take(ALICE), 700);
  assert.is(requests.take(BOB), undefined);
  now += 699;
  assert.is(requests.take(ALICE), 1);
  now += 1;
  assert.is(requests.take(ALICE), undefined);
});

limit.run();
