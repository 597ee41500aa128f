import { join } from "node:path";
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ROLES, start } from "../../src/start.ts";
import { OwnerReader } from "../../src/worker/owner-reader.ts";
import { message, startBus, startTidemark } from "../support/harness.ts";

const catchingUp = suite("catching up");

catchingUp("reports its progress, from the first record of the logs to the last", async () => {
  await using tidemark = await startTidemark({ partitions: 2 });
  for (let n = 0; n < 30; n++) await tidemark.sent("event", `!r${n % 7}:a.org`, message(`$${n}`));
  await tidemark.stop();
  const reported: (readonly [done: number, total: number])[] = [];
  const again = await start({
    nats: tidemark.url,
    data: join(tidemark.dir, "elsewhere"),
    http: { host: "127.0.0.1", port: 0 },
    roles: new Set(ROLES),
    partitions: 2,
    log: pino({ level: "silent" }),
    onProgress: (done, total) => reported.push([done, total]),
  });
  await again.stop();
  const records = (await tidemark.lastSequences()).reduce((sum, last) => sum + last, 0);
  assert.equal(reported.at(-1), [records, records]);
  for (const [done, total] of reported) assert.ok(done <= total && total <= records, `${done} of ${total}`);
});

catchingUp("fails at once when the log is gone, without being caught up", async () => {
  await using bus = await startBus();
  const seen: unknown[] = [];
  const failure = new Promise<unknown>((failed) => {
    const reader = new OwnerReader({
      nc: bus.nc,
      partition: 0,
      folded: 0,
      ahead: 1,
      publisher: { overloaded: false, relieved: async () => {} },
      checkpoints: { overloaded: false, done: async () => {} },
      fold: () => seen.push("records"),
      clockAhead: () => {},
      caughtUp: () => seen.push("caught up"),
      failed: (error) => {
        reader.close();
        failed(error);
      },
    });
  });
  assert.match(String(await failure), "the log of partition 0 is gone");
  assert.equal(seen, []);
});

catchingUp.run();
