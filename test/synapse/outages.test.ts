/**
 * Traffic through the proxy and past it, while Tidemark, its proxy and a live Synapse are killed and paused, and pushes stall. After
 * each of these the markers, `m.fully_read` and the unread counts of all users are Synapse's own again.
 */
import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { eachAtOnce } from "../../src/at-once.ts";
import { reasonOf } from "../../src/errors.ts";
import { eventually } from "../support/harness.ts";
import { type Account, matrix } from "../support/live-synapse.ts";
import { random } from "../support/random.ts";
import { type SplitSynapse, startSplitSynapse } from "../support/split-synapse.ts";
import { countsOfSynapse, countsOfTables, countsOfTidemark, markerDifferences } from "../support/synapse-markers.ts";
import { SEED } from "../support/tier.ts";

const READERS = 48;
const SPEAKERS = 2;
const ACTIONS = 120;
const PAUSE_MS = 4_000;
const REQUEST_LIMIT_MS = 3_000;
/** Less than the five minutes until all markers are read again anyway. It takes seconds, and on a busy machine a minute. */
const EQUAL_LIMIT_MS = 240_000;
const COMPARE_PAUSE_MS = 1_000;
const COUNTED_USERS = 12;
const SYNCS_AT_ONCE = 8;

const V3 = "/_matrix/client/v3";
const enc = encodeURIComponent;

interface Fault {
  begin(system: SplitSynapse): unknown;
  end(system: SplitSynapse): unknown;
}

const FAULTS: Readonly<Record<string, Fault>> = {
  "kill -9 of the worker and ingress": {
    begin: ({ worker }) => worker.end("SIGKILL"),
    end: ({ worker }) => worker.start(),
  },
  "kill -9 of the proxy": {
    begin: ({ proxy }) => proxy.end("SIGKILL"),
    end: ({ proxy }) => proxy.start(),
  },
  "kill -9 of all of Tidemark": {
    begin: ({ worker, proxy }) => Promise.all([worker.end("SIGKILL"), proxy.end("SIGKILL")]),
    end: ({ worker, proxy }) => Promise.all([worker.start(), proxy.start()]),
  },
  "kill -9 of Synapse": {
    begin: ({ synapse }) => synapse.end("SIGKILL"),
    end: ({ synapse }) => synapse.start(),
  },
  "a pause of Tidemark": {
    begin: ({ worker, proxy }) => {
      for (const each of [worker, proxy]) each.signal("SIGSTOP");
    },
    end: async ({ worker, proxy }) => {
      await delay(PAUSE_MS);
      for (const each of [worker, proxy]) each.signal("SIGCONT");
    },
  },
  "a pause of Synapse": {
    begin: ({ synapse }) => synapse.pause(),
    end: async ({ synapse }) => {
      await delay(PAUSE_MS);
      synapse.resume();
    },
  },
  "a stalled push": {
    begin: ({ pushes }) => pushes.stall(),
    end: async ({ pushes }) => {
      await delay(PAUSE_MS);
      pushes.flow();
    },
  },
};

/** Everybody in two rooms. Speakers send, readers read, through the proxy or past it. */
class Traffic {
  readonly accounts: Account[] = [];
  readonly rooms: string[] = [];
  readonly #system: SplitSynapse;
  readonly #next = random(SEED);
  /** By room, in order. */
  readonly #events = new Map<string, { id: string; thread: string }[]>();
  #transactions = 0;
  /** Where each account's client goes on. */
  readonly #since = new Map<string, string>();

  constructor(system: SplitSynapse) {
    this.#system = system;
  }

  get readers(): Account[] {
    return this.accounts.slice(SPEAKERS);
  }

  async begin(): Promise<void> {
    const { synapse } = this.#system;
    for (let n = 0; n < SPEAKERS + READERS; n++) this.accounts.push(await synapse.register(`user${n}`));
    for (let n = 0; n < 2; n++) {
      const body = { preset: "public_chat", room_version: n === 0 ? "10" : "12" };
      const { room_id: room } = await matrix(synapse.url, this.accounts[n]!.token, "POST", `${V3}/createRoom`, body);
      this.rooms.push(room);
      this.#events.set(room, []);
      for (const { token } of this.accounts) await matrix(synapse.url, token, "POST", `${V3}/join/${enc(room)}`, {});
    }
  }

  /** So many actions, one after the other. Those that fail are not repeated. */
  async run(actions: number): Promise<void> {
    for (let n = 0; n < actions; n++) await this.#act().catch(() => {});
  }

