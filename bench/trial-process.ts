/**
 * Runs one trial: `trial-process.ts <id> <full|quick> <sources|built> [profiles]`. Writes what it measured as JSON to
 * standard output.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Scale } from "./trial.ts";
import { TRIALS } from "./trials/index.ts";

const [id, scale, tidemark, profile] = process.argv.slice(2) as [string, Scale, "sources" | "built", string?];
const dir = await mkdtemp(join(tmpdir(), "tidemark-bench-"));
try {
  const trial = TRIALS.find((trial) => trial.id === id)!;
  const measured = await trial.measure({ scale, dir, built: tidemark === "built", profile });
  process.stdout.write(JSON.stringify(measured));
} finally {
  await rm(dir, { recursive: true, force: true });
}
