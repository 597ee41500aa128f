/** The library as its users get it: built, and imported by its name. */
import { execFile } from "node:child_process";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { suite } from "uvu";
import * as assert from "uvu/assert";

const ROOT = resolve(import.meta.dirname, "../..");
const run = promisify(execFile);

const built = suite("tidemark/frontend");

built("is there after a build, with plain JavaScript and types", async () => {
  await run(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json"], { cwd: ROOT });
  const script = `
    import { connect, ReadState, TidemarkError } from "tidemark/frontend";
    const room = new ReadState();
    room.note({ event_id: "$1", type: "m.room.message", sender: "@a:a.org", content: {}, unsigned: { order: 7 } });
    const refused = await connect({ nats: "nats://127.0.0.1:1" }).catch((error) => error);
    process.stdout.write(JSON.stringify([room.unread("@b:a.org").total, refused instanceof TidemarkError, refused.code]));
  `;
  const { stdout } = await run(process.execPath, ["--input-type=module", "--eval", script], { cwd: ROOT });
  assert.equal(JSON.parse(stdout), [1, true, "BUS_UNAVAILABLE"]);
  const { exports } = await import("../../package.json", { with: { type: "json" } }).then(({ default: json }) => json);
  const types = await import("node:fs/promises").then(({ readFile }) =>
    readFile(resolve(ROOT, exports["./frontend"].types), "utf8"),
  );
  assert.match(types, /export \{.*connect/);
});

built.run();
