/** What a reader of deltas does at holes, at messages that can't be read, and when the lineage changes. */
import { headers } from "nats";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { DeltaReader } from "../../../src/bus/deltas/delta-reader.ts";
import { deltaHeaders } from "../../../src/bus/deltas/published-header.ts";
import { prepareBus } from "../../../src/bus/streams.ts";
import { type BusHarness, eventually, pack, startBus } from "../../support/harness.ts";

const ROOM = "!room:a.org";
const SUBJECT = "tidemark.client.0.!room:a%2Eorg.receipts";

/** Publishes a receipts delta with this position, of this lineage. */
async function publish({ nc }: BusHarness, position: number, lineage = "one"): Promise<void> {
  const event = { type: "m.receipt", content: {} };
  const delta = pack({ v: 1, room_id: ROOM, position, previous: 0, event });
  await nc.jetstream().publish(SUBJECT, delta, { headers: deltaHeaders({ published: position, lineage, fold: 1 }) });
}

async function prepared(): Promise<BusHarness> {
  const bus = await startBus();
  await prepareBus(bus.nc, { partitions: 1 });
  return bus;
}

/** A reader, and what it calls back with, as lines. */
async function openReader({ nc }: BusHarness, back = 0) {
  const lines: string[] = [];
  const reader = await DeltaReader.open(nc, {
    partition: 0,
    back,
    onDelta: ({ position }, { sequence, published }) => {
      if (position === 666) throw new Error("no listener can use it");
      lines.push(`delta ${position} at ${sequence}, published ${published}`);
    },
    onLost: ({ sequence, published }) => lines.push(`lost through ${sequence}, published ${published}`),
    onOtherLineage: ({ sequence, published }) =>
      lines.push(`another lineage after ${sequence}, published ${published}`),
    onUnreadable: () => lines.push("unreadable"),
  });
  return { reader, lines, [Symbol.dispose]: () => reader.close() };
}

const deltaReader = suite("delta reader");

deltaReader("takes what it can't read for a hole, and goes on", async () => {
  await using bus = await prepared();
  using opened = await openReader(bus);
  const bad = [new Uint8Array(), Buffer.from("no MessagePack"), pack({ v: 2 }), pack([1]), pack(null)];
  for (const bytes of bad) await bus.nc.jetstream().publish(SUBJECT, bytes, { headers: headers() });
  await publish(bus, 666, "");
  await publish(bus, 700, "");
  await eventually(() => opened.lines.includes("delta 700 at 7, published 700"), "the delta after them");
  const lost = (sequence: number, published: number) => [
    "unreadable",
    `lost through ${sequence}, published ${published}`,
  ];
  assert.equal(opened.lines.slice(0, -1), [...bad.flatMap((_, i) => lost(i + 1, 0)), ...lost(6, 666)]);
});

deltaReader("says where positions begin again, whether it reads on or starts within the change", async () => {
  await using bus = await prepared();
  await publish(bus, 500);
  using following = await openReader(bus);
  await publish(bus, 501);
  await publish(bus, 7, "two");
  await publish(bus, 8, "two");
  await eventually(() => following.lines.length === 4, "all deltas");
  const change = ["another lineage after 2, published 0", "delta 7 at 3, published 7", "delta 8 at 4, published 8"];
  assert.equal(following.lines, ["delta 501 at 2, published 501", ...change]);

  using within = await openReader(bus, 3);
  await within.reader.caughtUp;
  assert.equal(within.lines, following.lines);
  using after = await openReader(bus, 1);
  await after.reader.caughtUp;
  assert.equal(after.lines, change.slice(2));
});

deltaReader("of a stream that has lost its first messages learns the lineage from the next one", async () => {
  await using bus = await prepared();
  await publish(bus, 500);
  await bus.jsm.streams.purge("TIDEMARK_DELTAS_0");
  using opened = await openReader(bus);
  await publish(bus, 7, "two");
  await publish(bus, 8, "three");
  await eventually(() => opened.lines.length === 3, "both deltas");
  assert.equal(opened.lines, [
    "delta 7 at 2, published 7",
    "another lineage after 2, published 0",
    "delta 8 at 3, published 8",
  ]);
});

deltaReader.run();
