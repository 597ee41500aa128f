/** The markers of one user, against a map by slot: however many there are, and in whatever order they come and go. */
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Marker } from "../../../actors/room/marker.ts";
import { UserMarkers } from "../../../actors/room/user-markers.ts";
import type { EventId, ThreadId } from "../../../src/matrix/ids.ts";
import { RECEIPT_TYPES } from "../../../src/matrix/receipt-types.ts";
import { BOB } from "../../support/example-room.ts";
import { check } from "../../support/property.ts";

const THREADS = [null, "main", ...Array.from({ length: 8 }, (_, n) => `$root${n}`)] as (ThreadId | null)[];

const marker = fc
  .record({
    type: fc.constantFrom(...RECEIPT_TYPES),
    thread: fc.constantFrom(...THREADS),
    order: fc.integer({ min: -3, max: 30 }),
    isInferred: fc.boolean(),
  })
  .map(({ type, thread, order, isInferred }): Marker => {
    const known = { user: BOB, type, thread, event: `$${order}` as EventId, order, ts: 1, position: order };
    return isInferred && thread !== null ? { ...known, inferred: true } : known;
  });

const slotOf = ({ type, thread, inferred }: Marker) => `${type} ${thread} ${inferred}`;
const bySlot = (markers: Iterable<Marker>) => [...markers].sort((a, b) => (slotOf(a) < slotOf(b) ? -1 : 1));

const markers = suite("markers of a user");

markers("are those that were set last and not deleted, by slot", () => {
  const step = fc.record({ marker, isDeleted: fc.boolean() });
  check(
    fc.property(fc.array(step, { maxLength: 80 }), marker, (steps, other) => {
      const found = new UserMarkers(0, []);
      const expected = new Map<string, Marker>();
      for (const { marker, isDeleted } of steps) {
        if (isDeleted) {
          found.delete(marker);
          expected.delete(slotOf(marker));
        } else {
          found.set(marker);
          expected.set(slotOf(marker), marker);
        }
      }
      assert.equal(bySlot(found), bySlot(expected.values()));
      for (const { marker } of steps) {
        const { type, thread, inferred } = marker;
        const got = inferred ? found.inferred(type, thread!) : found.get(type, thread);
        assert.is(got, expected.get(slotOf(marker)));
      }
      const superseded = [...expected.values()].filter(
        ({ type, thread, order, inferred }) =>
          inferred === true &&
          type === other.type &&
          (other.thread === null || thread === other.thread) &&
          order <= other.order,
      );
      assert.equal(bySlot(found.superseded(other)), bySlot(superseded));
    }),
  );
});

markers.run();
