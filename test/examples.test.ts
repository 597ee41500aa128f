import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { message, receipt, startTidemark } from "./support/harness.ts";

const TOP = resolve(import.meta.dirname, "..");
const ROOM = "!example:a.org";

const examples = suite("examples");

examples("the front-end shows every marker that moves", async () => {
  await using tidemark = await startTidemark();
  const child = spawn(process.execPath, ["--import", "tsx", "examples/01-front-end.ts", tidemark.url], {
    cwd: TOP,
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const lines = createInterface({ input: child.stdout });
    const [position] = await tidemark.sent("event", ROOM, message("$1"));
    // Until the example listens, what it would show goes by.
    const said = once(lines, "line");
    let heard: string | undefined;
    for (let i = 0; heard === undefined; i++) {
      await tidemark.sent("receipt", ROOM, receipt(`@u${i}:a.org`, "$1"));
      heard = await Promise.race([said.then(([line]) => line), tidemark.nc.flush().then(() => undefined)]);
    }
    assert.match(heard, new RegExp(`^@u\\d+:a\\.org has read ${ROOM} up to \\$1, order ${position}$`));
  } finally {
    child.kill();
    await once(child, "exit");
  }
});

examples("the front-end is the README's", async () => {
  const [readme, example] = await Promise.all(
    ["README.md", "examples/01-front-end.ts"].map((path) => readFile(resolve(TOP, path), "utf8")),
  );
  const code = example!.slice(example!.indexOf("import "));
  assert.ok(readme!.includes(`\`\`\`ts\n${code}\`\`\``), "the code block and the file are the same");
});

examples.run();
