/** `deploy/systemd`: units that systemd can load, with options that `tidemark start` has. */
import { execFile } from "node:child_process";
import { chmod, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { startCommand } from "../../src/commands/start.ts";
import { ensureSystemdAnalyze } from "../support/systemd.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const UNITS = join(import.meta.dirname, "../../deploy/systemd");
const VERIFY_LIMIT_MS = 60_000;

const run = promisify(execFile);
const names = (await readdir(UNITS)).sort();

/** Returns what systemd-analyze says of units; nothing when they are fine. The programs they start need not be installed. */
async function complaints(units: ReadonlyMap<string, string>): Promise<string> {
  using folder = temporaryDirectory();
  const programs = join(folder.path, "bin");
  await mkdir(programs);
  for (const [name, text] of units) {
    for (const [, program] of text.matchAll(/^ExecStart=\/usr\/local\/bin\/(\S+)/gm)) {
      await writeFile(join(programs, program!), "#!/bin/sh\n");
      await chmod(join(programs, program!), 0o755);
    }
    const unit = text.replaceAll("/usr/local/bin", programs);
    await writeFile(join(folder.path, name.replace("@.", "@worker.")), unit);
  }
  const paths = [...units.keys()].map((name) => join(folder.path, name.replace("@.", "@worker.")));
  const { command, args, env } = await ensureSystemdAnalyze();
  const options = { timeout: VERIFY_LIMIT_MS, env: { ...env, LC_ALL: "C" } };
  const { stderr } = await run(command, [...args, "verify", "--man=no", ...paths], options).catch(
    (error: { readonly stderr: string }) => error,
  );
  // It loads other units, too.
  return stderr
    .split("\n")
    .filter((line) => line.includes(folder.path) || /tidemark/.test(line))
    .join("\n");
}

const units = suite("systemd units");

units("are ones that systemd-analyze accepts", async () => {
  const texts = await Promise.all(
    names.map(async (name) => [name, await readFile(join(UNITS, name), "utf8")] as const),
  );
  assert.is(await complaints(new Map(texts)), "");
  const wrong = "[Service]\nExecStart=/usr/local/bin/x\nProtectHme=yes\n";
  assert.match(await complaints(new Map([["tidemark-wrong.service", wrong]])), /Unknown key.*'ProtectHme'/);
});

units("name options of `tidemark start`", async () => {
  const text = await readFile(join(UNITS, "tidemark@.service"), "utf8");
  const known = new Set(startCommand().options.map(({ envVar }) => envVar));
  const named = Array.from(text.matchAll(/\b(TIDEMARK_\w+)=/g), ([, name]) => name!);
  assert.ok(named.length > 3);
  assert.equal(
    named.filter((name) => !known.has(name)),
    [],
  );
});

units.run();
