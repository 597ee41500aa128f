/**
 * What is published when clocks are wrong (docs/design.md#what-is-published): by hours or days, or running backwards. Ingress has
 * the only clock that a test sets; what a worker publishes depends on none.
 */
import { join } from "node:path";
import * as fc from "fast-check";
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Entry, lastPositionOf, type PlacedRecord, positionOf } from "../../actors/entry.ts";
import { Room } from "../../actors/room/room.ts";
import { Rooms } from "../../actors/room/rooms.ts";
import { prepareBus } from "../../src/bus/streams.ts";
import { Ingress } from "../../src/ingress/ingress.ts";
import { DELTAS_AGE_MS } from "../../src/limits.ts";
import type { RoomId } from "../../src/matrix/ids.ts";
import { verify } from "../../src/replay/verify.ts";
import { start } from "../../src/start.ts";
import { Publisher } from "../../src/worker/publisher.ts";
import { UnmarkedLog } from "../../src/worker/unmarked-log.ts";
import { Worker } from "../../src/worker/worker.ts";
import { FakeBroker } from "../support/acked.ts";
import { live } from "../support/entries.ts";
import { failure } from "../support/failure.ts";
import { type BusHarness, eventually, message, receipt, startBus } from "../support/harness.ts";
import { checkAsync } from "../support/property.ts";

const HOUR = 3_600_000;
const NOW = 1_700_000_000_000;
const ROOM = "!clocks:a.org";
const log = pino({ level: "silent" });

/** A worker whose checkpoints are in a folder of this name. */
function startWorker(bus: BusHarness, name: string) {
  return start({
    nats: bus.url,
    data: join(bus.dir, name),
    http: { host: "127.0.0.1", port: 0 },
    roles: new Set(["worker"]),
    partitions: 1,
    log,
  });
}

/** An ingress with a clock of its own, which a test sets. */
async function startIngress(bus: BusHarness, clock: { now: number }) {
  const ingress = new Ingress({ nc: bus.nc, partitions: 1, log, now: () => clock.now });
  await bus.nc.flush();
  return { [Symbol.asyncDispose]: () => ingress.drain() };
}

/** The ids of published events, in the order of their messages. */
function publishedEvents(bus: BusHarness) {
  const { messages } = bus.subscribe("tidemark.client.*.*.events");
  return () => messages.flatMap(({ body }) => body.events.map(({ event_id: id }: { event_id: string }) => id));
}

/** Removes what the streams and the bucket of leases say about what is published. */
async function forgetDeltasAndLeases({ jsm }: BusHarness): Promise<void> {
  await jsm.streams.purge("TIDEMARK_DELTAS_0");
  await jsm.streams.purge("KV_tidemark_leases");
}

const clocks = suite("clocks");

// E21
clocks(
  "an ingress that is 25 hours behind, or three days ahead, has everything published, over restarts, too",
  async () => {
    await using bus = await startBus();
    const published = publishedEvents(bus);
    const clock = { now: Date.now() + 72 * HOUR };
    let worker = await startWorker(bus, "first");
    await using _ingress = await startIngress(bus, clock);
    const sent: string[] = [];
    for (const aheadMs of [72 * HOUR, 0, -25 * HOUR, 25 * HOUR, -1_000 * HOUR]) {
      clock.now = Date.now() + aheadMs;
      sent.push(`$${aheadMs}`);
      await bus.sent("event", ROOM, message(sent.at(-1)!));
      await eventually(() => published().length === sent.length, `the event of a clock that is ${aheadMs} ms ahead`);
      await worker.stop();
      // While nobody owns the partition.
      sent.push(`$away${aheadMs}`);
      await bus.sent("event", ROOM, message(sent.at(-1)!));
      worker = await startWorker(bus, "first");
    }
    await eventually(() => published().length === sent.length, "the last event");
    assert.equal(published(), sent);
    await verify(bus.nc, {});
    await bus.jsm.streams.deleteMessage("TIDEMARK_DELTAS_0", sent.length);
    await bus.sent("receipt", ROOM, receipt("@bob:a.org", sent[0]!));
    assert.match(
      await failure(verify(bus.nc, { waitMs: 100 })),
      /events changed at position \d+, and are published through/,
    );
    await worker.stop();
  },
);

