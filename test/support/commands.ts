/** Runs commands of the command line in this process. */
import * as assert from "uvu/assert";
import { run } from "../../src/commands/program.ts";
import { message, receipt, type TidemarkHarness } from "./harness.ts";

export interface Ran {
  readonly status: number;
  readonly stdout: readonly string[];
  readonly stderr: string;
}

/** Runs a command in this process. A child process per command would be much slower. */
export async function tidemarkCommand(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ran> {
  const written = { stdout: "", stderr: "" };
  const own = { ...process.env };
  const { stdout, stderr } = process;
  const [toStdout, toStderr] = [stdout.write, stderr.write];
  const capture = (stream: keyof typeof written) => (text: string | Uint8Array) => {
    written[stream] += String(text);
    return true;
  };
  for (const name of Object.keys(own)) {
    if (name.startsWith("TIDEMARK_") && name !== "TIDEMARK_NATS_SERVER") delete process.env[name];
  }
  Object.assign(process.env, env);
  stdout.write = capture("stdout");
  stderr.write = capture("stderr");
  try {
    const status = await run(args);
    return { status, stdout: written.stdout.split("\n").slice(0, -1), stderr: written.stderr.trimEnd() };
  } finally {
    stdout.write = toStdout;
    stderr.write = toStderr;
    for (const name of Object.keys(env)) delete process.env[name];
    Object.assign(process.env, own);
  }
}

/** Returns the output of a command. Fails the test if the command fails. */
export async function output(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<readonly string[]> {
  const { status, stdout, stderr } = await tidemarkCommand(args, env);
  assert.is(status, 0, stderr);
  assert.is(stderr, "");
  return stdout;
}

export const ROOM = "!a:a.org";
export const BOB = "@bob:a.org";

/** Sends five records of one entry each: positions 2048 to 6144. */
export async function story(tidemark: TidemarkHarness): Promise<void> {
  await tidemark.sent("event", ROOM, message("$1"));
  await tidemark.sent("receipt", ROOM, receipt(BOB, "$1"));
  await tidemark.sent("receipt", ROOM, receipt(BOB, "$3", { thread_id: "main" }));
  await tidemark.sent("event", ROOM, message("$2"));
  await tidemark.sent("event", ROOM, message("$3"));
}
