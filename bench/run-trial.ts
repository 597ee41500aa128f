/** Runs a trial in a process of its own. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Measured, Scale } from "./trial.ts";

const TRIAL_PROCESS = fileURLToPath(new URL("./trial-process.ts", import.meta.url));

interface TrialOptions {
  readonly scale: Scale;
  readonly built: boolean;
  /** The folder for CPU profiles of the trial's process and of Tidemark. */
  readonly profile: string | undefined;
}

/** Throws if the trial fails. The trial writes the reason to standard error. */
export async function runTrial(id: string, { scale, built, profile }: TrialOptions): Promise<readonly Measured[]> {
  const node = ["--max-semi-space-size=32", "--import", "tsx"];
  if (profile !== undefined) node.push("--cpu-prof", "--cpu-prof-dir", profile);
  const args = [TRIAL_PROCESS, id, scale, built ? "built" : "sources", ...(profile === undefined ? [] : [profile])];
  const child = spawn(process.execPath, [...node, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  await once(child, "close");
  if (child.exitCode !== 0) throw new Error(`the trial ${id} ended with ${child.exitCode ?? child.signalCode}`);
  return JSON.parse(text) as Measured[];
}
