/** `tidemark status` in a cluster. */
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { runCli } from "../support/cli-process.ts";
import { output } from "../support/commands.ts";
import { eventually, message, startBus } from "../support/harness.ts";

const ROOM = "!r:a.org";

const status = suite("status");

status("names owner, standbys and lag of each partition", async () => {
  await using bus = await startBus();
  const start = (name: string) =>
    runCli(["start", "--nats", bus.url, "--data", join(bus.dir, name), "--partitions", "2"]);
  await using first = start("first");
  await first.ready;
  await using second = start("second");
  await second.ready;
  await bus.sent("event", ROOM, message("$1"));
  const look = async () => {
    const lines = await output(["status", "--nats", bus.url, "--json"]);
    return lines.map((line) => JSON.parse(line));
  };
  await eventually(async () => {
    const found = await look();
    return found.every(
      ({ owner, standbys, lag, failed }) =>
        owner !== null && standbys.length === 1 && standbys[0] !== owner && lag === 0 && failed.length === 0,
    );
  }, "each partition has an owner, a standby, and no lag");

  const [heading] = await output(["status", "--nats", bus.url]);
  assert.match(heading!, /^partition .* folded +lag +published through +owner +standbys$/);
});

status.run();
