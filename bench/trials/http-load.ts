/**
 * Clients in long polls of `/sync`, and receipts at a steady rate in random rooms. Measures the time from when the POST
 * of a receipt was due until another client of the room has it. A client that is answered asks again at once, as phones
 * do.
 *
 * Each receipt goes to the ten clients of its room, so the gateway gives up to ten answers per receipt. Nine of them
 * read an event, one after another, and then the next event. The answers of the tenth are parsed, those of the others
 * are only counted. A refused or unanswered client fails the trial.
 */
import { setTimeout as delay } from "node:timers/promises";
import {
  bodyOf,
  costs,
  enc,
  eventNumber,
  firstSyncs,
  makeRooms,
  nextBatch,
  processorMeter,
  receiptPath,
  startGatewayWorld,
  userNumber,
} from "../gateway/gateway-world.ts";
import type { RawClient } from "../gateway/raw-client.ts";
import { residentMemory } from "../resident-memory.ts";
import { percentile } from "../stats.ts";
import type { Trial } from "../trial.ts";

const PER_ROOM = 10;
const SENDERS = PER_ROOM - 1;
const SIZES = {
  full: { users: 1_000, rate: 1_000, warmUp: 5, seconds: 30 },
  quick: { users: 500, rate: 500, warmUp: 1, seconds: 2 },
} as const;
const FILTER = `filter=${enc(JSON.stringify({ room: { timeline: { limit: 1 } } }))}`;
const TIMEOUT_MS = 30_000;
/** The timeout for the last receipts to be shown. */
const SHOWN_MS_MAX = 5_000;

export const httpLoad: Trial = {
  id: "http_load",
  measure: async (context) => {
    const { users, rate, warmUp, seconds } = SIZES[context.scale];
    const rooms = users / PER_ROOM;
    const events = Math.ceil(((warmUp + seconds) * rate * 1.4) / (rooms * SENDERS));
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
          const n = room * PER_ROOM + 1 + (turn % SENDERS);
          const event = Math.floor(turn / SENDERS);
          shown.await(n, event, began + (sent * 1_000) / rate);
          answers.push(
            senders[n]!.ask("POST", receiptPath(room, event), "{}")
              .then(bodyOf)
              .then(() => {}, noteFailure),
          );
        }
      }
      await Promise.all(answers.splice(0));
    };
    await post(warmUp);
    await shown.all();
    const memory = new MemoryWatch(world.pids.gateway);
    shown.times.length = 0;
    syncs = 0;
    const spent = await processorMeter(world);
    await post(seconds);
    await shown.all();
    const processor = await spent();
    const [early, late] = memory.stop();
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
      {
        id: "http_load_memory",
        title: `${title}: gateway's memory, most in the first half`,
        unit: "MiB",
        values: [early],
      },
      { id: "http_load_memory_late", title: `${title}: and in the second`, unit: "MiB", values: [late] },
      ...costs("http_load", `${title}, a receipt and its answers`, processor, seconds * rate),
    ];
  },
};

/**
 * The maximum memory of a process in MiB, in the first half of the time and in the second. Maxima, because garbage
 * collection makes memory rise and fall.
 */
class MemoryWatch {
  readonly #seen: number[] = [];
  readonly #timer: NodeJS.Timeout;

  constructor(pid: number) {
    this.#timer = setInterval(() => {
      residentMemory(pid).then(
        ({ VmRSS }) => this.#seen.push(VmRSS),
        () => {},
      );
    }, 100);
  }

  stop(): [early: number, late: number] {
    clearInterval(this.#timer);
    const half = Math.ceil(this.#seen.length / 2);
    return [Math.max(...this.#seen.slice(0, half)), Math.max(...this.#seen.slice(half))];
  }
}

interface Section {
  readonly ephemeral: { readonly events: readonly { readonly content: Record<string, Record<string, object>> }[] };
}

/** Receipts that the watched clients have not been shown yet. */
class Shown {
  readonly times: number[] = [];
  /** The first failure. */
  failure: unknown;
  #open = 0;
  /** By user: the number of the last event that was shown, and the due times of the events after it. */
  readonly #users = new Map<number, { shown: number; readonly due: number[] }>();

  /** The events of a user must be passed in order. */
  await(user: number, event: number, dueAt: number): void {
    const found = this.#users.get(user);
    if (found === undefined) this.#users.set(user, { shown: event - 1, due: [dueAt] });
    else found.due.push(dueAt);
    this.#open++;
  }

  /** A receipt counts for the earlier ones of its user, too, which it may have replaced on the way. */
  take(body: string, now: number): void {
    for (const section of Object.values<Section>(JSON.parse(body).rooms.join)) {
      for (const { content } of section.ephemeral.events) {
        for (const [id, types] of Object.entries(content)) {
          for (const name of Object.keys(types["m.read"] ?? {})) this.#see(userNumber(name), eventNumber(id), now);
        }
      }
    }
  }

  #see(user: number, event: number, now: number): void {
    const found = this.#users.get(user)!;
    for (; found.shown < event; found.shown++) {
      this.times.push(now - found.due.shift()!);
      this.#open--;
    }
  }

  /** Resolves when all receipts are shown. Throws the first failure, or after `SHOWN_MS_MAX`. */
  async all(): Promise<void> {
    const deadline = performance.now() + SHOWN_MS_MAX;
    for (;;) {
      if (this.failure !== undefined) throw this.failure;
      if (this.#open === 0) return;
      if (performance.now() > deadline) throw new Error(`${this.#open} receipts were not shown`);
      await delay(10);
    }
  }
}
