/**
 * `node --import tsx bench/gateway/main.ts [post] [sync] [polls] [load]`: what the gateway does over HTTP, with Tidemark in a
 * process of its own, the broker in another, and this one as the clients.
 *
 * - `post`   receipts a second, each stored before it is answered
 * - `sync`   a first `/sync` of a room with 10,000 markers
 * - `polls`  memory per idle long poll
 * - `load`   1,000 clients in long poll in 100 rooms, 1,000 receipts a second: from the POST to the other client's `/sync`
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import type { Frontend } from "../../src/frontend/frontend.ts";
import { connect } from "../../src/frontend/index.ts";
import { RawClient } from "./raw-client.ts";

const CLI = resolve(import.meta.dirname, "../../src/cli.ts");
const SERVER = "bench.test";
const SECONDS = 10;
const enc = encodeURIComponent;
const userOf = (n: number) => `@user-${n}:${SERVER}`;
const tokenOf = (n: number) => `token-${n}`;
const roomOf = (n: number) => `!room-${n}:${SERVER}`;
const eventOf = (room: number, n: number) => `$event-of-a-usual-length-for-a-matrix-room-${room}-${n}`;

interface World extends AsyncDisposable {
  readonly nats: string;
  readonly http: string;
  readonly pid: number;
  readonly bus: Frontend;
}

async function startWorld(users: number): Promise<World> {
  const dir = await mkdtemp(join(tmpdir(), "tidemark-bench-"));
  const file = join(dir, "users.json");
  const tokens = Array.from({ length: users }, (_, n) => [tokenOf(n), { user_id: userOf(n), device_id: "D" }]);
  await writeFile(file, JSON.stringify(Object.fromEntries(tokens)));
  const args = [
    "--max-semi-space-size=32",
    "--import",
    "tsx",
    CLI,
    "start",
    "--data",
    dir,
    "--users",
    file,
    "--log-level",
    "warn",
  ];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  const [, nats, http] = /nats=(\S+) http=(\S+)/.exec(line)!;
  const bus = await connect({ nats: nats! });
  return {
    nats: nats!,
    http: http!,
    pid: child.pid!,
    bus,
    [Symbol.asyncDispose]: async () => {
      await bus[Symbol.asyncDispose]();
      child.kill("SIGTERM");
      await once(child, "exit");
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** A room with these users joined and so many messages. */
async function makeRoom(bus: Frontend, room: number, users: readonly number[], messages: number): Promise<void> {
  const base = { origin_server_ts: 1, sender: userOf(users[0]!) };
  const members = users.map((n) => ({
    ...base,
    event_id: `$member-${room}-${n}`,
    type: "m.room.member",
    state_key: userOf(n),
    sender: userOf(n),
    content: { membership: "join" },
  }));
  const events = Array.from({ length: messages }, (_, n) => ({
    ...base,
    event_id: eventOf(room, n),
    type: "m.room.message",
    content: { msgtype: "m.text", body: "hello" },
  }));
  for (const all of [members, events]) {
    for (let at = 0; at < all.length; at += 500) await bus.events.send(roomOf(room), all.slice(at, at + 500));
  }
}

async function residentMiB(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1_024;
}

/** Processor time of a process so far, s. On a busy machine it says more than a clock. */
async function processorSeconds(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, "utf8")).split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function percentile(sorted: readonly number[], p: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * p) / 100))] ?? Number.NaN;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function post(): Promise<void> {
  const users = 200;
  await using world = await startWorld(users);
  for (let room = 0; room < 20; room++) {
    await makeRoom(
      world.bus,
      room,
      Array.from({ length: 10 }, (_, i) => room * 10 + i),
      1_000,
    );
  }
  const clients = await Promise.all(Array.from({ length: users }, (_, n) => RawClient.open(world.http, tokenOf(n))));
  let stored = 0;
  let refused = 0;
  const waits: number[] = [];
  let until = performance.now() + 2_000;
  const work = async (client: RawClient, n: number) => {
    const room = Math.floor(n / 10);
    for (let i = 0; performance.now() < until; i++) {
      const path = `/v3/rooms/${enc(roomOf(room))}/receipt/m.read/${enc(eventOf(room, i % 1_000))}`;
      const began = performance.now();
      const { status } = await client.ask("POST", path, "{}");
      if (status !== 200) {
        refused++;
        continue;
      }
      stored++;
      waits.push(performance.now() - began);
    }
  };
  await Promise.all(clients.map(work)); // warm up
  stored = 0;
  waits.length = 0;
  const processorBefore = await processorSeconds(world.pid);
  const began = performance.now();
  until = began + SECONDS * 1_000;
  await Promise.all(clients.map(work));
  const seconds = (performance.now() - began) / 1_000;
  const processor = (await processorSeconds(world.pid)) - processorBefore;
  waits.sort((a, b) => a - b);
  print(
    `post   ${Math.round(stored / seconds)} receipts/s over HTTP, ${users} at once, refused ${refused}, ` +
      `p50 ${percentile(waits, 50).toFixed(1)} ms, p99 ${percentile(waits, 99).toFixed(1)} ms; ${Math.round(stored / processor)} per processor second of Tidemark`,
  );
  for (const client of clients) client.close();
}

