import { suite } from "uvu";
import * as assert from "uvu/assert";
import { connectBus } from "../../../src/bus/client/connection.ts";
import type { Delivered } from "../../../src/bus/client/delivered.ts";
import { StreamReader } from "../../../src/bus/client/stream-reader.ts";
import { type BusHarness, eventually, startBus } from "../../support/harness.ts";
import { pipeTo } from "../../support/pipe.ts";

const reader = suite("stream reader");

const STREAM = "NUMBERS";
const KEPT = { name: STREAM, subjects: ["numbers.*"] };

/** A stream with this many messages. */
async function stream(bus: BusHarness, count: number): Promise<void> {
  await bus.jsm.streams.add(KEPT);
  await append(bus, 1, count);
}

async function append(bus: BusHarness, from: number, to: number): Promise<void> {
  for (let n = from; n <= to; n++) await bus.nc.jetstream().publish(`numbers.${n % 2 === 0 ? "even" : "odd"}`, `${n}`);
}

/** Reads a stream, and collects the sequences. */
function reading(nc: BusHarness["nc"], options: Partial<ConstructorParameters<typeof StreamReader>[1]> = {}) {
  const sequences: number[] = [];
  const onMessage = ({ sequence }: Delivered) => sequences.push(sequence);
  const started = new StreamReader(nc, { stream: STREAM, from: 1, ...options, onMessage });
  const has = (last: number) => eventually(() => sequences.at(-1) === last, `message ${last}`);
  return { reader: started, sequences, has };
}

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

async function consumers(bus: BusHarness) {
  return bus.jsm.consumers.list(STREAM).next();
}

reader("delivers existing and new messages, each once and in order", async () => {
  await using bus = await startBus();
  await stream(bus, 300);
  const { reader, sequences, has } = reading(bus.nc, { from: 11 });
  assert.is(await reader.opened, 290);
  await has(300);
  await append(bus, 301, 303);
  await has(303);
  assert.equal(sequences, numbers(11, 303));
  reader.close();
});

reader("delivers only messages of its subject", async () => {
  await using bus = await startBus();
  await stream(bus, 9);
  const { reader, sequences, has } = reading(bus.nc, { subject: "numbers.odd" });
  await has(9);
  assert.equal(sequences, [1, 3, 5, 7, 9]);
  reader.close();
});

reader("starts with the newest message of each subject if requested", async () => {
  await using bus = await startBus();
  await stream(bus, 9);
  const { reader, sequences, has } = reading(bus.nc, { from: "latest" });
  await has(9);
  await append(bus, 10, 10);
  await has(10);
  assert.equal(sequences, [8, 9, 10]);
  reader.close();
});

// E7
reader("misses no message that was in flight when the connection was lost, even if no message follows", async () => {
  await using bus = await startBus();
  await stream(bus, 5);
  await using pipe = await pipeTo(bus.url);
  const nc = await connectBus({ url: pipe.url, name: "behind a pipe" });
  const { reader, sequences, has } = reading(nc);
  await has(5);
  pipe.hold();
  await append(bus, 6, 8);
  const delivered = async () => (await consumers(bus))[0]!.delivered.stream_seq;
  await eventually(async () => (await delivered()) === 8, "the broker has sent all messages");
  assert.equal(sequences, numbers(1, 5), "the pipe dropped them");
  pipe.cut();
  await has(8);
  assert.equal(sequences, numbers(1, 8));
  reader.close();
  await nc.close();
});

reader("continues when its consumer is deleted", async () => {
  await using bus = await startBus();
  await stream(bus, 5);
  const { reader, sequences, has } = reading(bus.nc);
  await has(5);
  for (const { name } of await consumers(bus)) await bus.jsm.consumers.delete(STREAM, name);
  await append(bus, 6, 8);
  await has(8);
  assert.equal(sequences, numbers(1, 8));
  reader.close();
});

reader("continues after an outage of the broker", async () => {
  await using bus = await startBus();
  await stream(bus, 5);
  const { reader, sequences, has } = reading(bus.nc);
  await has(5);
  await bus.restartBroker();
  await eventually(
    () =>
      append(bus, 6, 6).then(
        () => true,
        () => false,
      ),
    "the stream accepts messages again",
  );
  await has(6);
  assert.equal(sequences, numbers(1, 6));
  reader.close();
});

reader("continues after an outage of the stream", async () => {
  await using bus = await startBus();
  await stream(bus, 5);
  const { reader, sequences, has } = reading(bus.nc, { subject: "numbers.odd" });
  await has(5);
  await bus.jsm.streams.delete(STREAM);
  await bus.jsm.streams.add({ ...KEPT, first_seq: 6 });
  await append(bus, 7, 7);
  await has(6);
  assert.equal(sequences, [1, 3, 5, 6]);
  reader.close();
});

reader("delivers nothing once it is closed", async () => {
  await using bus = await startBus();
  await stream(bus, 5);
  const { reader, sequences, has } = reading(bus.nc);
  await has(5);
  reader.close();
  const other = reading(bus.nc);
  await append(bus, 6, 6);
  await other.has(6);
  assert.equal(sequences, numbers(1, 5));
  other.reader.close();
});

reader("fails if there is no such stream", async () => {
  await using bus = await startBus();
  const { reader } = reading(bus.nc);
  const error = await reader.opened.catch((error: unknown) => error);
  assert.match(String(error), /stream not found/);
  reader.close();
});

reader.run();
