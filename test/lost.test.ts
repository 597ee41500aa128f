/** What ends a process by itself (`Tidemark.lost`). */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { start } from "../src/start.ts";
import { temporaryDirectory } from "./support/temporary-directory.ts";

function startWithOwnBroker(data: string) {
  return start({
    data,
    http: { host: "127.0.0.1", port: 0 },
    roles: new Set(["ingress", "worker"]),
    partitions: 1,
    log: pino({ level: "silent" }),
  });
}

const lost = suite("a process that can't go on");

lost("says that its own broker has ended", async () => {
  using dir = temporaryDirectory();
  const tidemark = await startWithOwnBroker(dir.path);
  const [ports] = await readdir(join(dir.path, "nats", "ports"));
  process.kill(Number(/_(\d+)\.ports$/.exec(ports!)?.[1]), "SIGKILL");
  assert.is(await tidemark.lost, "the broker of this process has ended");
  await tidemark.stop();
});

lost("is none that is stopped, though its broker ends too", async () => {
  using dir = temporaryDirectory();
  const tidemark = await startWithOwnBroker(dir.path);
  let why: string | undefined;
  void tidemark.lost.then((reason) => {
    why = reason;
  });
  await tidemark.stop();
  assert.is(why, undefined);
});

lost.run();
