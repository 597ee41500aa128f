/** Commands of the command line, run to their end. */
import * as assert from "uvu/assert";
import { runCli } from "./cli-process.ts";
import { message, receipt, type TidemarkHarness } from "./harness.ts";

export interface Ran {
  readonly status: number | string;
  readonly stdout: readonly string[];
  readonly stderr: string;
}

export async function tidemarkCommand(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ran> {
  await using child = runCli(args, env);
  const status = await child.ended;
  return { status, stdout: child.stdout, stderr: child.stderr.join("\n") };
}

/** Output of a command that must succeed. */
export async function output(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<readonly string[]> {
  const { status, stdout, stderr } = await tidemarkCommand(args, env);
  assert.is(status, 0, stderr);
  assert.is(stderr, "");
  return stdout;
}

export const ROOM = "!a:a.org";
export const BOB = "@bob:a.org";

/** Positions 1024 to 5120, an entry a record. */
export async function story(tidemark: TidemarkHarness): Promise<void> {
  await tidemark.sent("event", ROOM, message("$1"));
  await tidemark.sent("receipt", ROOM, receipt(BOB, "$1"));
  await tidemark.sent("receipt", ROOM, receipt(BOB, "$3", { thread_id: "main" }));
  await tidemark.sent("event", ROOM, message("$2"));
  await tidemark.sent("event", ROOM, message("$3"));
}
