/** The example with `matrix-js-sdk`, run as a reader would run it. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { startProgram, TOP } from "../support/samples.ts";

const FOLDER = join(TOP, "examples/04-matrix-js-sdk");

const example = suite("the example with matrix-js-sdk");

example("shows a room as read by orders that the SDK alone calls unread", async () => {
  // In place of `npm install` in its folder.
  const env = { TSX_TSCONFIG_PATH: join(import.meta.dirname, "tsconfig.example.json") };
  await using program = startProgram(["--import", "tsx", "main.ts"], FOLDER, env);
  assert.is(await program.ended, 0);
  assert.equal(program.lines, ["Harbour", "  matrix-js-sdk alone: unread (The forecast is good)", "  by orders: read"]);
});

example("asks for the version with which it is tested", async () => {
  const versions = [FOLDER, import.meta.dirname].map(async (folder) => {
    const { dependencies } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
    return dependencies["matrix-js-sdk"];
  });
  const [asked, tested] = await Promise.all(versions);
  assert.is(asked, tested);
});

example.run();
