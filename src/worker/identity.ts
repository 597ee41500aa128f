import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";

const FILE = "worker-id";
const VALID = /^[\w-]{1,64}$/;

/** The machine's name, as it may stand in the name of a process. */
const hostInName = () =>
  hostname()
    .replace(/[^\w-]/g, "-")
    .slice(0, 40);

/** A new name, for a process without a data directory. */
export const newInstanceId = () => `${hostInName()}-${randomBytes(4).toString("hex")}`;

/** A worker's name, for as long as its data directory lives: so after a restart it has its old partitions again. */
export function workerId(data: string): string {
  const path = join(data, FILE);
  const known = readId(path);
  if (known !== undefined) return known;
  mkdirSync(data, { recursive: true, mode: 0o700 });
  writeFileSync(path, newInstanceId());
  return readId(path)!;
}

function readId(path: string): string | undefined {
  try {
    const id = readFileSync(path, "utf8").trim();
    return VALID.test(id) ? id : undefined;
  } catch {
    return undefined;
  }
}
