import { ErrorCode, NatsError } from "nats";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { PlacedRecord } from "../../../actors/entry.ts";
import { encode } from "../../../src/bus/contract/codec.ts";
import { encodeRecord } from "../../../src/bus/contract/record.ts";
import { logEnd, roomsOf } from "../../../src/bus/log/log.ts";
import { scanLog } from "../../../src/bus/log/log-scan.ts";
import { TidemarkError } from "../../../src/errors.ts";
import type { RoomId } from "../../../src/matrix/ids.ts";
import { live } from "../../support/entries.ts";
import { eventually, message, rejects, startBus, startTidemark, token } from "../../support/harness.ts";

const [A, B] = ["!a:a.org" as RoomId, "!b:a.org" as RoomId];

const scan = suite("log scan");

scan("reads a partition, a room, or a part of the log, in order", async () => {
  await using tidemark = await startTidemark({ partitions: 1 });
  for (let i = 0; i < 6; i++) await tidemark.sent("event", i % 2 === 0 ? A : B, message(`$${i}`));
  const sequences = async (options: object) => {
    const read: number[] = [];
    await scanLog(tidemark.nc, { partition: 0, until: 7, ...options }, ({ record }) => void read.push(record.sequence));
    return read;
  };
  // Whatever is read from the beginning begins with how the log begins.
  assert.equal(await sequences({}), [1, 2, 3, 4, 5, 6, 7]);
  assert.equal(await sequences({ room: B }), [1, 3, 5, 7]);
  assert.equal(await sequences({ from: 3, until: 4 }), [3, 4]);
  assert.equal(await sequences({ room: A, from: 3, until: 5 }), [4]);
  assert.equal(await sequences({ room: "!c:a.org" }), [1]);
  assert.equal(await logEnd(tidemark.nc, 0, A), { sequence: 6, records: 3 });
  assert.equal(
    await roomsOf(tidemark.nc, 0),
    new Map([
      [A, 3],
      [B, 3],
    ]),
  );
});

scan("delivers a record only after the previous one is handled", async () => {
  await using tidemark = await startTidemark({ partitions: 1 });
  for (let i = 0; i < 5; i++) await tidemark.sent("event", A, message(`$${i}`));
  let release: (() => void) | undefined;
  let handled = 0;
  const done = scanLog(tidemark.nc, { partition: 0, until: 5 }, () => {
    handled++;
    return new Promise<void>((resolve) => (release = resolve));
  });
  for (let i = 1; i <= 5; i++) {
    await eventually(() => handled === i, `record ${i} is handled`);
    release!();
  }
  await done;
});

scan("continues with new records, over a restart of the broker, until it is aborted", async () => {
  await using bus = await startBus();
  await bus.jsm.streams.add({ name: "TIDEMARK_LOG_0", subjects: ["tidemark.log.0.*"] });
  const append = (id: string) =>
    bus.nc
      .jetstream()
      .publish(`tidemark.log.0.${token(A)}`, encodeRecord(1, [live(id)]), { timeout: 500 })
      .then(
        () => true,
        () => false,
      );
  const handled: PlacedRecord[] = [];
  const stopping = new AbortController();
  const done = scanLog(
    bus.nc,
    { partition: 0, room: A, signal: stopping.signal },
    (record) => void handled.push(record),
  );
  try {
    await append("$1");
    await eventually(() => handled.length === 1, "the existing records");
    await bus.restartBroker();
    await eventually(() => append("$2"), "the broker accepts records again");
    await eventually(() => handled.length >= 2, "the records after the restart");
  } finally {
    stopping.abort();
  }
  await done;
  const sequences = handled.map(({ record }) => record.sequence);
  assert.equal(
    sequences,
    Array.from(sequences, (_, i) => i + 1),
    "each once, in order",
  );
});

// E13
scan("fails at a hole, and at a record of a newer version, but not at what is no record", async () => {
  await using bus = await startBus();
  await bus.jsm.streams.add({ name: "TIDEMARK_LOG_0", subjects: ["tidemark.log.0.*"] });
  const js = bus.nc.jetstream();
  for (let i = 1; i <= 3; i++) await js.publish(`tidemark.log.0.${token(A)}`, encodeRecord(i, [live(`$${i}`)]));
  await bus.jsm.streams.deleteMessage("TIDEMARK_LOG_0", 2);
  const reading = scanLog(bus.nc, { partition: 0, until: 3 }, () => {});
  assert.match((await rejects(reading, "LOG_BROKEN")).message, "has no record 2, and goes on at 3");
  await js.publish(`tidemark.log.0.${token(A)}`, new Uint8Array([0xc0]));
  const read: unknown[] = [];
  await scanLog(bus.nc, { partition: 0, from: 3, until: 4 }, ({ stray }) => void read.push(stray));
  assert.equal(read, [undefined, "it is not an array"]);
  await js.publish(`tidemark.log.0.${token(A)}`, encode([99, 5, []]));
  await rejects(
    scanLog(bus.nc, { partition: 0, from: 3, until: 5 }, () => {}),
    "RECORD_UNREADABLE",
  );
});

scan("fails with what its callback throws, and calls it once, even when the broker may be tried again", async () => {
  await using tidemark = await startTidemark({ partitions: 1 });
  await tidemark.sent("event", A, message("$1"));
  for (const thrown of [
    new TidemarkError("BUS_UNAVAILABLE", "the callback's own"),
    NatsError.errorForCode(ErrorCode.Timeout),
  ]) {
    let calls = 0;
    const reading = scanLog(tidemark.nc, { partition: 0, until: 1 }, () => {
      calls++;
      throw thrown;
    });
    assert.is(await reading.catch((error: unknown) => error), thrown);
    assert.is(calls, 1);
  }
});

scan.run();
