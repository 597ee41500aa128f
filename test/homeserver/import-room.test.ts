/** The import of existing rooms (`tidemark import-room`). */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { HomeserverClient } from "../../src/homeserver/homeserver-client.ts";
import { type ImportProgress, importRoom } from "../../src/homeserver/room-import.ts";
import { roomId } from "../../src/matrix/ids.ts";
import { runCli } from "../support/cli-process.ts";
import { type FakeHomeserver, startHomeserver } from "../support/fake-homeserver.ts";
import { member, message, startFederation } from "../support/federation.ts";
import { eventually, rejects } from "../support/harness.ts";

const ROOM = "!room:here.example";
const TOKEN = "a-users-token";
const HOUR_MS = 3_600_000;

type Tidemark = Awaited<ReturnType<typeof startFederation>>;

const idOf = (i: number) => `$${String(i).padStart(3, "0")}`;

/** `$000` …, oldest first, one hour apart. The first one creates the room. */
function history(count: number): Record<string, unknown>[] {
  return Array.from({ length: count }, (_, i) => ({
    ...message(idOf(i)),
    ...(i === 0 && { type: "m.room.create", state_key: "" }),
    room_id: ROOM,
    origin_server_ts: i * HOUR_MS,
    unsigned: { age: 5, transaction_id: "mine", "m.relations": {} },
  }));
}

function stateOf(events: readonly Record<string, unknown>[]) {
  return [events[0]!, member("@a:here.example"), member("@b:there.example")];
}

interface ImportOptions {
  readonly depth?: number;
  readonly onPause?: (ms: number) => void;
}

async function importFrom(tidemark: Tidemark, homeserver: FakeHomeserver, { depth, onPause }: ImportOptions = {}) {
  const seen: ImportProgress[] = [];
  const result = await importRoom({
    nc: tidemark.nc,
    homeserver: new HomeserverClient({ url: homeserver.url, token: TOKEN, ...(onPause !== undefined && { onPause }) }),
    room: roomId.parse(ROOM),
    ...(depth !== undefined && { depth }),
    onProgress: (progress) => seen.push(progress),
  });
  return { ...result, seen };
}

async function ordersOf(tidemark: Tidemark, count: number): Promise<(number | null)[]> {
  const ids = Array.from({ length: count }, (_, i) => idOf(i));
  const { orders } = await tidemark.query(ROOM, { op: "orders", event_ids: ids });
  return ids.map((id) => orders[id]);
}

/** Every event has an order, and the orders grow from the oldest event to the newest. `positive`: how many may be unread. */
async function isOrdered(tidemark: Tidemark, count: number, positive: number): Promise<void> {
  let orders: (number | null)[] = [];
  await eventually(async () => {
    orders = await ordersOf(tidemark, count);
    return orders.every((order) => order !== null);
  }, "every event");
  assert.equal(
    orders,
    orders.toSorted((a, b) => a! - b!),
  );
  assert.is(orders.filter((order) => order! > 0).length, positive);
}

const roomImport = suite("room import");

roomImport("imports members, other state, and all history before the oldest known event", async () => {
  await using tidemark = await startFederation();
  const events = history(47);
  await using homeserver = await startHomeserver({ room: ROOM, token: TOKEN, events, state: stateOf(events) });
  await tidemark.sent("event", ROOM, [message(idOf(45)), message(idOf(46))]);
  const { state, events: imported, seen } = await importFrom(tidemark, homeserver);
  assert.equal([state, imported], [3, 45]);
  await isOrdered(tidemark, 47, 47);
  const { members } = await tidemark.query(ROOM, { op: "snapshot" });
  assert.equal(members, { "@a:here.example": "join", "@b:there.example": "join" });
  assert.is(
    homeserver.requests.filter((path) => path.includes("from=t45")).length,
    1,
    "begins before the oldest known event",
  );
  assert.not.ok(homeserver.requests.some((path) => path.includes("/messages") && !path.includes("from=")));
  assert.equal(
    seen.map(({ events }) => events),
    [10, 20, 30, 40, 45],
  );
  assert.ok(seen.every(({ done }, i) => done <= 1 && done > (seen[i - 1]?.done ?? 0)));
  const { event } = await tidemark.query(ROOM, { op: "event", event_id: idOf(44) });
  assert.equal(Object.keys(event.unsigned), ["order"], "keys for one reader are removed");
});

roomImport("begins at the newest event of an unknown room", async () => {
  await using tidemark = await startFederation();
  await using homeserver = await startHomeserver({ room: ROOM, token: TOKEN, events: history(25) });
  assert.is((await importFrom(tidemark, homeserver)).events, 25);
  await isOrdered(tidemark, 25, 25);
});

roomImport("stores history down to the depth, which may be unread, and what is older as backfill", async () => {
  for (const [depth, positive] of [
    [0, 2],
    [7, 7],
    [25, 25],
    [26, 26],
    [1_000, 47],
  ] as const) {
    await using tidemark = await startFederation();
    await using homeserver = await startHomeserver({ room: ROOM, token: TOKEN, events: history(47) });
    await tidemark.sent("event", ROOM, [message(idOf(45)), message(idOf(46))]);
    assert.is((await importFrom(tidemark, homeserver, { depth })).events, 45);
    await isOrdered(tidemark, 47, positive);
  }
});

