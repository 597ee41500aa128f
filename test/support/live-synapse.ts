/**
 * A Synapse process on a free loopback port, with SQLite in a temporary folder. It can be killed, paused and started again
 * on the same port and database. It ends with this process, however that ends.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { type Body, eventually } from "./harness.ts";
import { freePort } from "./scripted-homeserver.ts";
import { ensureSynapse, type SynapseProgram } from "./synapse-program.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

/** The first start makes the database, and compiles what it imports. */
const START_LIMIT_MS = 180_000;
const LOG_TAIL_LINES = 30;
const ROWS_BYTES_MAX = 64 * 1_048_576;

/** Ends with its parent: 1 is PR_SET_PDEATHSIG, 9 SIGKILL. */
const RUN = `
import ctypes, runpy, sys
if sys.platform == "linux": ctypes.CDLL(None).prctl(1, 9)
runpy.run_module("synapse.app.homeserver", run_name="__main__", alter_sys=True)
`;
const SELECT = `
import json, sqlite3, sys
rows = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
rows.row_factory = sqlite3.Row
print(json.dumps([dict(row) for row in rows.execute(sys.argv[2])]))
`;

const run = promisify(execFile);

/** A user's device. */
export interface Account {
  readonly user: string;
  readonly token: string;
  readonly device: string;
}

export interface LiveSynapse extends AsyncDisposable {
  readonly url: string;
  readonly serverName: string;
  readonly version: string;
  register(localpart: string): Promise<Account>;
  /** Resolves once the process has ended. */
  end(signal: "SIGTERM" | "SIGKILL"): Promise<void>;
  pause(): void;
  resume(): void;
  /** Starts it again, with these registrations from now on if any are given. Resolves once it answers. */
  start(registrations?: readonly string[]): Promise<void>;
  /** The rows that a SELECT finds in its database. */
  rows(sql: string): Promise<Body[]>;
}

export interface SynapseOptions {
  /** Paths of registrations of application services. */
  readonly registrations?: readonly string[];
  /** Default: a free port. */
  readonly port?: number;
  /** Default: `localhost:<federationPort>`, or `synapse.test`. */
  readonly serverName?: string;
  /** Where it serves other servers, with TLS. Default: nowhere. */
  readonly federationPort?: number;
}

export async function startSynapse(options: SynapseOptions = {}): Promise<LiveSynapse> {
  const { federationPort, port = await freePort() } = options;
  const { serverName = federationPort === undefined ? "synapse.test" : `localhost:${federationPort}` } = options;
  const program = await ensureSynapse();
  const directory = temporaryDirectory();
  const database = join(directory.path, "homeserver.db");
  const config = await configure(directory.path, { ...options, serverName, port, database });
  const url = `http://127.0.0.1:${port}`;
  let running: Running | undefined;
  const end = async (signal: NodeJS.Signals) => {
    running?.child.kill("SIGCONT");
    running?.child.kill(signal);
    await running?.ended;
    running = undefined;
  };
  const start = async (registrations?: readonly string[]) => {
    if (registrations !== undefined) {
      const before = JSON.parse(await readFile(config, "utf8"));
      await writeFile(config, JSON.stringify({ ...before, app_service_config_files: registrations }));
    }
    running = runSynapse(program, config);
    await answers(url, running);
  };
  try {
    await start();
  } catch (error) {
    await end("SIGKILL");
    directory[Symbol.dispose]();
    throw error;
  }
  return {
    url,
    serverName,
    version: program.version,
    register: async (localpart) => {
      const body = { username: localpart, password: "password", auth: { type: "m.login.dummy" } };
      const answer = await matrix(url, undefined, "POST", "/_matrix/client/v3/register", body);
      return { user: answer.user_id, token: answer.access_token, device: answer.device_id };
    },
    end,
    pause: () => void running?.child.kill("SIGSTOP"),
    resume: () => void running?.child.kill("SIGCONT"),
    start,
    rows: async (sql) => {
      const { command, args, env } = program;
      const { stdout } = await run(command, [...args, "-c", SELECT, database, sql], { env, maxBuffer: ROWS_BYTES_MAX });
      return JSON.parse(stdout);
    },
    [Symbol.asyncDispose]: async () => {
      await end("SIGKILL");
      directory[Symbol.dispose]();
    },
  };
}

