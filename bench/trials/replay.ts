/**
 * A replay: a worker without a store folds all logs and writes its checkpoints. For comparison, bare consumption of the
 * same streams, without decoding. Both run in this process, in turns. All deltas of the logs count as published.
 */
import { join } from "node:path";
import { connect, type NatsConnection } from "nats";
import { pino } from "pino";
import { startBroker } from "../../src/bus/broker/process.ts";
import { connectBus } from "../../src/bus/client/connection.ts";
import { StreamReader } from "../../src/bus/client/stream-reader.ts";
import { logStream } from "../../src/bus/contract/subjects.ts";
import { logEnd } from "../../src/bus/log/log.ts";
import { FETCH_RECORDS_MAX, Worker } from "../../src/worker/worker.ts";
import { entriesOf, type LogShape, makeLog } from "../entries.ts";
import type { Trial } from "../trial.ts";

const SHAPES: Record<"full" | "quick", LogShape> = {
  full: { rooms: 2_000, records: 16, events: 4, receipts: 60 },
  quick: { rooms: 500, records: 16, events: 4, receipts: 60 },
};

export const replay: Trial = {
  id: "replay",
  measure: async ({ scale, dir }) => {
    const shape = SHAPES[scale];
    const entries = entriesOf(shape);
    await using broker = await startBroker({ storeDir: join(dir, "nats") });
    const nc = await connect({ servers: broker.url });
    const { partitions } = await makeLog(nc, shape);
    const bare: number[] = [];
    const folded: number[] = [];
    const repetitions = scale === "full" ? 5 : 2;
    for (let n = 0; n < repetitions; n++) {
      bare.push((entries * 1_000) / (await timed(() => consume(nc, partitions))));
      folded.push((entries * 1_000) / (await replayOnce(broker.url, partitions, join(dir, `replay-${n}`))));
    }
    await nc.close();
    const of = `a log of ${(shape.rooms * shape.records).toLocaleString("en")} records of 64 entries`;
    return [
      { id: "replay_bare", title: `bare consumption of ${of}, entries`, unit: "1/s", values: bare },
      { id: "replay", title: `replay of ${of}, entries`, unit: "1/s", values: folded },
      {
        id: "replay_to_bare",
        title: "replay : bare consumption",
        unit: "×",
        values: folded.map((rate, n) => rate / bare[n]!),
      },
    ];
  },
};

/** Returns the time from claiming the partitions until the end of every log is folded, in ms. */
async function replayOnce(url: string, partitions: number, data: string): Promise<number> {
  const nc = await connectBus({ url, name: "replay" });
  const log = pino({ level: "silent" });
  const started = performance.now();
  const worker = await Worker.start({ nc, partitions, data, log });
  const elapsed = performance.now() - started;
  await worker.drain();
  await nc.close();
  return elapsed;
}

async function timed(run: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await run();
  return performance.now() - started;
}

/** Reads all streams at once, as a worker does. */
async function consume(nc: NatsConnection, partitions: number): Promise<void> {
  const ahead = FETCH_RECORDS_MAX / partitions;
  await Promise.all(Array.from({ length: partitions }, (_, partition) => consumeOne(nc, { partition, ahead })));
}

async function consumeOne(
  nc: NatsConnection,
  { partition, ahead }: { readonly partition: number; readonly ahead: number },
): Promise<void> {
  const { sequence: last } = await logEnd(nc, partition);
  let reader: StreamReader | undefined;
  await new Promise<void>((resolve, reject) => {
    reader = new StreamReader(nc, {
      stream: logStream(partition),
      from: 1,
      ahead,
      onMessage: ({ sequence }) => {
        if (sequence === last) resolve();
      },
    });
    reader.opened.catch(reject);
  });
  reader?.close();
}
