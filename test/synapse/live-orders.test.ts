/** Live events of a live Synapse, as clients get them in `/sync` through the proxy while others speak. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Body, eventually } from "../support/harness.ts";
import { type Account, matrix } from "../support/live-synapse.ts";
import { type ProxiedSynapse, startProxiedSynapse } from "../support/proxied-synapse.ts";
import { random } from "../support/random.ts";
import { SEED } from "../support/tier.ts";

const ROOMS = 3;
const SPEAKERS = 2;
const CLIENTS = 6;
const MESSAGES_EACH = 200;
const LIMIT_MS = 600_000;
const V3 = "/_matrix/client/v3";
const enc = encodeURIComponent;
/** More than come between two answers. */
const FILTER = enc(JSON.stringify({ room: { timeline: { limit: 500 } } }));

/** A client that follows `/sync`, and what its incremental answers had in their timelines. */
class Follower {
  readonly orders = new Map<string, number | undefined>();
  readonly #url: string;
  readonly #account: Account;
  #since: string;

  private constructor(url: string, account: Account, since: string) {
    this.#url = url;
    this.#account = account;
    this.#since = since;
  }

  static async start(url: string, account: Account): Promise<Follower> {
    const { next_batch: since } = await matrix(url, account.token, "GET", `${V3}/sync?timeout=0&filter=${FILTER}`);
    return new Follower(url, account, since);
  }

  /** Follows until it has so many events. */
  async follow(events: number): Promise<void> {
    while (this.orders.size < events) {
      const path = `${V3}/sync?timeout=30000&filter=${FILTER}&since=${this.#since}`;
      const answer = await matrix(this.#url, this.#account.token, "GET", path);
      this.#since = answer.next_batch;
      for (const { timeline } of Object.values<Body>(answer.rooms?.join ?? {})) {
        assert.not(timeline.limited);
        for (const { event_id: id, unsigned } of timeline.events) this.orders.set(id, unsigned?.order);
      }
    }
  }
}

async function joinedRooms({ synapse }: ProxiedSynapse, accounts: readonly Account[]): Promise<string[]> {
  const rooms: string[] = [];
  for (let n = 0; n < ROOMS; n++) {
    const body = { preset: "public_chat", room_version: n === 0 ? "12" : "10" };
    const { room_id: room } = await matrix(synapse.url, accounts[0]!.token, "POST", `${V3}/createRoom`, body);
    for (const { token } of accounts) await matrix(synapse.url, token, "POST", `${V3}/join/${enc(room)}`, {});
    rooms.push(room);
  }
  return rooms;
}

const live = suite("live events of a live Synapse");

live("all come with their orders while pushes flow", async () => {
  await using proxied = await startProxiedSynapse();
  const { synapse, proxyUrl, tidemark } = proxied;
  const next = random(SEED);
  const accounts: Account[] = [];
  for (let n = 0; n < SPEAKERS + CLIENTS; n++) accounts.push(await synapse.register(`user${n}`));
  const rooms = await joinedRooms(proxied, accounts);
  const [first] = accounts;
  const isPushed = async (room: string) => {
    const { chunk } = await matrix(proxyUrl, first!.token, "GET", `${V3}/rooms/${enc(room)}/messages?dir=b&limit=1`);
    return chunk[0].unsigned?.order !== undefined;
  };
  for (const room of rooms) await eventually(() => isPushed(room), "the room is pushed", LIMIT_MS);

  const clients = await Promise.all(accounts.slice(SPEAKERS).map((account) => Follower.start(proxyUrl, account)));
  const following = Promise.all(clients.map((client) => client.follow(SPEAKERS * MESSAGES_EACH)));
  const speak = async ({ token }: Account, speaker: number) => {
    for (let n = 0; n < MESSAGES_EACH; n++) {
      const room = rooms[Math.floor(next() * ROOMS)]!;
      const path = `${V3}/rooms/${enc(room)}/send/m.room.message/s${speaker}n${n}`;
      const url = next() < 0.5 ? proxyUrl : synapse.url;
      await matrix(url, token, "PUT", path, { msgtype: "m.text", body: `message ${n}` });
    }
  };
  const began = performance.now();
  await Promise.all([following, ...accounts.slice(0, SPEAKERS).map(speak)]);
  const seconds = ((performance.now() - began) / 1_000).toFixed(0);

  const delivered = clients.flatMap(({ orders }) => [...orders]);
  const without = delivered.filter(([, order]) => order === undefined).length;
  process.stdout.write(`${without} of ${delivered.length} live events without an order, in ${seconds} s\n`);
  assert.is(delivered.length, CLIENTS * SPEAKERS * MESSAGES_EACH);
  assert.equal(
    tidemark.stderr.filter((line) => line.includes("pushes stall")),
    [],
    "pushes flow",
  );
  assert.is(without, 0);
  for (const { orders } of clients) assert.equal([...orders].sort(), [...clients[0]!.orders].sort());
});

live.run();
