/** A message of a log that is no record: what an operator sees of it, and does, as docs/operations.md#a-log-has-what-is-no-entry says. */
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { output } from "../support/commands.ts";
import { BASE, eventually, message, metricsOf, startBus, startOn, token } from "../support/harness.ts";
import { logged } from "../support/logged.ts";

const ROOM = "!stray:a.org";
const LOG = "TIDEMARK_LOG_0";

const stray = suite("a message that is no record");

// E23
stray(
  "is named in the log, can be looked at, stays where it is, and its neighbours are served and copied",
  async () => {
    await using bus = await startBus();
    const { log, lines } = logged();
    const file = join(bus.dir, "log.gz");
    const orders = { $1: BASE + 1, $2: BASE + 2 };
    {
      await using tidemark = await startOn(bus, { partitions: 1, log });
      await bus.sent("event", ROOM, message("$1"));
      const { seq } = await bus.nc
        .jetstream()
        .publish(`tidemark.log.0.${token(ROOM)}`, Buffer.from("somebody's mistake"));
      await bus.sent("event", ROOM, message("$2"));

      const warning = () => lines.find(({ msg }) => msg === "the log has what is no entry: it is passed over");
      await eventually(warning, "the worker says so");
      const { partition, sequence, reason } = warning()!;
      assert.equal([partition, sequence], [0, seq]);
      assert.ok(reason !== undefined && reason !== "");
      assert.match(await metricsOf(tidemark), /tidemark_folded_total\{outcome="noted"\} 1\n/);

      // `nats stream get TIDEMARK_LOG_0 <sequence>`
      const stored = await bus.jsm.streams.getMessage(LOG, { seq });
      assert.is(Buffer.from(stored.data).toString(), "somebody's mistake");
      // `nats stream rmm TIDEMARK_LOG_0 <sequence>`
      const refusal = await bus.jsm.streams.deleteMessage(LOG, seq).then(String, String);
      assert.match(refusal, "message delete not permitted");

      assert.equal((await bus.query(ROOM, { op: "orders", event_ids: ["$1", "$2"] })).orders, orders);
      await output(["verify", "--all", "--nats", bus.url]);
      await output(["export", "--all", "--out", file, "--nats", bus.url]);
    }
    await using copied = await startBus();
    await output(["import", file, "--nats", copied.url]);
    await using _copy = await startOn(copied, { partitions: 1 });
    assert.equal((await copied.query(ROOM, { op: "orders", event_ids: ["$1", "$2"] })).orders, orders);
  },
);

stray.run();
