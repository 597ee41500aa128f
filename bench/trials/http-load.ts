/**
 * Clients that wait in `/sync`, and receipts at a steady rate, in rooms at random: from when a receipt was due to be posted to
 * when another client of its room has been shown it. A client that is answered asks again at once, as phones do.
 *
 * Ten clients of a room are told of each receipt, so the gateway gives up to ten answers for one receipt. One client of
 * each room is watched; its answers are read, the others' are only counted. A client that is not answered, or refused,
 * breaks the trial.
 */
import { setTimeout as delay } from "node:timers/promises";
import {
  bodyOf,
  costs,
  enc,
  firstSyncs,
  makeRooms,
  nextBatch,
  processorMeter,
  receiptPath,
  startGatewayWorld,
} from "../gateway/gateway-world.ts";
import type { RawClient } from "../gateway/raw-client.ts";
import { residentMemory } from "../resident-memory.ts";
import { percentile } from "../stats.ts";
import type { Trial } from "../trial.ts";

const PER_ROOM = 10;
const SENDERS = PER_ROOM - 1;
const SIZES = {
  full: { users: 1_000, rate: 1_000, warmUp: 5, seconds: 20 },
  quick: { users: 500, rate: 500, warmUp: 0.5, seconds: 2 },
} as const;
const FILTER = `filter=${enc(JSON.stringify({ room: { timeline: { limit: 1 } } }))}`;
const TIMEOUT_MS = 30_000;
/** How long the last receipts may take to be shown. */
const SHOWN_MS_MAX = 5_000;

export const httpLoad: Trial = {
  id: "http_load",
  measure: async (context) => {
    const { users, rate, warmUp, seconds } = SIZES[context.scale];
    const rooms = users / PER_ROOM;
    const events = Math.ceil(((warmUp + seconds) * rate * 2) / rooms);
    await using world = await startGatewayWorld(context, users);
    await makeRooms(world.bus, rooms, PER_ROOM, events);
    const pollers = await world.clients(users);
    const senders = await world.clients(users);
    const tokens = await firstSyncs(pollers, FILTER);
    const shown = new Shown();
    let syncs = 0;
    let stopping = false;
    const poll = async (client: RawClient, n: number) => {
      const isWatched = n % PER_ROOM === 0;
      for (let since = tokens[n]!; !stopping; ) {
        const body = bodyOf(await client.ask("GET", `/v3/sync?${FILTER}&timeout=${TIMEOUT_MS}&since=${since}`));
        syncs++;
        if (isWatched) shown.take(body, performance.now());
        since = nextBatch(body);
      }
    };
    const noteFailure = (error: unknown) => {
      if (!stopping) shown.failure ??= error;
    };
    for (const [n, client] of pollers.entries()) poll(client, n).catch(noteFailure);

    const turns = new Array<number>(rooms).fill(0);
    const answers: Promise<void>[] = [];
    const post = async (forSeconds: number) => {
      const began = performance.now();
      for (let sent = 0; sent < forSeconds * rate; await delay(1)) {
        const due = Math.min(forSeconds * rate, ((performance.now() - began) / 1_000) * rate);
        for (; sent < due; sent++) {
          const room = Math.floor(Math.random() * rooms);
          const turn = turns[room]!++;
          shown.await(room, turn, began + (sent * 1_000) / rate);
          // Everyone but who is watched, one after another.
          const sender = senders[room * PER_ROOM + 1 + (turn % SENDERS)]!;
          answers.push(
            sender
              .ask("POST", receiptPath(room, turn), "{}")
              .then(bodyOf)
              .then(() => {}, noteFailure),
          );
        }
      }
      await Promise.all(answers.splice(0));
    };
    await post(warmUp);
    await shown.all();
    const before = await residentMemory(world.pids.tidemark);
    shown.times.length = 0;
    syncs = 0;
    const spent = await processorMeter(world);
    await post(seconds);
    await shown.all();
    const processor = await spent();
    const after = await residentMemory(world.pids.tidemark);
    stopping = true;
    const sorted = Float64Array.from(shown.times).sort();
    const title = `${users.toLocaleString("en")} long polls in ${rooms} rooms, ${rate.toLocaleString("en")} receipts/s`;
    const at = (percent: number) => ({
      id: `http_load_p${percent}`,
      title: `${title}: POST to another's /sync, p${percent}`,
      unit: "ms" as const,
      values: [percentile(sorted, percent)],
    });
    return [
      at(50),
      at(99),
      { id: "http_load_syncs", title: `${title}: answers of /sync`, unit: "1/s", values: [syncs / seconds] },
      { id: "http_load_memory_before", title: `${title}: memory before`, unit: "MiB", values: [before.VmRSS] },
      { id: "http_load_memory", title: `${title}: memory after ${seconds} s`, unit: "MiB", values: [after.VmRSS] },
      ...costs("http_load", `${title}, a receipt and its answers`, processor, seconds * rate),
    ];
  },
};

/** Receipts that are to be shown to whoever is watched. */
class Shown {
  readonly times: number[] = [];
  /** What went wrong first. */
  failure: unknown;
  /** By room and event. */
  readonly #due = new Map<string, number>();

  await(room: number, event: number, dueAt: number): void {
    this.#due.set(`${room}-${event}`, dueAt);
  }

  /** A receipt stands for those of its sender before it, which it may have replaced on the way. */
  take(body: string, now: number): void {
    for (const [, room, shown] of body.matchAll(/\$event-(\d+)-(\d+)-/g)) {
      for (let event = Number(shown); event >= 0; event -= SENDERS) {
        const key = `${room}-${event}`;
        const dueAt = this.#due.get(key);
        if (dueAt === undefined) break;
        this.times.push(now - dueAt);
        this.#due.delete(key);
      }
    }
  }

  /** Throws when some are never shown, or something went wrong. */
  async all(): Promise<void> {
    const deadline = performance.now() + SHOWN_MS_MAX;
    for (;;) {
      if (this.failure !== undefined) throw this.failure;
      if (this.#due.size === 0) return;
      if (performance.now() > deadline) throw new Error(`${this.#due.size} receipts were not shown`);
      await delay(10);
    }
  }
}
