/** A proxy that imports rooms by itself: what its pushes and its users name, in front of a homeserver. */
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { serverName } from "../../src/matrix/ids.ts";
import { type Role, start } from "../../src/start.ts";
import { type FakeHomeserver, startHomeserver } from "../support/fake-homeserver.ts";
import { member, message, OWN } from "../support/federation.ts";
import { type Body, type BusHarness, eventually, metricsOf, servedOn, startBus } from "../support/harness.ts";
import { push, REGISTRATION } from "../support/pushing-homeserver.ts";

const ROOM = "!old:here.example";
const ALICE = "@alice:here.example";
const BOB = "@bob:here.example";
const DONE = /tidemark_room_imports_total\{outcome="done"\} 1\n/;

const history: Body[] = [
  { ...message("$0", ALICE), type: "m.room.create", state_key: "" },
  member(ALICE, "join", "$1"),
  member(BOB, "join", "$2"),
  ...["$3", "$4", "$5", "$6"].map((id) => message(id, ALICE)),
].map((event) => ({ ...event, room_id: ROOM }));

async function startHomeserverOfUsers(): Promise<FakeHomeserver> {
  const homeserver = await startHomeserver({
    room: ROOM,
    token: REGISTRATION.asToken,
    events: history,
    state: history.slice(0, 3),
  });
  const receipts = { $4: { "m.read": { [BOB]: { ts: 1, thread_id: "main" } } } };
  const markers = { [ROOM]: { ephemeral: { events: [{ type: "m.receipt", content: receipts }] } } };
  homeserver.onRequest = (path, query) => {
    const isClients = query.get("user_id") === null;
    if (path.endsWith("/sync"))
      return { status: 200, body: { next_batch: "s", rooms: { join: isClients ? {} : markers } } };
    return isClients && path.endsWith("/whoami") ? { status: 200, body: { user_id: BOB, device_id: "D" } } : undefined;
  };
  return homeserver;
}

async function startProxy(bus: BusHarness, { url }: FakeHomeserver, lines: string[]) {
  const tidemark = await start({
    ...servedOn(bus),
    metrics: { host: "127.0.0.1", port: 0 },
    roles: new Set<Role>(["ingress", "worker", "proxy"]),
    homeserver: url,
    registration: REGISTRATION,
    federation: { serverNames: [serverName.parse(OWN)] },
    importDepth: 5,
    log: pino({ level: "info" }, { write: (line) => lines.push(line) }),
  });
  return { ...tidemark, [Symbol.asyncDispose]: tidemark.stop };
}

async function ordersIn(bus: BusHarness): Promise<(number | null)[]> {
  const ids = history.map(({ event_id: id }) => id);
  const { orders } = await bus.query(ROOM, { op: "orders", event_ids: ids });
  return ids.map((id) => orders[id]);
}

const backgroundImports = suite("a proxy that imports rooms");

backgroundImports(
  "imports a room that the homeserver began to push in the middle, and says so without names",
  async () => {
    await using bus = await startBus();
    const lines: string[] = [];
    await using homeserver = await startHomeserverOfUsers();
    await using proxy = await startProxy(bus, homeserver, lines);
    await push(proxy, 1, { events: history.slice(6) });
    await eventually(async () => DONE.test(await metricsOf(proxy)), "it is imported");
    await eventually(async () => !(await ordersIn(bus)).includes(null), "every event has an order");
    const orders = await ordersIn(bus);
    assert.equal(
      orders,
      orders.toSorted((a, b) => a! - b!),
    );
    assert.is(orders.filter((order) => order! > 0).length, 5);
    const said = lines.map((line): Body => JSON.parse(line)).filter((line) => line.import !== undefined);
    assert.equal(
      said.map(({ msg, state, events }) => [msg, state, events]),
      [
        ["the import of a room begins", undefined, undefined],
        ["a room is imported", 3, 6],
      ],
    );
    for (const line of lines) assert.not.match(line, /here\.example/);
    assert.match(await metricsOf(proxy), /tidemark_room_imports_running 0\n/);
  },
);

backgroundImports(
  "imports a room of a user that was never pushed, with the user's markers, and leaves the rest unread",
  async () => {
    await using bus = await startBus();
    await using homeserver = await startHomeserverOfUsers();
    await using proxy = await startProxy(bus, homeserver, []);
    await fetch(`${proxy.httpUrl}/_matrix/client/v3/sync`, { headers: { authorization: "Bearer bob" } });
    await eventually(
      () => homeserver.requests.some((path) => path.includes("/joined_rooms")),
      "the user's rooms are read",
    );
    const later = { ...message("$later", ALICE), room_id: "!new:here.example", origin_server_ts: Date.now() + 10_000 };
    await eventually(async () => {
      await push(proxy, later.event_id, { events: [later] });
      later.event_id += "x";
      return DONE.test(await metricsOf(proxy));
    }, "it is imported once the pushes have caught up");
    await eventually(async () => !(await ordersIn(bus)).includes(null), "every event has an order");
    await eventually(async () => {
      const { unthreaded } = await bus.query(ROOM, { op: "unread", user_id: BOB });
      return unthreaded.count === 2;
    }, "what the user has not read is unread");
  },
);

backgroundImports.run();
