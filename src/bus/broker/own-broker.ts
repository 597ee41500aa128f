/**
 * The broker that `start` runs by itself. Only its user's processes may use it: it has a password, which is in a file that nobody else
 * can read, together with the port. Both stay the same for a folder of data, so programs that are connected find it again.
 */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Broker, startBroker } from "./process.ts";

const FOLDER = "nats";
const FILE = "url";
const USER = "tidemark";
const PASSWORD_BYTES = 24;

/** Starts the broker of a folder of data, on the port that it had before, if that is free. */
export async function startOwnBroker(data: string, log: (line: string) => void): Promise<Broker> {
  const storeDir = join(data, FOLDER);
  await mkdir(storeDir, { recursive: true, mode: 0o700 });
  const known = ownBrokerUrl(data);
  const before = known === undefined ? undefined : new URL(known);
  const broker = await startBroker({
    storeDir,
    log,
    portIfFree: Number(before?.port ?? 0),
    credentials: { user: USER, password: before?.password ?? randomBytes(PASSWORD_BYTES).toString("hex") },
  });
  try {
    const path = join(storeDir, FILE);
    await writeFile(`${path}.new`, broker.url, { mode: 0o600 });
    await rename(`${path}.new`, path);
    return broker;
  } catch (error) {
    await broker.stop();
    throw error;
  }
}

/** The URL of the broker of a folder of data, with its password; it may not run. undefined when there never was one. */
export function ownBrokerUrl(data: string): string | undefined {
  try {
    const url = readFileSync(join(data, FOLDER, FILE), "utf8").trim();
    return URL.canParse(url) && new URL(url).password !== "" ? url : undefined;
  } catch {
    return undefined;
  }
}
