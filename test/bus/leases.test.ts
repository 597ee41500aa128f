/** What a worker says of itself in the lease bucket, and what it must not say any more. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { LEASE_TIMES, Leases } from "../../src/bus/leases.ts";
import { LEASES_BUCKET } from "../../src/bus/subjects.ts";
import { type Body, eventually, startBus } from "../support/harness.ts";

const HEARTBEAT = { v: 1, warm: [], failed: [], folded: {} };

const leases = suite("leases");

leases("a heartbeat on its way doesn't replace that of a process that came later with the same id", async () => {
  await using bus = await startBus();
  const js = bus.nc.jetstream();
  const bucket = await js.views.kv(LEASES_BUCKET, { history: 1 });
  for (let round = 0; round < 10; round++) {
    const worker = `worker-${round}`;
    let superseded = 0;
    const first = await Leases.open({
      nc: bus.nc,
      worker,
      session: "first",
      times: LEASE_TIMES,
      report: () => HEARTBEAT,
      changed: () => {},
      lost: () => {},
      superseded: () => {
        superseded++;
      },
    });
    try {
      assert.is(await first.claim(round), 0);
      const later = js.publish(
        `$KV.${LEASES_BUCKET}.worker.${worker}`,
        JSON.stringify({ ...HEARTBEAT, session: "later" }),
      );
      first.beat();
      await later;
      await eventually(() => superseded === 1, "it has learned of the later one");
      assert.not.ok(first.holds(round), "it holds nothing any more");
      first.beat();
      await first.leave();
      const left = (await bucket.get(`worker.${worker}`))!;
      assert.is(left.operation, "PUT");
      assert.is(left.json<Body>().session, "later");
    } finally {
      first.close();
    }
  }
});

leases.run();
