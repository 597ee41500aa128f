/**
 * Rooms that are older than Tidemark: what a live Synapse pushes of them at first, with and without another application service, and
 * what a proxy imports of them.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { newRegistration, readRegistration } from "../../src/homeserver/registration.ts";
import { serverName } from "../../src/matrix/ids.ts";
import { type Role, start } from "../../src/start.ts";
import { type Body, type BusHarness, eventually, metricsOf, servedOn, startBus } from "../support/harness.ts";
import { type Account, type LiveSynapse, matrix, startSynapse } from "../support/live-synapse.ts";
import { freePort } from "../support/scripted-homeserver.ts";

const NAME = "synapse.test";
const V3 = "/_matrix/client/v3";
const LIMIT_MS = 120_000;
const enc = encodeURIComponent;

interface OldRoom {
  readonly id: string;
  /** Oldest first. */
  readonly messages: readonly string[];
}

interface Filled {
  readonly alice: Account;
  readonly bob: Account;
  readonly rooms: readonly OldRoom[];
}

let transactions = 0;

async function say(synapse: LiveSynapse, { token }: Account, room: string, more: Body = {}): Promise<string> {
  const path = `${V3}/rooms/${enc(room)}/send/m.room.message/${transactions++}`;
  return (await matrix(synapse.url, token, "PUT", path, { msgtype: "m.text", body: "a", ...more })).event_id;
}

/** Two rooms, of which Bob has read a part: by a receipt for everything, and by one for the main timeline. */
async function fill(synapse: LiveSynapse): Promise<Filled> {
  const [alice, bob] = [await synapse.register("alice"), await synapse.register("bob")];
  const rooms: OldRoom[] = [];
  for (const thread of [undefined, "main"]) {
    const { room_id: id } = await matrix(synapse.url, alice.token, "POST", `${V3}/createRoom`, {
      preset: "public_chat",
    });
    await matrix(synapse.url, bob.token, "POST", `${V3}/join/${enc(id)}`, {});
    const messages: string[] = [];
    for (let i = 0; i < 30; i++) messages.push(await say(synapse, alice, id));
    const inThread = { "m.relates_to": { rel_type: "m.thread", event_id: messages[2] } };
    for (let i = 0; i < 4; i++) messages.push(await say(synapse, alice, id, inThread));
    const receipt = thread === undefined ? {} : { thread_id: thread };
    await matrix(
      synapse.url,
      bob.token,
      "POST",
      `${V3}/rooms/${enc(id)}/receipt/m.read/${enc(messages[19]!)}`,
      receipt,
    );
    rooms.push({ id, messages });
  }
  return { alice, bob, rooms };
}

/** How much is unread in each room, by Synapse's own counts: in the main timeline and in threads. */
async function countsOf(synapse: LiveSynapse, { bob, rooms }: Filled): Promise<Body[]> {
  const filter = JSON.stringify({ room: { timeline: { unread_thread_notifications: true, limit: 1 } } });
  const answer = await matrix(synapse.url, bob.token, "GET", `${V3}/sync?timeout=0&filter=${enc(filter)}`);
  return rooms.map(({ id }) => {
    const { unread_notifications: main, unread_thread_notifications: threads = {} } = answer.rooms.join[id];
    return {
      main: main.notification_count,
      threads: Object.values<Body>(threads).map(({ notification_count: count }) => count),
    };
  });
}

async function unreadOf(bus: BusHarness, { bob, rooms }: Filled): Promise<Body[]> {
  const answers = await Promise.all(rooms.map(({ id }) => bus.query(id, { op: "unread", user_id: bob.user })));
  return answers.map(({ main, threads }) => ({
    main: main.count,
    threads: Object.values<Body>(threads).map(({ count }) => count),
  }));
}

async function ordersOf(bus: BusHarness, synapse: LiveSynapse, room: string): Promise<(number | null)[]> {
  const rows = await synapse.rows(
    `SELECT event_id FROM events WHERE room_id = '${room}' AND NOT outlier ORDER BY stream_ordering`,
  );
  const ids = rows.map(({ event_id: id }) => id as string);
  const { orders } = await bus.query(room, { op: "orders", event_ids: ids });
  return ids.map((id) => orders[id]);
}

async function registrationAt(dir: string, id: string, url: string): Promise<string> {
  const path = join(dir, `${id}.yaml`);
  const names = [serverName.parse(NAME)];
  await writeFile(path, newRegistration({ id, url, serverNames: names, senderLocalpart: id, actsAsUsers: true }));
  return path;
}

const oldRooms = suite("rooms that are older than Tidemark, with a live Synapse");

for (const hasBridge of [false, true]) {
  oldRooms(
    `have all orders, and Synapse's counts, ${hasBridge ? "by imports beside a bridge" : "by pushes alone"}`,
    async () => {
      await using bus = await startBus();
      const bridge = await registrationAt(bus.dir, "bridge", `http://127.0.0.1:${await freePort()}`);
      const others = hasBridge ? [bridge] : [];
      await using synapse = await startSynapse({ serverName: NAME, registrations: others });
      const filled = await fill(synapse);
      await synapse.end("SIGTERM");

      const port = await freePort();
      const own = await registrationAt(bus.dir, "tidemark", `http://127.0.0.1:${port}`);
      await using tidemark = await startTidemark(bus, { port, own, homeserver: synapse.url });
      await synapse.start([...others, own]);
      await matrix(tidemark.httpUrl, filled.bob.token, "GET", `${V3}/sync?timeout=0`);
      await eventually(
        async () => /tidemark_proxy_marker_syncs_total\{outcome="read"\} [1-9]/.test(await metricsOf(tidemark)),
        "his markers are read",
        LIMIT_MS,
      );
      await say(synapse, filled.alice, filled.rooms[0]!.id);
      for (const { id } of filled.rooms) {
        let orders: (number | null)[] = [];
        await eventually(
          async () => {
            orders = await ordersOf(bus, synapse, id);
            if (orders.includes(null)) await say(synapse, filled.alice, filled.rooms[0]!.id);
            return !orders.includes(null);
          },
          "every event has an order",
          LIMIT_MS,
        );
        assert.equal(
          orders,
          orders.toSorted((a, b) => a! - b!),
        );
        assert.ok(orders.every((order) => order! > 0));
      }
      let counts: Body[] = [];
      await eventually(async () => {
        counts = [await unreadOf(bus, filled), await countsOf(synapse, filled)];
        return JSON.stringify(counts[0]) === JSON.stringify(counts[1]);
      }, "the counts are equal").catch(() => assert.equal(counts[0], counts[1]));
      const imports = /tidemark_room_imports_total\{outcome="done"\} (\d+)/.exec(await metricsOf(tidemark))?.[1];
      assert.is(imports, hasBridge ? "2" : "0");
    },
  );
}

async function startTidemark(
  bus: BusHarness,
  { port, own, homeserver }: { readonly port: number; readonly own: string; readonly homeserver: string },
) {
  const tidemark = await start({
    ...servedOn(bus),
    http: { host: "127.0.0.1", port },
    metrics: { host: "127.0.0.1", port: 0 },
    roles: new Set<Role>(["ingress", "worker", "proxy"]),
    homeserver,
    registration: await readRegistration(own),
    federation: { serverNames: [serverName.parse(NAME)] },
    log: pino({ level: process.env.TEST_LOG ?? "silent" }),
  });
  return { ...tidemark, [Symbol.asyncDispose]: tidemark.stop };
}

oldRooms.run();
