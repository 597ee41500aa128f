import { suite } from "uvu";
import * as assert from "uvu/assert";
import { LogReader } from "../../../src/bus/log/log-reader.ts";
import { prepareBus } from "../../../src/bus/streams.ts";
import type { RoomId } from "../../../src/matrix/ids.ts";
import { live } from "../../support/entries.ts";
import { eventually, rejects, startBus } from "../../support/harness.ts";
import { appendRecord } from "../../support/records.ts";

const room = "!a:a.org" as RoomId;

const reader = suite("log reader");

// E13
reader("fails at a hole, and delivers what is before it", async () => {
  await using bus = await startBus();
  await prepareBus(bus.nc, { partitions: 1 });
  for (let n = 1; n <= 4; n++) {
    await appendRecord(bus.nc, { partition: 0, room, record: { sequence: n, at: n, entries: [live(`$${n}`)] } });
  }
  const sequences: number[] = [];
  let started: LogReader | undefined;
  const failed = new Promise<void>((_, reject) => {
    started = new LogReader(bus.nc, {
      partition: 0,
      from: 1,
      ahead: 10,
      onFetch: (fetch) => sequences.push(...fetch.map(({ record }) => record.sequence)),
      onError: reject,
    });
  });
  failed.catch(() => {});
  await eventually(() => sequences.length === 4, "the records");
  // No record of the log can be deleted, so the stream is made again, and begins after the next one.
  const { config } = await bus.jsm.streams.info("TIDEMARK_LOG_0");
  await bus.jsm.streams.delete("TIDEMARK_LOG_0");
  await bus.jsm.streams.add({ ...config, first_seq: 6 });
  await bus.nc.jetstream().publish("tidemark.log.0.x", "");
  const { message } = await rejects(failed, "LOG_BROKEN");
  assert.match(message, "the log of partition 0 has no record 5, and goes on at 6");
  assert.equal(sequences, [1, 2, 3, 4]);
  started?.close();
});

reader.run();