roomImport("stores nothing before it has read down to the depth, and continues after an interruption", async () => {
  await using tidemark = await startFederation();
  await using homeserver = await startHomeserver({ room: ROOM, token: TOKEN, events: history(95) });
  await tidemark.sent("event", ROOM, message(idOf(94)));
  const before = await tidemark.lastSequences();
  let pages = 0;
  let pagesMax = 4;
  homeserver.onRequest = (path) =>
    path.endsWith("/messages") && ++pages > pagesMax
      ? { status: 403, body: { errcode: "M_FORBIDDEN", error: "No" } }
      : undefined;
  await rejects(importFrom(tidemark, homeserver, { depth: 51 }), "HOMESERVER_REFUSED");
  assert.equal(await tidemark.lastSequences(), before);

  [pages, pagesMax] = [0, 7];
  await rejects(importFrom(tidemark, homeserver, { depth: 51 }), "HOMESERVER_REFUSED");
  homeserver.onRequest = () => undefined;
  const requests = homeserver.requests.length;
  assert.is((await importFrom(tidemark, homeserver, { depth: 51 })).events, 24, "94 less seven pages");
  assert.ok(homeserver.requests.slice(requests).some((path) => path.includes(encodeURIComponent(idOf(24)))));
  await isOrdered(tidemark, 95, 51);
  assert.is((await importFrom(tidemark, homeserver, { depth: 51 })).events, 0);
  await isOrdered(tidemark, 95, 51);
});

roomImport("begins before the oldest event, not before a repeated one", async () => {
  await using tidemark = await startFederation();
  await using homeserver = await startHomeserver({ room: ROOM, token: TOKEN, events: history(20) });
  await tidemark.sent("event", ROOM, message(idOf(19)));
  await tidemark.sent("backfill", ROOM, [message(idOf(18)), message(idOf(17))]);
  await tidemark.sent("backfill", ROOM, [message(idOf(19)), message(idOf(18))]);
  assert.is((await importFrom(tidemark, homeserver)).events, 17);
  await isOrdered(tidemark, 20, 1);
});

roomImport("waits as long as a rate limit asks, any number of times, and retries after a failure", async () => {
  await using tidemark = await startFederation();
  await using homeserver = await startHomeserver({ room: ROOM, token: TOKEN, events: history(5) });
  let asked = 0;
  const limited = { errcode: "M_LIMIT_EXCEEDED", error: "Slow down" };
  homeserver.onRequest = () => {
    asked++;
    if (asked <= 12) return { status: 429, body: { ...limited, retry_after_ms: 3 } };
    if (asked === 13) return { status: 429, body: limited, headers: { "retry-after": "0" } };
    return asked === 14 ? { status: 502, body: {} } : undefined;
  };
  const pauses: number[] = [];
  await importFrom(tidemark, homeserver, { onPause: (ms) => pauses.push(ms) });
  assert.equal(pauses.slice(0, 13), [...Array.from({ length: 12 }, () => 3), 0]);
  assert.is(pauses.length, 14);
  await isOrdered(tidemark, 5, 5);
});

roomImport("reads the state again if it has changed", async () => {
  await using tidemark = await startFederation();
  const events = history(1);
  await using homeserver = await startHomeserver({ room: ROOM, token: TOKEN, events, state: stateOf(events) });
  let reads = 0;
  homeserver.onRequest = (path) => {
    if (path.endsWith("/state") && ++reads === 2) {
      homeserver.state = [...stateOf(events).slice(0, 2), member("@b:there.example", "leave")];
    }
    return undefined;
  };
  await importFrom(tidemark, homeserver);
  assert.is(reads, 3);
  await eventually(async () => {
    const { members } = await tidemark.query(ROOM, { op: "snapshot" });
    return members["@b:there.example"] === "leave";
  }, "the later state");
});

roomImport("drops malformed events, and reports why a request was refused", async () => {
  await using tidemark = await startFederation();
  const events = [...history(3), { type: "m.broken" }, { ...message("$other"), room_id: "!other:here.example" }];
  await using homeserver = await startHomeserver({ room: ROOM, token: TOKEN, events });
  assert.is((await importFrom(tidemark, homeserver)).events, 3);
  homeserver.onRequest = () => ({ status: 403, body: { errcode: "M_FORBIDDEN", error: "Not in the room" } });
  const error = await rejects(importFrom(tidemark, homeserver), "HOMESERVER_REFUSED");
  assert.match(error.message, "403 M_FORBIDDEN Not in the room");
  homeserver.onRequest = () => ({ status: 200, body: { hello: "there" } });
  await rejects(importFrom(tidemark, homeserver), "HOMESERVER_REFUSED");
});

roomImport("reports what it imported on the command line", async () => {
  await using tidemark = await startFederation();
  const events = history(12);
  await using homeserver = await startHomeserver({ room: ROOM, token: TOKEN, events, state: stateOf(events) });
  const options = ["--nats", tidemark.url, "--homeserver", homeserver.url];
  await using command = runCli(["import-room", ROOM, ...options, "--user", "@a:here.example"], {
    TIDEMARK_TOKEN: TOKEN,
  });
  assert.is(await command.ended, 0, command.stderr.join("\n"));
  assert.equal(command.stdout, [`imported ${ROOM}: 3 state events, 12 events of its history`]);
  assert.ok(homeserver.requests.every((path) => path.includes("user_id=%40a%3Ahere.example")));
  await using refused = runCli(["import-room", ROOM, ...options, "--token", "wrong"]);
  assert.is(await refused.ended, 1);
  assert.match(refused.stderr.join("\n"), "401 M_UNKNOWN_TOKEN Unknown token");
});

roomImport.run();