async function sync(): Promise<void> {
  await using world = await startWorld(1);
  await makeRoom(world.bus, 0, [0], 100);
  for (let at = 0; at < 10_000; at += 1_000) {
    const receipts = Array.from({ length: 1_000 }, (_, i) => ({
      user_id: `@reader-${at + i}:${SERVER}`,
      receipt_type: "m.read",
      event_id: eventOf(0, (at + i) % 100),
    }));
    await world.bus.send("receipt", roomOf(0) as never, receipts);
  }
  await delay(1_000);
  const client = await RawClient.open(world.http, tokenOf(0));
  const waits: number[] = [];
  let bytes = 0;
  for (let i = 0; i < 20; i++) {
    const began = performance.now();
    const { status, body } = await client.ask("GET", "/v3/sync");
    if (status !== 200) throw new Error(body);
    waits.push(performance.now() - began);
    bytes = body.length;
  }
  waits.sort((a, b) => a - b);
  print(
    `sync   first /sync of 10,000 markers: p50 ${percentile(waits, 50).toFixed(0)} ms, ${(bytes / 1e6).toFixed(2)} MB`,
  );
  client.close();
}

async function polls(): Promise<void> {
  const users = 1_000;
  await using world = await startWorld(users);
  for (let room = 0; room < 100; room++) {
    await makeRoom(
      world.bus,
      room,
      Array.from({ length: 10 }, (_, i) => room * 10 + i),
      10,
    );
  }
  await delay(2_000);
  const clients = await Promise.all(Array.from({ length: users }, (_, n) => RawClient.open(world.http, tokenOf(n))));
  const tokens: string[] = [];
  for (const client of clients) tokens.push(JSON.parse((await client.ask("GET", "/v3/sync")).body).next_batch);
  await delay(3_000);
  const before = await residentMiB(world.pid);
  for (const [n, client] of clients.entries()) {
    client.ask("GET", `/v3/sync?since=${tokens[n]}&timeout=60000`).catch(() => {});
  }
  await delay(5_000);
  const after = await residentMiB(world.pid);
  print(
    `polls  ${(((after - before) * 1_024) / users).toFixed(1)} KiB per idle long poll (${users}; process ${after.toFixed(0)} MiB)`,
  );
  for (const client of clients) client.close();
}

async function load(): Promise<void> {
  const users = 1_000;
  const perRoom = 10;
  const rate = 1_000;
  await using world = await startWorld(users);
  const events = 150;
  for (let room = 0; room < users / perRoom; room++) {
    await makeRoom(
      world.bus,
      room,
      Array.from({ length: perRoom }, (_, i) => room * perRoom + i),
      events,
    );
  }
  await delay(2_000);
  const filter = enc(JSON.stringify({ room: { timeline: { limit: 1 } } }));
  const pollers = await Promise.all(Array.from({ length: users }, (_, n) => RawClient.open(world.http, tokenOf(n))));
  const senders = await Promise.all(Array.from({ length: users }, (_, n) => RawClient.open(world.http, tokenOf(n))));
  /** When each receipt was posted: by event. */
  const posted = new Map<string, number>();
  const waits: number[] = [];
  let lost = 0;
  let refused = 0;
  let syncs = 0;
  let stopping = false;
  const receipt = /\$event-of-a-usual-length-for-a-matrix-room-\d+-\d+/g;
  const poll = async (client: RawClient, n: number) => {
    let since = JSON.parse((await client.ask("GET", `/v3/sync?filter=${filter}`)).body).next_batch;
    while (!stopping) {
      const { status, body } = await client.ask("GET", `/v3/sync?since=${since}&timeout=5000&filter=${filter}`);
      const now = performance.now();
      if (status !== 200) {
        lost++;
        return;
      }
      syncs++;
      since = /"next_batch":"([^"]+)"/.exec(body)![1];
      for (const [event] of body.matchAll(receipt)) {
        const at = posted.get(event);
        // One other client of the room is watched; the rest only adds load.
        if (at !== undefined && n % perRoom === 0) {
          waits.push(now - at);
          posted.delete(event);
        }
      }
    }
  };
  const polling = pollers.map((client, n) => poll(client, n).catch(() => void (stopping || lost++)));
  await delay(3_000);
  const memoryBefore = await residentMiB(world.pid);
  const processorBefore = await processorSeconds(world.pid);
  const began = performance.now();
  const sending: Promise<unknown>[] = [];
  const turns = new Array(users).fill(0);
  for (let sent = 0; performance.now() - began < SECONDS * 1_000; ) {
    const due = Math.floor(((performance.now() - began) / 1_000) * rate);
    for (; sent < due; sent++) {
      const room = sent % (users / perRoom);
      const turn = turns[room]++;
      const n = room * perRoom + 1 + (turn % (perRoom - 1));
      const event = eventOf(room, turn);
      posted.set(event, performance.now());
      const path = `/v3/rooms/${enc(roomOf(room))}/receipt/m.read/${enc(event)}`;
      sending.push(senders[n]!.ask("POST", path, "{}").then(({ status }) => void (status === 200 || refused++)));
    }
    await delay(2);
  }
  await Promise.allSettled(sending);
  await delay(1_500);
  const memoryAfter = await residentMiB(world.pid);
  const processor = (await processorSeconds(world.pid)) - processorBefore;
  stopping = true;
  waits.sort((a, b) => a - b);
  print(
    `load   ${users} long polls, ${sending.length} receipts in ${SECONDS} s: POST to the other's /sync p50 ${percentile(waits, 50).toFixed(1)} ms, ` +
      `p99 ${percentile(waits, 99).toFixed(1)} ms; ${Math.round(syncs / SECONDS)} /sync answers/s; seen ${waits.length}, refused ${refused}, ` +
      `clients lost ${lost}; memory ${memoryBefore.toFixed(0)} → ${memoryAfter.toFixed(0)} MiB; ` +
      `${processor.toFixed(1)} processor seconds of Tidemark`,
  );
  for (const client of [...pollers, ...senders]) client.close();
  await Promise.allSettled(polling);
}

const CASES = { post, sync, polls, load };
const wanted = process.argv.slice(2);
for (const [name, run] of Object.entries(CASES)) {
  if (wanted.length === 0 || wanted.includes(name)) await run();
}
