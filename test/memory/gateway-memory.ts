/**
 * A gateway in a process of its own, with clients that sync all the time, while a homeserver sends events and receipts
 * over the bus. Its memory must stay below a bound, and level over the last half of the time.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { RawClient } from "../../bench/gateway/raw-client.ts";
import { runCli } from "../support/cli-process.ts";
import { type BusHarness, message, receipt, startBus } from "../support/harness.ts";

const HEAP_MIB = 512;
const RESIDENT_MIB_MAX = 381; // 400 MB
/** How much more a quarter of the time may take than the one before: what the collector leaves for later differs. */
const GROWTH_MAX = 0.05;
/** A load that is mostly not sent, because the machine is busy, proves nothing. */
const SENT_MIN = 0.5;

const ROOMS = 20;
const MEMBERS_PER_ROOM = 20;
const TICKS_PER_SECOND = 10;
const SAMPLE_MS = 5_000;
const POLL_MS = 30_000;
const LIMIT_MS = 24 * 3_600_000;
const MIB = 1_048_576;

interface Load {
  readonly durationMs: number;
  readonly receiptsPerSecond: number;
  readonly eventsPerSecond: number;
  readonly clients: number;
  readonly print: (line: string) => void;
}

const roomName = (index: number) => `!memory${index % ROOMS}:a.org`;
const userName = (index: number) => `@user${index}:a.org`;

/** The users of a room: each is in several, so that a client has more than one busy room. */
const membersOf = (room: number, users: number) =>
  Array.from({ length: Math.min(MEMBERS_PER_ROOM, users) }, (_, i) =>
    userName((room * (MEMBERS_PER_ROOM / 2) + i) % users),
  );

/** Returns what is wrong. */
export async function measureGateway(load: Load): Promise<string[]> {
  const { durationMs, clients, print } = load;
  await using bus = await startBus();
  const users = join(bus.dir, "users.json");
  const tokens = Array.from({ length: clients }, (_, i) => [`token${i}`, { user_id: userName(i), device_id: `D${i}` }]);
  await writeFile(users, JSON.stringify(Object.fromEntries(tokens)));
  const args = ["--nats", bus.url, "--data", join(bus.dir, "data")];
  await using worker = runCli(["start", ...args, "--roles", "ingress,worker"], {}, { limitMs: LIMIT_MS });
  await worker.ready;
  for (let room = 0; room < ROOMS; room++) await joinAll(bus, room, clients);
  await using gateway = runCli(
    ["start", ...args, "--roles", "gateway", "--users", users, "--metrics", "127.0.0.1:0"],
    { NODE_OPTIONS: `--max-old-space-size=${HEAP_MIB}` },
    { limitMs: LIMIT_MS },
  );
  const { http, metrics } = await gateway.ready;

  const until = performance.now() + durationMs;
  const sender = new Sender(bus, load);
  const polling = Array.from({ length: clients }, (_, i) => poll(http, `token${i}`, until));
  const samples: number[] = [];
  const sampling = (async () => {
    while (performance.now() < until) {
      await delay(SAMPLE_MS);
      samples.push((await residentBytes(metrics!)) / MIB);
      if (samples.length % 12 === 0)
        print(`${(samples.length * SAMPLE_MS) / 60_000} min: ${samples.at(-1)!.toFixed(0)} MiB`);
    }
  })();
  const [answers] = await Promise.all([Promise.all(polling), sender.run(until), sampling]);

  const seconds = durationMs / 1_000;
  const quarter = (index: number) => {
    const part = samples.slice((index * samples.length) / 4, ((index + 1) * samples.length) / 4);
    return part.reduce((sum, sample) => sum + sample, 0) / part.length;
  };
  const answered = answers.reduce((sum, count) => sum + count, 0);
  const max = Math.max(...samples);
  print(
    `${clients} clients, ${(sender.receipts / seconds).toFixed(0)} receipts/s, ${(sender.events / seconds).toFixed(0)} events/s, ` +
      `${(answered / seconds).toFixed(0)} answers/s for ${(seconds / 60).toFixed(1)} min; resident memory at most ${max.toFixed(0)} MiB; ` +
      `by quarters ${[0, 1, 2, 3].map((index) => quarter(index).toFixed(0)).join(", ")} MiB`,
  );
  const faults: string[] = [];
  if (max >= RESIDENT_MIB_MAX) faults.push(`${max.toFixed(0)} MiB are resident`);
  if (quarter(3) > quarter(2) * (1 + GROWTH_MAX)) faults.push("memory grew over the last half");
  if (sender.receipts < SENT_MIN * load.receiptsPerSecond * seconds) faults.push("too little load was sent");
  if (answers.some((count) => count === 0)) faults.push("a client got no answer");
  return faults;
}

