/**
 * A `nats-server` with JetStream as a child process, on loopback.
 *
 *   spawn ──▶ ports file ──▶ INFO of our own server name ──▶ Broker ──▶ SIGTERM ──▶ (limit) SIGKILL
 *     └──────────────┴── exit or time limit: an error with the last log lines
 *
 * - **Port.** For port 0 the server chooses a free port itself and writes it to a ports file, so no other process can take it
 *   in between.
 * - **One broker per store.** JetStream does not lock its store, and two servers on one store destroy it. The server's name is
 *   made from the store's path. A server that answers with that name on the port in the ports file still uses the store. It
 *   gets a moment to end, as after a crash of its parent; then the start fails.
 * - **Signals.** The broker is a process group of its own, so Ctrl-C in a terminal reaches only its parent, which can
 *   drain before it stops the broker.
 * - **Lifetime.** It never outlives its parent: a tiny shell waits for the end of a pipe that only the parent has open. The
 *   kernel closes the pipe however the parent ends.
 *
 * Everything that JetStream has acknowledged survives a stop and a SIGKILL. Start again on the same `storeDir`.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdir, readdir, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { findBroker } from "./find.ts";
import { ensureBroker } from "./install.ts";

/** Long, because JetStream recovers its whole store before it listens. A broker that can't start ends at once. */
const READY_LIMIT_MS = 60_000;
const READY_POLL_MS = 10;
const STORE_FREE_LIMIT_MS = 4_000;
/** Less than `STORE_FREE_LIMIT_MS`, so that a start after a crash finds the store free. */
const ORPHAN_STOP_LIMIT_S = 2;
const STORE_FREE_POLL_MS = 50;
const INFO_LIMIT_MS = 1_000;
const STOP_LIMIT_MS = 10_000;
const LOG_TAIL_LINES = 20;

/** A snapshot of a room with tens of thousands of markers is one message. */
const PAYLOAD_BYTES_MAX = 8_388_608;

const LOOPBACK = "127.0.0.1";
const ORPHAN_GUARD = `read -r _; kill -TERM "$1"; sleep ${ORPHAN_STOP_LIMIT_S}; kill -KILL "$1"`;

export interface BrokerOptions {
  /** Created if it doesn't exist. */
  readonly storeDir: string;
  /** Default: 0, a free port. */
  readonly port?: number;
  /** The port, if nobody else has it. Otherwise `port` counts. */
  readonly portIfFree?: number;
  /** Default: every user of this machine may use the broker. */
  readonly credentials?: { readonly user: string; readonly password: string };
  /** The largest message that it accepts. Default: 8 MiB. */
  readonly payloadBytesMax?: number;
  /** Called for each line of the broker's log. */
  readonly log?: (line: string) => void;
}

export interface Broker extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
  /** Resolves when the process has ended: to its exit code, or to null after a signal. */
  readonly exited: Promise<number | null>;
  /** Stops the process, and resolves when it has ended. */
  stop(): Promise<void>;
  kill(signal: NodeJS.Signals): void;
}

/** Resolves when the broker accepts clients. Throws with the broker's last log lines when it doesn't start. */
export async function startBroker(options: BrokerOptions): Promise<Broker> {
  const { portIfFree = 0, credentials, payloadBytesMax = PAYLOAD_BYTES_MAX, log = () => {} } = options;
  await mkdir(options.storeDir, { recursive: true });
  const storeDir = await realpath(options.storeDir);
  const portsDir = join(storeDir, "ports");
  const name = `tidemark-${createHash("sha256").update(storeDir).digest("hex").slice(0, 12)}`;

  // Any usable version is accepted here. Downloading a newer one is for `npm run broker`: a start must work without a network.
  const executable = (await findBroker()) ?? (await ensureBroker({ log }));
  await storeFree(portsDir, name);
  await rm(portsDir, { recursive: true, force: true });
  await mkdir(portsDir);
  const config = join(storeDir, "nats-server.conf");
  await rm(config, { force: true }); // The mode counts only for a new file.
  await writeFile(config, configuration(payloadBytesMax, credentials), { mode: 0o600 });
  const port = (await isFree(portIfFree)) ? portIfFree : (options.port ?? 0);

  const child = spawn(
    executable.path,
    [
      "-c",
      config,
      "-a",
      LOOPBACK,
      "-p",
      String(port || -1),
      "-n",
      name,
      "-js",
      "-sd",
      storeDir,
      "--ports_file_dir",
      portsDir,
    ],
    { detached: true, stdio: ["ignore", "ignore", "pipe"] },
  );
  await once(child, "spawn");
  const pid = child.pid!;
  const exited = new Promise<number | null>((resolve) => child.once("close", resolve));
  const tail = followLog(child, log);

  const stop = async () => {
    child.kill("SIGTERM");
    // A paused process doesn't handle SIGTERM until it continues.
    child.kill("SIGCONT");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_LIMIT_MS);
    await exited;
    clearTimeout(timer);
  };

  try {
    await guardOrphan(pid, exited);
    const reached = await ready(join(portsDir, `${basename(executable.path)}_${pid}.ports`), name, exited);
    const url = credentials === undefined ? reached : withCredentials(reached, credentials);
    const kill = (signal: NodeJS.Signals) => void child.kill(signal);
    return { url, pid, exited, stop, kill, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`nats-server on ${storeDir} ${reason}; its last log lines: ${tail.join(" | ")}`);
  }
}

