/** What the pages say of a homeserver behind Tidemark, run as it stands there, but for ports and files. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { eventually } from "../support/harness.ts";
import { TOP } from "../support/samples.ts";
import { freePort } from "../support/scripted-homeserver.ts";
import { ensureSynapse } from "../support/synapse-program.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const START_LIMIT_MS = 180_000;

interface Shell extends AsyncDisposable {
  readonly lines: readonly string[];
  readonly ended: Promise<unknown>;
}

/** The commands of a page's shell blocks in order, one for each line that is no continuation. */
async function commandsIn(page: string, from: string): Promise<string[]> {
  const text = await readFile(join(TOP, page), "utf8");
  const section = text.slice(text.indexOf(`## ${from}\n`)).split(/^## /m)[1]!;
  const blocks = Array.from(section.matchAll(/^ *```sh\n([\s\S]*?)^ *```$/gm), ([, code]) => code!);
  return blocks
    .flatMap((code) =>
      code
        .replace(/\\\n\s*/g, "")
        .trim()
        .split("\n"),
    )
    .map((line) => line.trim());
}

/** Runs a command of a page, on these ports and in this folder. A `&` at its end only says that it goes on. */
function shell(command: string, { dir, ports }: { readonly dir: string; readonly ports: readonly number[] }): Shell {
  const own = command
    .replace(/\s#.*$/, "")
    .replace(/&\s*$/, "")
    .replaceAll("8008", `${ports[0]}`)
    .replaceAll("8009", `${ports[1]}`)
    .replaceAll("tidemark.yaml", join(dir, "tidemark.yaml"));
  const env = { ...process.env, TIDEMARK_DATA: join(dir, "data") };
  const child = spawn("/bin/sh", ["-c", own], { cwd: TOP, env, detached: true, stdio: ["ignore", "pipe", "inherit"] });
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
  const ended = once(child, "close");
  return {
    lines,
    ended,
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode === null) process.kill(-child.pid!, "SIGTERM");
      await ended;
    },
  };
}

const pages = suite("pages about a homeserver");

for (const [page, section, user] of [
  ["README.md", "In front of your homeserver", "alice"],
  ["docs/homeservers.md", "Ten minutes, from nothing to orders", "bob"],
] as const) {
  pages(`${page} leads to orders`, async () => {
    await ensureSynapse();
    using directory = temporaryDirectory();
    const at = { dir: directory.path, ports: [await freePort(), await freePort()] };
    const commands = (await commandsIn(page, section)).filter((command) => command !== "npm ci");
    const [registration, synapse, start, ...rest] = commands as [string, string, string, ...string[]];
    await shell(registration, at).ended;
    await using homeserver = shell(synapse, at);
    await using tidemark = shell(start, at);
    const isReady = ({ lines }: Shell) => lines.some((line) => /\bready (at|nats)/.test(line));
    await eventually(() => isReady(homeserver) && isReady(tidemark), "both are ready", START_LIMIT_MS);
    for (const command of rest.slice(0, -1)) {
      await using asked = shell(command, at);
      await asked.ended;
      assert.match(asked.lines.join(""), new RegExp(`^\\{"user_id":"@${user}:example.org",`));
    }
    await using client = shell(rest.at(-1)!, at);
    await eventually(() => client.lines.at(-1)?.includes("m.read"), "the receipt is shown");
    const shown = client.lines.map((line) => line.split(" "));
    const [first] = shown[0]!;
    const events = ["create", "member", "power_levels", "join_rules", "history_visibility", "guest_access"];
    const order = (n: number) => `${Number(first) + n}`;
    assert.equal(shown, [
      ...events.map((name, n) => [order(n), `m.room.${name}`]),
      [order(events.length), "m.room.message", "hello"],
      [order(events.length), "m.read", `@${user}:example.org`],
    ]);
  });
}

pages.run();