  /** Each user's client asks for news, as it does after an outage. Throws unless all are answered. */
  async syncAll(): Promise<void> {
    const filter = enc(JSON.stringify({ room: { timeline: { limit: 1 } } }));
    await eachAtOnce(this.accounts, SYNCS_AT_ONCE, async ({ user, token }) => {
      const since = this.#since.get(user);
      const path = `${V3}/sync?timeout=0&filter=${filter}${since === undefined ? "" : `&since=${since}`}`;
      const { next_batch: next } = await matrix(this.#system.proxyUrl, token, "GET", path);
      this.#since.set(user, next);
    });
  }

  #one<T>(list: readonly T[]): T {
    return list[Math.floor(this.#next() * list.length)]!;
  }

  async #act(): Promise<void> {
    const room = this.#one(this.rooms);
    const events = this.#events.get(room)!;
    const roll = this.#next();
    if (roll < 0.25 || events.length === 0) {
      const root = roll < 0.1 ? this.#one(events.filter(({ thread }) => thread === "main"))?.id : undefined;
      const relation = root === undefined ? {} : { "m.relates_to": { rel_type: "m.thread", event_id: root } };
      const path = `/rooms/${enc(room)}/send/m.room.message/t${this.#transactions++}`;
      const speaker = this.#one(this.accounts.slice(0, SPEAKERS));
      const id = await this.#ask(speaker, "PUT", path, { msgtype: "m.text", body: "hello", ...relation });
      events.push({ id, thread: root ?? "main" });
      return;
    }
    const recent = events.slice(-20);
    const { id, thread } = this.#one(recent);
    const reader = this.#one(this.accounts);
    if (roll < 0.35) {
      await this.#ask(reader, "POST", `/rooms/${enc(room)}/read_markers`, { "m.fully_read": id });
      return;
    }
    const type = roll < 0.5 ? "m.read.private" : "m.read";
    const body = roll < 0.7 ? {} : { thread_id: thread };
    await this.#ask(reader, "POST", `/rooms/${enc(room)}/receipt/${type}/${enc(id)}`, body);
  }

  async #ask({ token }: Account, method: string, path: string, body: unknown): Promise<string> {
    const url = this.#next() < 0.5 ? this.#system.proxyUrl : this.#system.synapse.url;
    const response = await fetch(`${url}${V3}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(REQUEST_LIMIT_MS),
    });
    const answer: unknown = await response.json();
    if (response.status !== 200) throw new Error(`${method} ${path}: ${response.status}`);
    return typeof answer === "object" && answer !== null && "event_id" in answer ? String(answer.event_id) : "";
  }
}

const outages = suite("outages of a live Synapse and Tidemark");

outages("leave markers, m.fully_read and unread counts equal to Synapse's", async () => {
  await using system = await startSplitSynapse();
  const traffic = new Traffic(system);
  await traffic.begin();
  const users = traffic.accounts.map(({ user }) => user);
  const assertEqual = async (after: string) => {
    const began = performance.now();
    await traffic.syncAll();
    let differences: readonly string[] = [];
    const areEqual = async () => {
      // A worker whose lease ran out answers nothing for a moment.
      differences = await markerDifferences(system, traffic.rooms, users).catch((error) => [reasonOf(error)]);
      if (differences.length > 0) {
        await delay(COMPARE_PAUSE_MS); // To compare takes time from those who are compared.
        await traffic.syncAll();
      }
      return differences.length === 0;
    };
    await eventually(areEqual, `equal after ${after}`, EQUAL_LIMIT_MS).catch((error) => {
      const log = [...system.proxy.lines(), ...system.worker.lines()].slice(-30);
      throw new Error(`${error.message}\n${differences.slice(0, 20).join("\n")}\n${log.join("\n")}`);
    });
    const took = ((performance.now() - began) / 1_000).toFixed(1);
    process.stdout.write(`all markers are equal ${took} s after Synapse answered: ${after}\n`);
    let ofSynapse = 0;
    for (const reader of traffic.readers.slice(0, COUNTED_USERS)) {
      for (const room of traffic.rooms) {
        const found = await countsOfTidemark(system.bus, reader, room);
        assert.equal(
          found,
          await countsOfTables(system.synapse, reader, room),
          `${reader.user} in ${room} after ${after}`,
        );
        if (isDeepStrictEqual(found, await countsOfSynapse(system.synapse, reader, room))) ofSynapse++;
      }
    }
    const counted = COUNTED_USERS * traffic.rooms.length;
    process.stdout.write(`all counts are equal, ${ofSynapse} of ${counted} also to Synapse's /sync\n`);
  };
  await traffic.run(ACTIONS);
  await assertEqual("traffic without a fault");
  for (const [name, fault] of Object.entries(FAULTS)) {
    await fault.begin(system);
    await traffic.run(name.includes("pause") ? 2 : ACTIONS);
    await fault.end(system);
    const answers = async () => (await fetch(`${system.proxyUrl}/_matrix/client/versions`).catch(() => undefined))?.ok;
    await eventually(answers, `Synapse answers after ${name}`, EQUAL_LIMIT_MS);
    await assertEqual(name);
  }
});

outages.run();
