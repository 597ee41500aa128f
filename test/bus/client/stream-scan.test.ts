import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Misplaced } from "../../../src/bus/client/leader-check.ts";
import { type StreamScan, scanStream } from "../../../src/bus/client/stream-scan.ts";
import { type BusHarness, eventually, rejects, startBus } from "../../support/harness.ts";
import { appendTo, COPY, makeStreams, STREAM, type StaleReplica, staleReplica } from "../../support/stale-replica.ts";

const scan = suite("stream scan");

class Hole extends Error {}

/** Scans a stream without holes, and collects the sequences. */
function scanning({ nc }: Pick<StaleReplica, "nc">, options: Partial<StreamScan>) {
  const sequences: number[] = [];
  const onHole = ({ expected, found }: Misplaced) => {
    throw new Hole(`no ${expected} before ${found}`);
  };
  const done = scanStream(nc, { stream: STREAM, onHole, ...options }, ({ sequence }) => void sequences.push(sequence));
  done.catch(() => {}); // Each test looks at it later.
  return { sequences, done };
}

async function deleteAt(bus: BusHarness, sequence: number, ...streams: string[]): Promise<void> {
  for (const stream of streams) await bus.jsm.streams.deleteMessage(stream, sequence);
}

const failed = (promise: Promise<void>) => promise.then(() => undefined, String);

/** Checks that a scan gets all nine messages, although the copy of the stream lacks the fifth. */
async function readsAllNine(replica: StaleReplica): Promise<void> {
  const { sequences, done } = scanning(replica, { until: 9 });
  await done;
  assert.equal(sequences, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assert.equal(replica.opened, [1, 5, 5]);
}

// E22
scan("delivers nothing older than it was asked for", async () => {
  await using bus = await startBus();
  await makeStreams(bus, 9);
  const replica = await staleReplica(bus, { consumers: 2 });
  const stopping = new AbortController();
  const { sequences, done } = scanning(replica, { from: 7, signal: stopping.signal });
  await eventually(() => replica.opened.length > 0, "a consumer of the copy");
  await appendTo(bus.nc, COPY, 9);
  await eventually(() => sequences.at(-1) === 9, "the last message");
  stopping.abort();
  await done;
  assert.equal(sequences, [7, 8, 9]);
  assert.ok(replica.opened.every((sequence) => sequence === 7));
});

// E22
scan("does not end before its last message because a copy of the stream does", async () => {
  await using bus = await startBus();
  await makeStreams(bus, 9);
  await appendTo(bus.nc, COPY, 4);
  const replica = await staleReplica(bus, { consumers: 2, unanswered: 1 });
  await readsAllNine(replica);
});

// E22
scan("reads a message that only a copy of the stream lacks from the stream", async () => {
  await using bus = await startBus();
  await makeStreams(bus, 9);
  await appendTo(bus.nc, COPY, 9);
  await deleteAt(bus, 5, COPY);
  const replica = await staleReplica(bus, { consumers: 2 });
  await readsAllNine(replica);
});

// E13
scan("fails at a hole once the stream's leader has confirmed it", async () => {
  await using bus = await startBus();
  await makeStreams(bus, 9);
  await deleteAt(bus, 5, STREAM);
  const replica = await staleReplica(bus, { consumers: 0, unanswered: 2 });
  const { sequences, done } = scanning(replica, { until: 9 });
  assert.is(await failed(done), "Error: no 5 before 6");
  assert.equal(sequences, [1, 2, 3, 4]);
  assert.equal(replica.opened, [1, 5, 5]);
});

// E13
scan("fails at a stream whose beginning is gone, or which ends before what was read", async () => {
  await using bus = await startBus();
  await makeStreams(bus, 9);
  await bus.jsm.streams.purge(STREAM, { seq: 4 });
  assert.is(await failed(scanning(bus, { until: 9 }).done), "Error: no 1 before 4");
  const { sequences, done } = scanning(bus, { from: 8 });
  await eventually(() => sequences.length === 2, "the last two");
  await bus.jsm.streams.delete(STREAM);
  await makeStreams(bus, 0);
  assert.is(await failed(done), "Error: no 10 before 1");
});

scan("fails when no consumer is any good", async () => {
  await using bus = await startBus();
  await makeStreams(bus, 9);
  await appendTo(bus.nc, COPY, 4);
  const { sequences, done } = scanning(await staleReplica(bus, { consumers: 100 }), { until: 9 });
  assert.match((await rejects(done, "BUS_UNAVAILABLE")).message, "reading NUMBERS stopped at 5");
  assert.equal(sequences, [1, 2, 3, 4]);
});

scan.run();
