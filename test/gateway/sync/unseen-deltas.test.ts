/** What a gateway takes of deltas that two workers publish at once (docs/design.md#what-is-published). */
import * as fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Delta } from "../../../src/bus/contract/messages.ts";
import { UnseenDeltas } from "../../../src/gateway/sync/unseen-deltas.ts";
import { liveEvents, orderedEvent } from "../../support/deltas.ts";
import { check } from "../../support/property.ts";

const ROOM = "!r:a.org";

const events = (position: number, ...orders: number[]) =>
  liveEvents(
    ROOM,
    orders.map((order) => orderedEvent(order)),
    { position },
  );
const receipts = (position: number) => ({ type: "receipts", room_id: ROOM, position }) as unknown as Delta;
const own = (position: number, user: string) =>
  ({ type: "private", room_id: ROOM, user_id: user, position }) as unknown as Delta;

const ordersOf = (delta: Delta | undefined) =>
  delta?.type === "events" ? delta.events.map(({ unsigned }) => unsigned.order) : undefined;

const unseen = suite("unseen deltas");

unseen("a position that is known is dropped, for each subject and room alone", () => {
  const seen = new UnseenDeltas();
  for (const delta of [events(5, 1), receipts(4), own(3, "@a:x"), own(3, "@b:x")]) {
    assert.is(seen.unseen(delta, 0), delta);
    assert.is(seen.unseen(delta, 0), undefined);
  }
  assert.is(seen.unseen(receipts(3), 0), undefined, "a worker that was paused goes on");
  assert.ok(seen.unseen({ ...receipts(3), room_id: "!other:x" } as unknown as Delta, 0));
});

unseen("what is published already is dropped, also of rooms that are not known here", () => {
  const seen = new UnseenDeltas();
  assert.is(seen.unseen(receipts(5), 5), undefined);
  assert.ok(seen.unseen(receipts(6), 5));
});

unseen("positions of another log count from the start", () => {
  const seen = new UnseenDeltas();
  seen.unseen(events(9, 7), 0);
  seen.restart();
  assert.equal(ordersOf(seen.unseen(events(3, 2), 0)), [2]);
});

unseen("of workers that gather differently, each event is taken once, in its order", () => {
  const cuts = fc.uniqueArray(fc.integer({ min: 1, max: 19 }), { maxLength: 6 });
  const messages = (ends: number[]): Delta[] =>
    [...ends, 20]
      .sort((a, b) => a - b)
      .map((end, i, all) => {
        const first = i === 0 ? 1 : all[i - 1]! + 1;
        return events(100 + end, ...Array.from({ length: end - first + 1 }, (_, n) => first + n));
      });
  const merged = fc.tuple(cuts, cuts, fc.infiniteStream(fc.boolean())).map(([a, b, takesFirst]) => {
    const [one, other] = [messages(a), messages(b)];
    const all: Delta[] = [];
    while (one.length + other.length > 0) {
      const from = other.length === 0 || (one.length > 0 && takesFirst.next().value) ? one : other;
      all.push(from.shift()!);
    }
    return all;
  });
  check(
    fc.property(merged, (deltas) => {
      const seen = new UnseenDeltas();
      const taken = deltas.flatMap((delta) => ordersOf(seen.unseen(delta, 0)) ?? []);
      assert.equal(
        taken,
        Array.from({ length: 20 }, (_, n) => n + 1),
      );
    }),
    { numRuns: 200 },
  );
});

unseen.run();
