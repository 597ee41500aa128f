/**
 * The guarantees of docs/design.md#ideas, on a real broker, for any interleaving of several senders:
 *
 * - orders follow from the log alone (F1), and the first order of an event is kept;
 * - there is one marker per (user, type, thread), and it never moves back;
 * - a restart gives the same room;
 * - the deltas alone lead to the same state as a snapshot.
 *
 * All runs share a broker. Each has its own room.
 */
import * as fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { DeltaReader, markersIn, uncovered } from "../support/delta-reader.ts";
import {
  BASE,
  type Body,
  eventually,
  message,
  receipt,
  type StoredRecord,
  startTidemark,
  type TidemarkHarness,
  token,
} from "../support/harness.ts";
import { checkAsync } from "../support/property.ts";

const RUNS = 15;
const SENDERS = 4;

type Sending = readonly [kind: "event" | "backfill" | "receipt", body: Record<string, unknown>];

const eventIds = Array.from({ length: 8 }, (_, i) => `$${i}`);
const users = ["@a:a.org", "@b:a.org", "@c:a.org"];
const anyEvent = fc.constantFrom(...eventIds);
const anyUser = fc.constantFrom(...users);

/** The first two events are thread roots. Every third event is in one of their threads. */
const event = fc.record({ id: anyEvent, sender: anyUser }).map(({ id, sender }) => {
  const index = eventIds.indexOf(id);
  const content =
    index % 3 === 2 ? { "m.relates_to": { rel_type: "m.thread", event_id: eventIds[index % 2] } } : { body: id };
  return message(id, { content, sender });
});

const acknowledgement = fc
  .record({
    user: anyUser,
    event: anyEvent,
    type: fc.constantFrom("m.read", "m.read", "m.read", "m.read.private", "m.fully_read"),
    thread: fc.constantFrom(undefined, undefined, "main", "$0", "$1"),
    ts: fc.integer({ min: 1, max: 1_000 }),
  })
  .map(({ user, event, type, thread, ts }) => {
    const threaded = thread !== undefined && type !== "m.fully_read" ? { thread_id: thread } : {};
    return receipt(user, event, { receipt_type: type, ts, ...threaded });
  });

const sending: fc.Arbitrary<Sending> = fc.oneof(
  { weight: 3, arbitrary: event.map((body) => ["event", body] as const) },
  { weight: 1, arbitrary: event.map((body) => ["backfill", body] as const) },
  { weight: 6, arbitrary: acknowledgement.map((body) => ["receipt", body] as const) },
);

/** What each sender sends, in order. Some of it is repeated, by the same sender or by others. */
const senders = fc
  .array(fc.tuple(sending, fc.array(fc.nat(SENDERS - 1), { minLength: 1, maxLength: 3 })), {
    minLength: 10,
    maxLength: 60,
    size: "max",
  })
  .map((plan) =>
    Array.from({ length: SENDERS }, (_, sender) =>
      plan.flatMap(([sending, by]) => by.filter((other) => other === sender).map(() => sending)),
    ),
  );

/** The first order of each event in the log, by F1. */
function ordersIn(records: readonly StoredRecord[]): Map<string, number> {
  const orders = new Map<string, number>();
  let greatest = BASE;
  let smallest = 0;
  for (const [kind, event] of records.flatMap(({ entries }) => entries)) {
    if (kind > 1 || orders.has(event.event_id)) continue;
    orders.set(event.event_id, kind === 0 ? ++greatest : --smallest);
  }
  return orders;
}

async function state(tidemark: TidemarkHarness, room: string): Promise<Body[]> {
  const snapshots = users.map((user_id) => tidemark.query(room, { op: "snapshot", user_id, timeline_limit: 100 }));
  const orders = tidemark.query(room, { op: "orders", event_ids: eventIds });
  const unread = users.map((user_id) => tidemark.query(room, { op: "unread", user_id }));
  return await Promise.all([...snapshots, orders, ...unread]);
}

const interleavings = suite("interleavings");

interleavings("of senders who repeat themselves give one order per event, one marker per key, one room", async () => {
  await using tidemark = await startTidemark();
  const deltas = tidemark.subscribe("tidemark.client.>");
  const own = tidemark.subscribe("tidemark.user.>");
  const rooms = new Map<string, Body[]>();

  await checkAsync(
    fc.asyncProperty(senders, async (plans) => {
      const room = `!run${rooms.size}:a.org`;
      await Promise.all(
        plans.map(async (plan) => {
          // Two at a time, so that messages of one sender can share a record, too.
          for (let at = 0; at < plan.length; at += 2) {
            await Promise.all(plan.slice(at, at + 2).map(([kind, body]) => tidemark.sent(kind, room, body)));
          }
        }),
      );
      const [last] = await tidemark.sent("event", room, message("$end"));
      await eventually(async () => (await tidemark.query(room, { op: "snapshot" })).position === last, "the fold");

      const subject = `tidemark.log.${tidemark.partitionOf(room)}.${token(room)}`;
      const records = await tidemark.records(tidemark.partitionOf(room));
      const logged = ordersIn(records.filter((record) => record.subject === subject));
      const shown = await state(tidemark, room);
      rooms.set(room, shown);
      const { orders } = shown[users.length];
      assert.equal(orders, Object.fromEntries(eventIds.map((id) => [id, logged.get(id) ?? null])));

      // $end is the last event, so all other events are published before it. Markers may follow it.
      await deltas.next((body) => body.room_id === room && body.events?.some((e: Body) => e.event_id === "$end"));
      const agrees = () => {
        const reader = new DeltaReader();
        for (const { subject, body } of deltas.messages) if (body.room_id === room) reader.read(subject, body);
        const { orders, markers } = reader.room(room);
        assert.equal([...orders].sort(), [...logged].sort());
        const inLog = [...orders].filter(([, order]) => order > 0).map(([, order]) => order);
        assert.equal(
          inLog,
          [...inLog].sort((a, b) => a - b),
          "live events are published in their order",
        );
        return JSON.stringify(uncovered(markers)) === JSON.stringify(uncovered(markersIn(shown[0].receipts)));
      };
      await eventually(agrees, `the deltas of ${room} have the same markers as its snapshot`);

      const ownAgree = () =>
        users.every((user, i) => {
          const sent = own.messages.filter(({ body }) => body.room_id === room && body.user_id === user);
          const fullyRead = sent.filter(({ body }) => body.fully_read !== undefined).at(-1)?.body.fully_read;
          const markers = new Map(sent.flatMap(({ body }) => [...markersIn(body.event?.content ?? {})]));
          const shows = [shown[i].fully_read, uncovered(markersIn(shown[i].private))];
          return JSON.stringify([fullyRead, uncovered(markers)]) === JSON.stringify(shows);
        });
      await eventually(ownAgree, `the private messages of ${room} have the same markers as each user's snapshot`);
    }),
    { numRuns: RUNS, endOnFailure: true, includeErrorInReport: true },
  );

  await tidemark.restart();
  for (const [room, before] of rooms) {
    assert.equal(await state(tidemark, room), before, `${room} is the same after a restart`);
  }
});

interleavings.run();