clocks("an ingress whose clock is before 1970 stores receipts, with the time 0", async () => {
  await using bus = await startBus();
  const { messages } = bus.subscribe("tidemark.client.*.*.receipts");
  const worker = await startWorker(bus, "first");
  await using _ingress = await startIngress(bus, { now: -5 });
  await bus.sent("event", ROOM, message("$1"));
  const { ts: _, ...timeless } = receipt("@bob:a.org", "$1");
  await bus.sent("receipt", ROOM, timeless);
  await eventually(() => messages.length === 1, "the receipt");
  assert.is(messages[0]!.body.event.content.$1["m.read"]["@bob:a.org"].ts, 0);
  await worker.stop();
});

clocks("a worker without a store publishes nothing of a quiet partition again", async () => {
  await using bus = await startBus();
  const published = publishedEvents(bus);
  const first = await startWorker(bus, "first");
  await using _ingress = await startIngress(bus, { now: Date.now() });
  await bus.sent("event", ROOM, [message("$1"), message("$2")]);
  await eventually(() => published().length === 2, "the deltas");
  await first.stop();
  await forgetDeltasAndLeases(bus);

  const second = await startWorker(bus, "second");
  await bus.sent("event", ROOM, message("$3"));
  await eventually(() => published().includes("$3"), "the next delta");
  assert.equal(published(), ["$1", "$2", "$3"]);
  await second.stop();
});

clocks("without a mark, publishing begins a day before the newest record, by the clocks of the records", async () => {
  await using bus = await startBus();
  const published = publishedEvents(bus);
  const clock = { now: NOW };
  const first = await startWorker(bus, "first");
  await using _ingress = await startIngress(bus, clock);
  for (const ageMs of [30 * HOUR, 24 * HOUR + 1, 24 * HOUR, 26 * HOUR, 0]) {
    clock.now = NOW - ageMs;
    await bus.sent("event", ROOM, message(`$${ageMs}`));
  }
  await eventually(() => published().length === 5, "the deltas");
  await first.stop();
  await forgetDeltasAndLeases(bus);
  await bus.jsm.streams.purge("KV_tidemark_published");

  const second = await startWorker(bus, "second");
  await eventually(() => published().length === 8, "the deltas of the last day");
  await bus.sent("event", ROOM, message("$next"));
  await eventually(() => published().includes("$next"), "the next delta");
  const ofLastDay = [24 * HOUR, 26 * HOUR, 0].map((ageMs) => `$${ageMs}`);
  assert.equal(published().slice(5), [...ofLastDay, "$next"]);
  await verify(bus.nc, {});
  await second.stop();
});

clocks("a mark beyond the end of the log is not believed, and does not hold back what comes", async () => {
  await using bus = await startBus();
  const published = publishedEvents(bus);
  const first = await startWorker(bus, "first");
  await first.stop();
  await forgetDeltasAndLeases(bus);
  const mark = JSON.stringify({ v: 1, published: positionOf(1_000, 0), lineage: "" });
  await bus.nc.jetstream().publish("$KV.tidemark_published.partition.0", mark);

  const second = await startWorker(bus, "second");
  await using _ingress = await startIngress(bus, { now: NOW });
  await bus.sent("event", ROOM, message("$1"));
  await eventually(() => published().length === 1, "the delta");
  await second.stop();
});

clocks("a worker shows how far its own clock and those of ingresses differ from the broker's, and warns", async () => {
  await using bus = await startBus();
  const lines: string[] = [];
  const worker = await Worker.start({
    nc: bus.nc,
    partitions: await prepareBus(bus.nc, { partitions: 1 }),
    data: bus.dir,
    log: pino({}, { write: (line: string) => lines.push(line) }),
    now: () => Date.now() + 3 * HOUR,
  });
  await using _ingress = await startIngress(bus, { now: Date.now() - 25 * HOUR });
  await bus.sent("event", ROOM, message("$1"));
  const hours = () => new Map(Array.from(worker.clockSkew.readings(), ([clock, ms]) => [clock, Math.round(ms / HOUR)]));
  await eventually(() => hours().size === 2, "both readings");
  assert.equal(
    hours(),
    new Map([
      ["worker", 3],
      ["ingress", -25],
    ]),
  );
  const warned = lines.filter((line) => line.includes("a clock differs from the broker's by a minute or more"));
  assert.is(warned.length, 2);
  await worker.drain();
});

