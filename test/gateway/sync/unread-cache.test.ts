/** The cache of unread counts: what it keeps, and what it costs. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Answer } from "../../../src/bus/contract/questions.ts";
import { type CountsByRoom, UnreadCache } from "../../../src/gateway/sync/unread-cache.ts";
import type { RoomId } from "../../../src/matrix/ids.ts";
import { usedBytes } from "../../support/heap.ts";

const BOUND = 8_388_608;
const room = (n: number) => `!${n}:a.org` as RoomId;

function countsOf(threads: number, n: number): Answer<"unread"> {
  const each = Array.from({ length: threads }, (_, i) => [`$${n}.${i}${"x".repeat(36)}`, { count: 1 }]);
  return { unthreaded: { count: threads }, main: { count: 0 }, threads: Object.fromEntries(each) };
}

const unreadCache = suite("unread cache");

unreadCache("counts are kept until they are deleted, or others need their place", () => {
  const cache = new UnreadCache(10_000);
  const [alice, bob]: CountsByRoom[] = [new Map(), new Map()];
  const counts = countsOf(1, 1);
  cache.set(alice!, room(1), counts);
  assert.is(cache.get(alice!, room(1)), counts);
  assert.is(cache.get(bob!, room(1)), undefined);
  cache.delete(alice!, room(1));
  assert.is(cache.get(alice!, room(1)), undefined);
  for (let n = 0; n < 100; n++) cache.set(bob!, room(n), countsOf(1, n));
  assert.is(cache.get(bob!, room(0)), undefined);
  assert.ok(cache.get(bob!, room(99)));
  cache.set(alice!, room(1), countsOf(1_000, 1));
  assert.is(cache.get(alice!, room(1)), undefined, "larger than the cache");
  assert.is(alice!.size, 0);
});

for (const threads of [0, 10, 2_000]) {
  unreadCache(`counts of ${threads} threads cost what they may cost`, () => {
    const before = usedBytes();
    const cache = new UnreadCache(BOUND);
    const users: CountsByRoom[] = Array.from({ length: 100 }, () => new Map());
    for (let n = 0; n < 20_000 / Math.max(1, threads / 10); n++) {
      cache.set(users[n % users.length]!, room(Math.floor(n / users.length)), countsOf(threads, n));
    }
    const grown = usedBytes() - before;
    assert.ok(grown < 1.25 * BOUND, `${grown} bytes`);
    assert.ok(grown > 0.4 * BOUND, `${grown} bytes: it could keep more`);
    assert.ok(users.some((user) => user.size > 0));
  });
}

unreadCache.run();
