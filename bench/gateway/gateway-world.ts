/**
 * The processes of a run with a gateway: the broker, the gateway, and the other roles in one. The clients are in this
 * process.
 *
 *     clients ◀──HTTP──▶ gateway ◀──▶ nats-server ◀──▶ worker (with ingress)
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { startBroker } from "../../src/bus/broker/process.ts";
import { connect, type Frontend } from "../../src/frontend/index.ts";
import { processorSeconds } from "../cpu.ts";
import { startTidemark } from "../node-process.ts";
import type { Measured, TrialContext } from "../trial.ts";
import { type RawAnswer, RawClient } from "./raw-client.ts";

const SERVER = "bench.example.org";
const EVENTS_PER_REQUEST = 100;
const RECEIPTS_PER_REQUEST = 500;
/** How many first `/sync` requests run at once. Limited, because the start of a gateway is not what is measured. */
const FIRST_SYNCS_AT_ONCE = 20;
/** Processes that took no more of the processor in this time are idle. A profiler alone takes a tenth of it in each. */
const IDLE_MS = 1_000;
const IDLE_SECONDS_MAX = 0.05;
const PROFILED_IDLE_SECONDS_MAX = 0.5;

export const enc = encodeURIComponent;
const userOf = (n: number) => `@user-${n}:${SERVER}`;
export const roomOf = (n: number) => `!room-${n}:${SERVER}`;
/** Returns an id as long as those of current room versions. */
const eventOf = (room: number, n: number) => `$${`event-${room}-${n}-`.padEnd(43, "x")}`;
export const userNumber = (id: string) => Number(/^@user-(\d+):/.exec(id)![1]);
export const eventNumber = (id: string) => Number(/^\$event-\d+-(\d+)-/.exec(id)![1]);
const tokenOf = (n: number) => `token-of-a-usual-length-for-a-matrix-client-${n}`;

export interface GatewayWorld extends AsyncDisposable {
  readonly pids: { readonly broker: number; readonly worker: number; readonly gateway: number };
  readonly bus: Frontend;
  /** The broker's address. */
  readonly nats: string;
  readonly isProfiled: boolean;
  /** Opens a connection for each of the first `count` users. */
  clients(count: number): Promise<RawClient[]>;
  /** Replaces the gateway by a new process, which remembers nothing. Open connections end. */
  restartGateway(): Promise<void>;
}

