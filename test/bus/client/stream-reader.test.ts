import { suite } from "uvu";
import * as assert from "uvu/assert";
import { connectBus } from "../../../src/bus/client/connection.ts";
import type { Delivered } from "../../../src/bus/client/delivered.ts";
import type { Misplaced } from "../../../src/bus/client/leader-check.ts";
import { StreamReader } from "../../../src/bus/client/stream-reader.ts";
import { type BusHarness, eventually, startBus } from "../../support/harness.ts";
import { pipeTo } from "../../support/pipe.ts";
import { appendTo, COPY, makeStreams, STREAM, type StaleReplica, staleReplica } from "../../support/stale-replica.ts";

const reader = suite("stream reader");

const KEPT = { name: STREAM, subjects: ["numbers.*"] };

/** A stream with this many messages. */
async function stream(bus: BusHarness, count: number): Promise<void> {
  await bus.jsm.streams.add(KEPT);
  await append(bus, 1, count);
}

async function append(bus: BusHarness, from: number, to: number): Promise<void> {
  for (let n = from; n <= to; n++) await bus.nc.jetstream().publish(`numbers.${n % 2 === 0 ? "even" : "odd"}`, `${n}`);
}

type ReadOptions = Partial<ConstructorParameters<typeof StreamReader>[1]>;

/** Reads a stream until it is disposed of, and collects the sequences. */
function reading(nc: BusHarness["nc"], options: ReadOptions = {}) {
  const sequences: number[] = [];
  const onMessage = ({ sequence }: Delivered) => sequences.push(sequence);
  const started = new StreamReader(nc, { stream: STREAM, from: 1, ...options, onMessage });
  const has = (last: number) => eventually(() => sequences.at(-1) === last, `message ${last}`);
  return { reader: started, sequences, has, [Symbol.dispose]: () => started.close() };
}

/** Makes a stream with this many messages, and reads it to its end. */
async function readStream(bus: BusHarness, count: number, options?: ReadOptions) {
  await stream(bus, count);
  const read = reading(bus.nc, options);
  await read.has(count);
  return read;
}

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

/** The same for a stream without holes. Collects the holes as well. */
function readingAll({ nc }: Pick<StaleReplica, "nc">, from = 1) {
  const holes: Misplaced[] = [];
  return { ...reading(nc, { from, onHole: (hole) => holes.push(hole) }), holes };
}

async function consumers(bus: BusHarness) {
  return bus.jsm.consumers.list(STREAM).next();
}

reader("delivers existing and new messages, each once and in order", async () => {
  await using bus = await startBus();
  using read = await readStream(bus, 300, { from: 11 });
  assert.is(await read.reader.opened, 290);
  await append(bus, 301, 303);
  await read.has(303);
  assert.equal(read.sequences, numbers(11, 303));
});

reader("delivers only messages of its subject", async () => {
  await using bus = await startBus();
  using read = await readStream(bus, 9, { subject: "numbers.odd" });
  assert.equal(read.sequences, [1, 3, 5, 7, 9]);
});

reader("starts with the newest message of each subject if requested", async () => {
  await using bus = await startBus();
  using read = await readStream(bus, 9, { from: "latest" });
  await append(bus, 10, 10);
  await read.has(10);
  assert.equal(read.sequences, [8, 9, 10]);
});

// E7
reader("misses no message that was in flight when the connection was lost, even if no message follows", async () => {
  await using bus = await startBus();
  await stream(bus, 5);
  await using pipe = await pipeTo(bus.url);
  const nc = await connectBus({ url: pipe.url, name: "behind a pipe" });
  const read = reading(nc);
  await read.has(5);
  pipe.hold();
  await append(bus, 6, 8);
  const delivered = async () => (await consumers(bus))[0]!.delivered.stream_seq;
  await eventually(async () => (await delivered()) === 8, "the broker has sent all messages");
  assert.equal(read.sequences, numbers(1, 5), "the pipe dropped them");
  pipe.cut();
  await read.has(8);
  assert.equal(read.sequences, numbers(1, 8));
  read.reader.close();
  await nc.close();
});

reader("continues when its consumer is deleted", async () => {
  await using bus = await startBus();
  using read = await readStream(bus, 5);
  for (const { name } of await consumers(bus)) await bus.jsm.consumers.delete(STREAM, name);
  await append(bus, 6, 8);
  await read.has(8);
  assert.equal(read.sequences, numbers(1, 8));
});

reader("continues after an outage of the broker", async () => {
  await using bus = await startBus();
  using read = await readStream(bus, 5);
  await bus.restartBroker();
  await eventually(
    () =>
      append(bus, 6, 6).then(
        () => true,
        () => false,
      ),
    "the stream accepts messages again",
  );
  await read.has(6);
  assert.equal(read.sequences, numbers(1, 6));
});