/** What an owner does before it ends, and how. */
interface Stay {
  readonly records: number;
  readonly ends: "handsOver" | "crashes";
}

/** The log of a room, and what an owner needs to know of it. */
class Owned {
  readonly log: PlacedRecord[] = [];
  /** Sequences of the records whose events were published. */
  readonly published: number[] = [];
  /** `undefined`: lost. */
  mark: number | undefined = 0;

  append(at: number): void {
    const sequence = this.log.length + 1;
    const entries: Entry[] = [live(`$${sequence}`)];
    this.log.push({ partition: 0, room: ROOM as RoomId, record: { sequence, at, entries } });
  }

  /** Folds records from the start, as an owner without a store does, and publishes what is due. */
  async own({ records, ends }: Stay): Promise<void> {
    const broker = new FakeBroker();
    broker.acking = true;
    const publisher = new Publisher({ partition: 0, acked: broker, published: this.mark ?? 0, log });
    const newest = this.log.at(-1);
    const unmarked = this.mark === undefined && newest !== undefined ? new UnmarkedLog(newest.record.at) : undefined;
    const rooms = new Rooms({
      store: { load: (id) => new Room(id, 0), has: () => false },
      folded: publisher.add,
      failed: (error) => {
        throw error;
      },
      max: 10,
      idleMs: 1_000,
      now: () => 0,
    });
    const fetch = this.log.slice(0, records);
    if (fetch.length > 0) {
      publisher.passOver(unmarked?.skipped(fetch) ?? 0);
      rooms.deliver(fetch);
    }
    if (ends === "handsOver") {
      await publisher.drain();
      this.mark = Math.max(this.mark ?? 0, Math.min(publisher.through(), lastPositionOf(fetch.length)));
    } else {
      await new Promise((resolve) => setImmediate(resolve));
      publisher.close();
    }
    for (const { payload } of broker.sent) {
      for (const { event_id: id } of payload.events) this.published.push(Number(id.slice(1)));
    }
  }
}

const someClock = fc.integer({ min: -100 * HOUR, max: 100 * HOUR }).map((aheadMs) => NOW + aheadMs);
const someStays = fc.array(
  fc.record({ appended: fc.array(someClock, { maxLength: 8 }), records: fc.nat(30), crashes: fc.boolean() }),
  { minLength: 1, maxLength: 6 },
);

clocks("whatever the clocks, each change is published, and none again after a hand-over", async () => {
  await checkAsync(
    fc.asyncProperty(someStays, async (stays) => {
      const owned = new Owned();
      for (const { appended, records, crashes } of stays) {
        for (const at of appended) owned.append(at);
        const marked = owned.mark!;
        const before = owned.published.length;
        await owned.own({ records, ends: crashes ? "crashes" : "handsOver" });
        for (const sequence of owned.published.slice(before)) {
          assert.ok(positionOf(sequence, 0) > marked, "it was published before");
        }
      }
      await owned.own({ records: owned.log.length, ends: "handsOver" });
      const all = owned.log.map(({ record }) => record.sequence);
      assert.equal(
        [...new Set(owned.published)].sort((a, b) => a - b),
        all,
      );
    }),
  );
});

clocks("whatever the clocks, a log without a mark is published from a day before its newest record on", async () => {
  await checkAsync(
    fc.asyncProperty(fc.array(someClock, { minLength: 1, maxLength: 20 }), async (ats) => {
      const owned = new Owned();
      for (const at of ats) owned.append(at);
      owned.mark = undefined;
      await owned.own({ records: ats.length, ends: "handsOver" });
      const first = ats.findIndex((at) => at >= ats.at(-1)! - DELTAS_AGE_MS);
      assert.equal(
        owned.published,
        owned.log.slice(first).map(({ record }) => record.sequence),
      );
    }),
  );
});

clocks.run();
