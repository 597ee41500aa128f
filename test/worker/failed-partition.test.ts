/** A partition that can't be served fails alone, while a worker runs and when one starts (docs/design.md#when-things-fail). */
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FOLD_VERSION } from "../../actors/room/fold.ts";
import { connectBus } from "../../src/bus/client/connection.ts";
import { Bucket } from "../../src/bus/client/kv.ts";
import { encodeRow, partitionKey } from "../../src/bus/contract/lease-rows.ts";
import { LEASES_BUCKET } from "../../src/bus/contract/subjects.ts";
import { LEASE_TIMES } from "../../src/bus/leases/leases.ts";
import { prepareBus } from "../../src/bus/streams.ts";
import { Worker } from "../../src/worker/worker.ts";
import {
  type BusHarness,
  eventually,
  message,
  pack,
  receipt,
  rejects,
  startBus,
  startOn,
  token,
} from "../support/harness.ts";
import { logged } from "../support/logged.ts";

/** Of two partitions, the one that fails, and the other one. */
const FAILING = 0;
const ROOM_BY_PARTITION = ["!r1:a.org", "!r0:a.org"];
const FAILING_ROOM = ROOM_BY_PARTITION[FAILING]!;
const HEALTHY_ROOM = ROOM_BY_PARTITION[1 - FAILING]!;

interface Failure {
  readonly cause: (bus: BusHarness) => Promise<unknown>;
  readonly says: RegExp;
}

const log = `TIDEMARK_LOG_${FAILING}`;

/** Replaces the log by one that begins at a sequence. */
async function makeLogAgain({ jsm }: BusHarness, first: number): Promise<void> {
  const { config } = await jsm.streams.info(log);
  await jsm.streams.delete(log);
  await jsm.streams.add({ ...config, first_seq: first });
}

const dropCheckpoint = ({ dir }: BusHarness) => rm(join(dir, "state", `${FAILING}`), { recursive: true });

const FAILURES: Readonly<Record<string, Failure>> = {
  // E12
  "a record of a newer version": {
    cause: ({ nc }) =>
      nc.jetstream().publish(`tidemark.log.${FAILING}.${token(FAILING_ROOM)}`, pack([99, 1, [[0, message("$new")]]])),
    says: /its version is 99/,
  },
  // E13
  "a hole in the log": {
    cause: async (bus) => {
      await dropCheckpoint(bus);
      await makeLogAgain(bus, 5);
      await bus.nc.jetstream().publish(`tidemark.log.${FAILING}.x`, "no record");
    },
    says: /has no record 1, and goes on at 5/,
  },
  // E16
  "a log that was replaced": {
    cause: (bus) => makeLogAgain(bus, 1),
    says: /is ahead of its log/,
  },
  "a log that is gone": {
    cause: ({ jsm }) => jsm.streams.delete(log),
    says: /the log of partition 0 is gone: .* restore it from a backup/,
  },
  "a checkpoint that can't be opened": {
    cause: async (bus) => {
      await dropCheckpoint(bus);
      await writeFile(join(bus.dir, "state", `${FAILING}`), "not a folder");
    },
    says: /the checkpoint in .* failed: .* see to disk and space/,
  },
};

const failing = suite("failed partition");

for (const [name, { cause, says }] of Object.entries(FAILURES)) {
  failing(`${name} leaves the other partitions served when every worker starts again`, async () => {
    await using bus = await startBus();
    {
      await using _first = await startOn(bus);
      for (const room of ROOM_BY_PARTITION) await bus.sent("event", room, message("$1"));
    }
    await cause(bus);
    const deltas = bus.subscribe("tidemark.client.>");
    const { log, lines } = logged();
    await using again = await startOn(bus, { log });
    await bus.sent("event", HEALTHY_ROOM, message("$2"));
    await bus.sent("receipt", HEALTHY_ROOM, receipt("@b:a.org", "$2"));
    await deltas.next((body) => body.event?.content.$2 !== undefined);
    const failures = () => lines.filter(({ msg }) => msg === "a partition has failed and is not served any more");
    await eventually(() => failures().length > 0, "the partition fails");
    assert.is(failures().length, 1);
    assert.match(failures()[0]!.reason!, says);
    const refusal = await bus.query(FAILING_ROOM, { op: "orders", event_ids: ["$1"] });
    assert.is(refusal.errcode, "M_UNKNOWN");
    assert.is((await fetch(`${again.httpUrl}/readyz`)).status, 200, "no other process would do better");
  });
}

failing("when every partition has failed, the start ends with the reason", async () => {
  await using bus = await startBus();
  await writeFile(join(bus.dir, "state"), "not a folder");
  assert.match((await rejects(startOn(bus), "STORE_FAILED")).message, /see to disk and space/);
});

failing("a worker that can't get on with a partition is ready without it", async () => {
  await using bus = await startBus();
  const nc = await connectBus({ url: bus.url, name: "worker" });
  const partitions = await prepareBus(nc, { partitions: 2 });
  const leaseTimes = { ...LEASE_TIMES, ttlMs: 600_000 };
  // A worker that hangs owns it, and never says how far it has published.
  const row = encodeRow("lease", { worker: "hangs", session: "hangs", lineage: "", fold: FOLD_VERSION });
  await new Bucket(nc, LEASES_BUCKET).put(partitionKey(FAILING), row);
  const worker = await Worker.start({ nc, partitions, data: bus.dir, log: logged().log, leaseTimes, stuckMs: 200 });
  assert.ok(worker.ready);
  assert.is(worker.partitions.get(FAILING)?.state, "standby");
  assert.is(worker.partitions.get(1 - FAILING)?.state, "live");
  await worker.drain();
  await nc.close();
});

failing.run();