reader("continues after an outage of the stream", async () => {
  await using bus = await startBus();
  using read = await readStream(bus, 5, { subject: "numbers.odd" });
  await bus.jsm.streams.delete(STREAM);
  await bus.jsm.streams.add({ ...KEPT, first_seq: 6 });
  await append(bus, 7, 7);
  await read.has(6);
  assert.equal(read.sequences, [1, 3, 5, 6]);
});

reader("continues with a stream that was made again, and is shorter", async () => {
  await using bus = await startBus();
  using read = await readStream(bus, 5);
  await bus.jsm.streams.delete(STREAM);
  await stream(bus, 0);
  await eventually(async () => (await consumers(bus)).length > 0, "the reader's next consumer");
  await append(bus, 1, 2);
  await read.has(2);
  assert.equal(read.sequences, [1, 2, 3, 4, 5, 1, 2]);
});

reader("reads a shorter stream that was made again from its beginning, though nothing more is written", async () => {
  await using bus = await startBus();
  using read = await readStream(bus, 5);
  await bus.jsm.streams.delete(STREAM);
  await stream(bus, 2);
  await read.has(2);
  assert.equal(read.sequences, [1, 2, 3, 4, 5, 1, 2]);
});

// E22
reader("delivers nothing older than it was asked for", async () => {
  await using bus = await startBus();
  await makeStreams(bus, 9);
  const replica = await staleReplica(bus, { consumers: 2 });
  using read = reading(replica.nc, { from: 7 });
  await eventually(() => replica.opened.length > 0, "a consumer of the copy");
  await appendTo(bus.nc, COPY, 9);
  await read.has(9);
  assert.equal(read.sequences, [7, 8, 9]);
  assert.ok(replica.opened.every((sequence) => sequence === 7));
});

// E22
reader("reads a message that only a copy of the stream lacks from the stream", async () => {
  await using bus = await startBus();
  await makeStreams(bus, 9);
  await appendTo(bus.nc, COPY, 9);
  await bus.jsm.streams.deleteMessage(COPY, 5);
  const replica = await staleReplica(bus, { consumers: 2 });
  using read = readingAll(replica);
  await read.has(9);
  assert.equal(read.sequences, numbers(1, 9));
  assert.equal(replica.opened, [1, 5, 5]);
  assert.equal(read.holes, []);
});

// E13
reader("ends at a hole once the stream's leader has confirmed it", async () => {
  await using bus = await startBus();
  await makeStreams(bus, 9);
  await bus.jsm.streams.deleteMessage(STREAM, 5);
  const replica = await staleReplica(bus, { consumers: 0, unanswered: 2 });
  const { sequences, holes } = readingAll(replica);
  await eventually(() => holes.length > 0, "the hole");
  assert.equal(holes, [{ expected: 5, found: 6 }]);
  assert.equal(sequences, numbers(1, 4));
  assert.equal(replica.opened, [1, 5, 5], "a leader that does not answer is asked again");
});

// E13
reader("ends at a stream whose beginning is gone, or which ends before what was read", async () => {
  await using bus = await startBus();
  await makeStreams(bus, 9);
  await bus.jsm.streams.purge(STREAM, { seq: 4 });
  const first = readingAll(bus);
  await eventually(() => first.holes.length > 0, "the purged beginning");
  assert.equal(first.holes, [{ expected: 1, found: 4 }]);
  const last = readingAll(bus, 8);
  await last.has(9);
  await bus.jsm.streams.delete(STREAM);
  await makeStreams(bus, 0);
  await eventually(() => last.holes.length > 0, "the lost end");
  assert.equal(last.holes, [{ expected: 10, found: 1 }]);
});

reader("opens no consumer and reports no hole once it is closed", async () => {
  await using bus = await startBus();
  await makeStreams(bus, 9);
  await bus.jsm.streams.deleteMessage(STREAM, 5);
  const replica = await staleReplica(bus, { consumers: 0, unanswered: 1 });
  const { reader, sequences, holes } = readingAll(replica);
  await eventually(() => replica.asked() === 1, "the leader is asked");
  reader.close();
  const other = readingAll(bus);
  await eventually(() => other.holes.length > 0, "another reader's hole");
  assert.equal([sequences, holes, replica.opened], [numbers(1, 4), [], [1]]);
});

reader("delivers nothing once it is closed", async () => {
  await using bus = await startBus();
  using read = await readStream(bus, 5);
  read.reader.close();
  using other = reading(bus.nc);
  await append(bus, 6, 6);
  await other.has(6);
  assert.equal(read.sequences, numbers(1, 5));
});

reader("fails if there is no such stream", async () => {
  await using bus = await startBus();
  using read = reading(bus.nc);
  const error = await read.reader.opened.catch((error: unknown) => error);
  assert.match(String(error), /stream not found/);
});

reader.run();
