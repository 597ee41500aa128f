/** A cluster of brokers with Tidemark's processes, as docs/operations.md tells a person to run it. */
import { join } from "node:path";
import type { NatsConnection } from "nats";
import { pino } from "pino";
import * as assert from "uvu/assert";
import { type Role, type StartOptions, start, type Tidemark } from "../../src/start.ts";
import { type CliProcess, runCli } from "./cli-process.ts";
import { BASE, type Body, decoded, eventually, LIMIT_MS, message, pack, receipt, token } from "./harness.ts";
import type { NatsCluster, User } from "./nats-cluster.ts";

const ROOMS = ["!one:a.org", "!two:a.org", "!three:a.org"];
const PARTITIONS = 2;

export function startProcess(cluster: NatsCluster, dir: string, partitions = PARTITIONS): CliProcess {
  return runCli(
    ["start", "--nats", cluster.url("admin"), "--data", dir, "--partitions", `${partitions}`],
    {},
    { limitMs: 170_000 },
  );
}

/** Starts one role in this process, as its own user. */
export async function startRole(
  cluster: NatsCluster,
  role: Role,
  options: Partial<StartOptions> = {},
): Promise<Tidemark & AsyncDisposable> {
  const tidemark = await start({
    nats: cluster.url(role === "proxy" ? "gateway" : role), // A proxy reads what a gateway reads.
    data: join(cluster.dir, role),
    http: { host: "127.0.0.1", port: 0 },
    roles: new Set([role]),
    base: BASE,
    log: pino({ level: "silent" }),
    ...options,
  });
  return { ...tidemark, [Symbol.asyncDispose]: tidemark.stop };
}

export async function connectAs(cluster: NatsCluster, user: User) {
  const nc = await cluster.connect(user);
  return { nc, [Symbol.asyncDispose]: () => nc.close() };
}

async function ask(nc: NatsConnection, subject: string, body: unknown): Promise<Body> {
  const reply = decoded((await nc.request(subject, pack(body), { timeout: LIMIT_MS })).data);
  assert.is(reply.ok, true, JSON.stringify(reply));
  return reply;
}

/** Resolves once the worker has folded it all. */
export async function fill(nc: NatsConnection): Promise<void> {
  for (const room of ROOMS) {
    await ask(nc, `tidemark.in.event.${token(room)}`, [message(`$1${room}`), message(`$2${room}`)]);
    const { positions } = await ask(nc, `tidemark.in.receipt.${token(room)}`, receipt("@a:a.org", `$2${room}`));
    const isFolded = async () => (await look(nc, room)).position === positions[0];
    await eventually(isFolded, `${room} is folded`);
  }
}

const look = (nc: NatsConnection, room: string) => ask(nc, `tidemark.query.${token(room)}`, { op: "snapshot" });

/** What each room looks like; the times of bodies left alone. */
export const looks = (nc: NatsConnection) => Promise.all(ROOMS.map((room) => look(nc, room)));

export async function tidemark(...args: string[]): Promise<void> {
  await using run = runCli(args);
  assert.is(await run.ended, 0, run.stderr.join("\n"));
}

/** A message, as a program of another role sends it. */
export function plainMessage(id: string) {
  return { event_id: id, type: "m.room.message", sender: "@a:a", origin_server_ts: 1, content: { body: id } };
}