export async function startGatewayWorld({ dir, built, profile }: TrialContext, users: number): Promise<GatewayWorld> {
  const closing: (() => PromiseLike<void>)[] = [];
  const dispose = async () => {
    for (let close = closing.pop(); close !== undefined; close = closing.pop()) await close();
  };
  try {
    const file = join(dir, "users.json");
    const tokens = Array.from({ length: users }, (_, n) => [tokenOf(n), { user_id: userOf(n), device_id: "D" }]);
    await writeFile(file, JSON.stringify(Object.fromEntries(tokens)));
    const broker = await startBroker({ storeDir: join(dir, "nats") });
    closing.push(() => broker.stop());
    const start = async (data: string, args: readonly string[]) => {
      const running = await startTidemark({ url: broker.url, data: join(dir, data), built, profile, args });
      closing.push(running.stop);
      return running;
    };
    const worker = await start("data", ["--roles", "ingress,worker"]);
    const startGateway = () => start("gateway", ["--roles", "gateway", "--users", file]);
    let gateway = await startGateway();
    const bus = await connect({ nats: broker.url });
    closing.push(() => bus[Symbol.asyncDispose]());
    return {
      get pids() {
        return { broker: broker.pid, worker: worker.pid, gateway: gateway.pid };
      },
      bus,
      nats: broker.url,
      isProfiled: profile !== undefined,
      restartGateway: async () => {
        await gateway.stop();
        gateway = await startGateway();
      },
      clients: async (count) => {
        const url = /http=(\S+)/.exec(gateway.line)![1]!;
        const clients = await Promise.all(Array.from({ length: count }, (_, n) => RawClient.open(url, tokenOf(n))));
        closing.push(async () => {
          for (const client of clients) client.close();
        });
        return clients;
      },
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Makes a room that these users join, with this many messages of the first user. */
export async function makeRoom(bus: Frontend, room: number, users: readonly number[], messages: number): Promise<void> {
  const base = { origin_server_ts: 1, sender: userOf(users[0]!) };
  const members = users.map((n) => ({
    ...base,
    event_id: eventOf(room, -1 - n),
    type: "m.room.member",
    state_key: userOf(n),
    sender: userOf(n),
    content: { membership: "join" },
  }));
  const events = Array.from({ length: messages }, (_, n) => ({
    ...base,
    event_id: eventOf(room, n),
    type: "m.room.message",
    content: { msgtype: "m.text", body: "a message of a usual length, as people write them" },
  }));
  for (const all of [members, events]) {
    for (let at = 0; at < all.length; at += EVENTS_PER_REQUEST) {
      await bus.events.send(roomOf(room), all.slice(at, at + EVENTS_PER_REQUEST));
    }
  }
}

/** Makes rooms of `perRoom` users each: user n is in the room ⌊n / perRoom⌋. */
export async function makeRooms(bus: Frontend, rooms: number, perRoom: number, messages: number): Promise<void> {
  await Promise.all(
    Array.from({ length: rooms }, (_, room) =>
      makeRoom(
        bus,
        room,
        Array.from({ length: perRoom }, (_, i) => room * perRoom + i),
        messages,
      ),
    ),
  );
}

export const receiptPath = (room: number, event: number) =>
  `/v3/rooms/${enc(roomOf(room))}/receipt/m.read/${enc(eventOf(room, event))}`;

/** Returns the body of an answer. Throws if the request was refused. */
export function bodyOf({ status, body }: RawAnswer): string {
  if (status === 200) return body;
  throw new Error(`the gateway refused: ${status} ${body}`);
}

const NEXT = '"next_batch":"';

export function nextBatch(body: string): string {
  const at = body.indexOf(NEXT) + NEXT.length;
  return body.slice(at, body.indexOf('"', at));
}

/** Sends the first `/sync` of each client. Resolves to their tokens. */
export async function firstSyncs(clients: readonly RawClient[], query = ""): Promise<string[]> {
  const tokens: string[] = [];
  const queue = clients.entries();
  const work = async () => {
    for (const [n, client] of queue) tokens[n] = nextBatch(bodyOf(await client.ask("GET", `/v3/sync?${query}`)));
  };
  await Promise.all(Array.from({ length: FIRST_SYNCS_AT_ONCE }, work));
  return tokens;
}

/** Starts to count processor time. The result returns the seconds since then, by process. */
export async function processorMeter(world: GatewayWorld): Promise<() => Promise<Record<string, number>>> {
  const before = await processorSeconds(world.pids);
  return async () => {
    const after = await processorSeconds(world.pids);
    return Object.fromEntries(Object.entries(after).map(([name, busy]) => [name, busy - before[name]!]));
  };
}

/** Waits until the processes have nothing to do: a gateway that has started reads the newest deltas first. */
export async function idle(world: GatewayWorld): Promise<void> {
  const secondsMax = world.isProfiled ? PROFILED_IDLE_SECONDS_MAX : IDLE_SECONDS_MAX;
  for (;;) {
    const since = await processorMeter(world);
    await delay(IDLE_MS);
    const { broker = 0, worker = 0, gateway = 0 } = await since();
    if (broker + worker + gateway < secondsMax) return;
  }
}

/** Returns the processor time of each process per receipt or answer. `others` is the rest of the machine. */
export function costs(id: string, what: string, seconds: Record<string, number>, count: number): Measured[] {
  return Object.entries(seconds).map(([name, busy]) => ({
    id: `${id}_cost_${name}`,
    title: `${what}: processor time of ${name}`,
    unit: "µs",
    values: [(busy * 1e6) / count],
  }));
}

/** Each of this many users reads one of the first events of room 0, in turn. */
export async function readByMany(bus: Frontend, users: number, events: number): Promise<void> {
  for (let at = 0; at < users; at += RECEIPTS_PER_REQUEST) {
    const receipts = Array.from({ length: Math.min(RECEIPTS_PER_REQUEST, users - at) }, (_, i) => ({
      user_id: userOf(at + i),
      receipt_type: "m.read" as const,
      event_id: eventOf(0, (at + i) % events),
    }));
    await bus.send("receipt", roomOf(0) as never, receipts);
  }
}
