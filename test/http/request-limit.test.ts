/** Limits of requests per user, and of wrong secrets per network. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { RequestLimit } from "../../src/http/request-limit.ts";
import { networkOf } from "../../src/http/wrong-secrets.ts";
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

limit("an address stands for its network", () => {
  for (const [ip, network] of [
    ["192.0.2.7", "192.0.2.7"],
    ["::ffff:192.0.2.7", "192.0.2.7"],
    ["::1", "0:0:0:0"],
    ["2001:db8::1", "2001:db8:0:0"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2"],
    ["2001:db8::2:3:4:5:6", "2001:db8:0:2"],
  ] as const) {
    assert.is(networkOf(ip), network, ip);
  }
});

limit.run();