async function joinAll(bus: BusHarness, room: number, users: number): Promise<void> {
  const joins = membersOf(room, users).map((user) =>
    message(`$join-${room}-${user}`, {
      type: "m.room.member",
      sender: user,
      state_key: user,
      content: { membership: "join" },
    }),
  );
  await bus.sent("event", roomName(room), joins);
}

/** Sends events, and receipts of each room's members on its newest one. */
class Sender {
  events = 0;
  receipts = 0;
  readonly #bus: BusHarness;
  readonly #load: Load;
  /** Of each room: its newest event, and which member reads it next. */
  readonly #rooms: { event: string | undefined; reader: number }[];

  constructor(bus: BusHarness, load: Load) {
    this.#bus = bus;
    this.#load = load;
    this.#rooms = Array.from({ length: ROOMS }, () => ({ event: undefined, reader: 0 }));
  }

  /** A tick that takes longer delays the next ones: then less is sent than asked for. */
  async run(until: number): Promise<void> {
    const tickMs = 1_000 / TICKS_PER_SECOND;
    const { eventsPerSecond, receiptsPerSecond } = this.#load;
    const events = eventsPerSecond / TICKS_PER_SECOND;
    const receipts = receiptsPerSecond / TICKS_PER_SECOND;
    for (let tick = 1; performance.now() < until; tick++) {
      const began = performance.now();
      const rooms = new Set<number>();
      while (this.events < tick * events) rooms.add(await this.#sendEvent());
      const perRoom = Math.ceil(receipts / Math.max(1, rooms.size));
      await Promise.all(Array.from(rooms, (room) => this.#sendReceipts(room, perRoom)));
      await delay(Math.max(0, tickMs - (performance.now() - began)));
    }
  }

  async #sendEvent(): Promise<number> {
    const room = this.events % ROOMS;
    const id = `$memory-${this.events++}-${"x".repeat(30)}`;
    const content = { msgtype: "m.text", body: `message ${id} `.repeat(4) };
    const sender = membersOf(room, this.#load.clients)[0]!;
    await this.#bus.sent("event", roomName(room), message(id, { content, sender, origin_server_ts: Date.now() }));
    this.#rooms[room]!.event = id;
    return room;
  }

  async #sendReceipts(room: number, count: number): Promise<void> {
    const state = this.#rooms[room]!;
    const members = membersOf(room, this.#load.clients);
    const types = ["m.read", "m.read.private"];
    const receipts = Array.from({ length: count }, () => {
      const reader = state.reader++;
      const user = members[Math.floor(reader / types.length) % members.length]!;
      return receipt(user, state.event!, { receipt_type: types[reader % types.length], ts: Date.now() });
    });
    await this.#bus.sent("receipt", roomName(room), receipts);
    this.receipts += count;
  }
}

/** Syncs until then. Resolves to the number of answers. */
async function poll(url: string, token: string, until: number): Promise<number> {
  const client = await RawClient.open(url, token);
  let since = "";
  let answers = 0;
  while (performance.now() < until) {
    const { status, body } = await client.ask("GET", `/v3/sync?timeout=${POLL_MS}${since}`);
    if (status !== 200) throw new Error(`/sync: ${status} ${body}`);
    since = `&since=${/"next_batch":"([^"]+)"/.exec(body)![1]}`;
    answers++;
  }
  client.close();
  return answers;
}

async function residentBytes(metrics: string): Promise<number> {
  const text = await (await fetch(`${metrics}/metrics`)).text();
  return Number(/^process_resident_memory_bytes (\S+)$/m.exec(text)![1]);
}
