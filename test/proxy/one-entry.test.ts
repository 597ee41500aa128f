/** How many entries of the log a receipt makes, however often Tidemark is told of it. */
import { createServer } from "node:http";
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TidemarkError } from "../../src/errors.ts";
import { NewReceipts } from "../../src/homeserver/new-receipts.ts";
import type { EventId, RoomId, UserId } from "../../src/matrix/ids.ts";
import { type Role, start } from "../../src/start.ts";
import { type Body, type BusHarness, eventually, message, servedOn, startBus } from "../support/harness.ts";
import { entriesOf, push, REGISTRATION } from "../support/pushing-homeserver.ts";
import { listening } from "../support/scripted-homeserver.ts";

const ROOM = "!room:a.org";
const BOB = "@bob:a.org";
const ROOM_PATH = `/_matrix/client/v3/rooms/${encodeURIComponent(ROOM)}`;

/** Bob's markers, as his homeserver shows them. */
const MARKERS = {
  ephemeral: {
    events: [
      {
        type: "m.receipt",
        content: {
          $1: { "m.read": { [BOB]: { ts: 1, thread_id: "main" } } },
          $2: { "m.read": { [BOB]: { ts: 1 } } },
          $3: { "m.read.private": { [BOB]: { ts: 1 } } },
        },
      },
    ],
  },
  account_data: { events: [{ type: "m.fully_read", content: { event_id: "$1" } }] },
};

async function homeserver() {
  const server = await listening(
    createServer((request, response) => {
      const { url = "" } = request;
      request.resume();
      const isMarkers = url.includes("user_id=");
      const body = url.includes("/whoami")
        ? { user_id: BOB, device_id: "D" }
        : { next_batch: "s1", ...(isMarkers && { rooms: { join: { [ROOM]: MARKERS } } }) };
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
    }),
  );
  return server;
}

async function startProxy(bus: BusHarness, url: string) {
  const tidemark = await start({
    ...servedOn(bus),
    roles: new Set<Role>(["ingress", "worker", "proxy"]),
    homeserver: url,
    registration: REGISTRATION,
    imports: 0,
    log: pino({ level: "silent" }),
  });
  return { ...tidemark, [Symbol.asyncDispose]: tidemark.stop };
}

const as = { headers: { authorization: "Bearer t" } };

async function receiptsOf(bus: BusHarness): Promise<Body[]> {
  return (await entriesOf(bus))
    .filter(([kind]) => kind === 2)
    .map(([, user, type, event, thread]) => [user, type, event, thread]);
}

const entries = suite("a receipt in the log");

entries("is one entry: sent through the proxy, then pushed, then shown to a proxy that was started again", async () => {
  await using bus = await startBus();
  await using upstream = await homeserver();
  const all = [
    [BOB, "m.read", "$1", "main"],
    [BOB, "m.read", "$2", null],
    [BOB, "m.fully_read", "$1", null],
  ];
  {
    await using proxy = await startProxy(bus, upstream.url);
    await bus.sent("event", ROOM, [message("$1"), message("$2"), message("$3")]);
    const post = (path: string, body: unknown) =>
      fetch(`${proxy.httpUrl}${ROOM_PATH}/${path}`, { ...as, method: "POST", body: JSON.stringify(body) });
    await post("receipt/m.read/%241", { thread_id: "main" });
    await post("receipt/m.read/%242", {});
    await post("read_markers", { "m.fully_read": "$1" });
    const read = async () => (await bus.query(ROOM, { op: "read", user_id: BOB, event_ids: ["$2"] })).read.$2 === true;
    await eventually(async () => (await receiptsOf(bus)).length === 3 && (await read()), "they are told and folded");

    const content = { $1: { "m.read": { [BOB]: { ts: 1 } } }, $2: { "m.read": { [BOB]: { ts: 1 } } } };
    const event = { type: "m.receipt", room_id: ROOM, content };
    assert.is((await push(proxy, 1, { ephemeral: [event] })).status, 200);
    assert.equal(sorted(await receiptsOf(bus)), sorted(all));
  }
  await using proxy = await startProxy(bus, upstream.url);
  await fetch(`${proxy.httpUrl}/_matrix/client/v3/sync`, as);
  await eventually(async () => (await receiptsOf(bus)).length > all.length, "his markers are told");
  assert.equal(sorted(await receiptsOf(bus)), sorted([...all, [BOB, "m.read.private", "$3", null]]), "what is new");
});

const sorted = (receipts: Body[]) => receipts.map(String).sort();

entries("is stored when nobody says whether it is there, and nobody is asked for a moment", async () => {
  let asked = 0;
  const fresh = new NewReceipts(async () => {
    asked++;
    throw new TidemarkError("M_UNKNOWN", "not served");
  });
  const receipts = [{ user_id: BOB as UserId, receipt_type: "m.read" as const, event_id: "$1" as EventId }];
  assert.equal(await fresh.of(ROOM as RoomId, receipts), receipts);
  assert.equal(await fresh.of(ROOM as RoomId, receipts), receipts);
  assert.is(asked, 1);
});

entries.run();
