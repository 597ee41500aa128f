/** The `systemd-analyze` of this machine. Where there is none, the test command says that units are not verified. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

const PROBE_LIMIT_MS = 10_000;

const run = promisify(execFile);

export async function hasSystemdAnalyze(): Promise<boolean> {
  return await run("systemd-analyze", ["--version"], { timeout: PROBE_LIMIT_MS }).then(
    () => true,
    () => false,
  );
}