type Credentials = NonNullable<BrokerOptions["credentials"]>;

/** A file, because everybody can see the command line. */
function configuration(payloadBytesMax: number, credentials: Credentials | undefined): string {
  const lines = [`max_payload: ${payloadBytesMax}`];
  if (credentials !== undefined) {
    lines.push(`authorization { user: "${credentials.user}", password: "${credentials.password}" }`);
  }
  return lines.map((line) => `${line}\n`).join("");
}

function withCredentials(url: string, { user, password }: Credentials): string {
  return url.replace("//", `//${encodeURIComponent(user)}:${encodeURIComponent(password)}@`);
}

async function isFree(port: number): Promise<boolean> {
  if (port === 0) return false;
  const server = createServer().listen(port, LOOPBACK);
  const listens = await once(server, "listening").then(
    () => true,
    () => false,
  );
  await new Promise((resolve) => server.close(resolve));
  return listens;
}

async function ready(portsFile: string, name: string, exited: Promise<number | null>): Promise<string> {
  let ended = false;
  void exited.then(() => {
    ended = true;
  });
  const deadline = performance.now() + READY_LIMIT_MS;
  while (performance.now() < deadline) {
    if (ended) throw new Error(`ended with exit code ${await exited} before it was ready`);
    const url = await readPortsFile(portsFile);
    if (url !== undefined && (await serverName(url)) === name) return url;
    await delay(READY_POLL_MS);
  }
  throw new Error(`was not ready within ${READY_LIMIT_MS} ms`);
}

async function storeFree(portsDir: string, name: string): Promise<void> {
  const files = await readdir(portsDir).catch(() => []);
  for (const file of files) {
    const url = await readPortsFile(join(portsDir, file));
    if (url === undefined) continue;
    const deadline = performance.now() + STORE_FREE_LIMIT_MS;
    while ((await serverName(url)) === name) {
      if (performance.now() > deadline) throw new Error(`the broker at ${url} already uses the store of ${portsDir}`);
      await delay(STORE_FREE_POLL_MS);
    }
  }
}

/** Returns undefined when the file doesn't exist, or the server is still writing it. */
async function readPortsFile(path: string): Promise<string | undefined> {
  const text = await readFile(path, "utf8").catch(() => "");
  return new RegExp(`"(nats://${LOOPBACK}:\\d+)"`).exec(text)?.[1];
}

/** The `server_name` in a NATS server's greeting; undefined when no server answers. */
async function serverName(url: string): Promise<string | undefined> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  socket.setTimeout(INFO_LIMIT_MS, () => socket.destroy());
  try {
    let text = "";
    for await (const chunk of socket) {
      text += chunk;
      if (text.includes("\n")) break;
    }
    return /^INFO .*"server_name":"([^"]*)"/.exec(text)?.[1];
  } catch {
    return undefined;
  } finally {
    socket.destroy();
  }
}

/** Returns the last lines of the log. The array is updated with each new line. */
function followLog(child: ChildProcess, log: (line: string) => void): readonly string[] {
  const tail: string[] = [];
  createInterface({ input: child.stderr! }).on("line", (line) => {
    tail.push(line);
    if (tail.length > LOG_TAIL_LINES) tail.shift();
    log(line);
  });
  return tail;
}

/** Ends the broker when this process ends, and itself when the broker does. */
async function guardOrphan(pid: number, exited: Promise<unknown>): Promise<void> {
  const guard = spawn("/bin/sh", ["-c", ORPHAN_GUARD, "sh", String(pid)], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  await once(guard, "spawn");
  guard.unref();
  (guard.stdin as Socket).unref();
  void exited.then(() => guard.kill("SIGKILL"));
}