/** Asks a homeserver. Throws unless it answers 200. */
export async function matrix(
  url: string,
  token: string | undefined,
  method: string,
  path: string,
  body?: unknown,
): Promise<Body> {
  const response = await fetch(url + path, {
    method,
    headers: {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { "content-type": "application/json" }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (response.status !== 200) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return JSON.parse(text);
}

interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<unknown>;
  /** The last lines of its log. */
  readonly tail: readonly string[];
}

function runSynapse({ command, args, env }: SynapseProgram, config: string): Running {
  const child = spawn(command, [...args, "-c", RUN, "-c", config], { env, stdio: ["ignore", "ignore", "pipe"] });
  const tail: string[] = [];
  createInterface({ input: child.stderr! }).on("line", (line) => {
    tail.push(line);
    if (tail.length > LOG_TAIL_LINES) tail.shift();
  });
  return { child, ended: once(child, "close"), tail };
}

async function answers(url: string, { child, tail }: Running): Promise<void> {
  const isUp = async () => {
    if (child.exitCode !== null) throw new Error(`Synapse ended before it answered:\n${tail.join("\n")}`);
    const response = await fetch(`${url}/_matrix/client/versions`).catch(() => undefined);
    return response?.status === 200;
  };
  await eventually(isUp, "Synapse answers", START_LIMIT_MS);
}

/** It asks any server on loopback, whatever its certificate. */
async function federation(
  folder: string,
  port: number,
): Promise<{ readonly listeners: readonly unknown[] } & Record<string, unknown>> {
  const [key, cert] = [join(folder, "tls.key"), join(folder, "tls.crt")];
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key];
  await run("openssl", ["req", "-x509", ...newKey, "-subj", "/CN=localhost", "-days", "2", "-out", cert]);
  return {
    tls_certificate_path: cert,
    tls_private_key_path: key,
    federation_verify_certificates: false,
    ip_range_blacklist: [],
    federation: { destination_min_retry_interval: "1s", destination_max_retry_interval: "5s" },
    listeners: [listener(port, true)],
  };
}

function listener(port: number, tls: boolean): Record<string, unknown> {
  const resources = [{ names: ["client", "federation"], compress: !tls }];
  return { port, type: "http", tls, bind_addresses: ["127.0.0.1"], resources };
}

interface Configured extends SynapseOptions {
  readonly serverName: string;
  readonly port: number;
  readonly database: string;
}

/** Returns the path of the configuration. JSON is YAML as well. */
async function configure(
  folder: string,
  { serverName, port, database, registrations = [], federationPort }: Configured,
): Promise<string> {
  const write = async (name: string, text: string) => {
    const path = join(folder, name);
    await writeFile(path, text);
    return path;
  };
  const { listeners = [], ...more } = federationPort === undefined ? {} : await federation(folder, federationPort);
  const media = join(folder, "media");
  await mkdir(media);
  const seed = randomBytes(32).toString("base64").replace("=", "");
  const rate = { per_second: 1e9, burst_count: 1e9 };
  const logging = {
    version: 1,
    handlers: { stderr: { class: "logging.StreamHandler" } },
    root: { level: "WARNING", handlers: ["stderr"] },
  };
  const config = {
    server_name: serverName,
    listeners: [listener(port, false), ...listeners],
    database: { name: "sqlite3", args: { database } },
    media_store_path: media,
    signing_key_path: await write("signing.key", `ed25519 a_test ${seed}\n`),
    log_config: await write("log.yaml", JSON.stringify(logging)),
    macaroon_secret_key: randomBytes(32).toString("hex"),
    form_secret: randomBytes(32).toString("hex"),
    report_stats: false,
    trusted_key_servers: [],
    enable_registration: true,
    enable_registration_without_verification: true,
    bcrypt_rounds: 4,
    app_service_config_files: registrations,
    rc_message: rate,
    rc_registration: rate,
    rc_login: { address: rate, account: rate, failed_attempts: rate },
    rc_joins: { local: rate, remote: rate },
    rc_joins_per_room: rate,
    rc_invites: { per_room: rate, per_user: rate, per_issuer: rate },
    rc_room_creation: rate,
    rc_presence: { per_user: rate },
    ...more,
  };
  return await write("homeserver.yaml", JSON.stringify(config));
}
