/** Imports of rooms while something else happens: pushes, other imports, kills, and homeservers that answer oddly. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TidemarkError } from "../../src/errors.ts";
import { HomeserverClient } from "../../src/homeserver/homeserver-client.ts";
import { importRoom } from "../../src/homeserver/room-import.ts";
import { roomId } from "../../src/matrix/ids.ts";
import { runCli } from "../support/cli-process.ts";
import { ASKER, type FakeHomeserver, type Override, startHomeserver } from "../support/fake-homeserver.ts";
import { member, message, startFederation } from "../support/federation.ts";
import { type Body, decoded, eventually, rejects, token } from "../support/harness.ts";

const TOKEN = "a-users-token";
const BOB = "@bob:here.example";

type Tidemark = Awaited<ReturnType<typeof startFederation>>;

const idOf = (i: number) => `$${String(i).padStart(3, "0")}`;
const eventsFrom = (first: number, end: number, body = "") =>
  Array.from({ length: end - first }, (_, i) => ({
    ...message(idOf(first + i)),
    content: { msgtype: "m.text", body },
  }));

interface Homeserver extends FakeHomeserver {
  readonly room: string;
}

/** A homeserver with a room of its own, and `count` events in it. Its pages have four events. */
async function homeserverOf(room: string, count: number, body?: string): Promise<Homeserver> {
  const state = [member(BOB), member(ASKER)];
  const homeserver = await startHomeserver({ room, token: TOKEN, events: eventsFrom(0, count, body), state, page: 4 });
  return Object.assign(homeserver, { room });
}

function importFrom({ nc }: Tidemark, { url, room }: Homeserver, depth = 6) {
  return importRoom({ nc, homeserver: new HomeserverClient({ url, token: TOKEN }), room: roomId.parse(room), depth });
}

/** Sends the events to Tidemark as the homeserver's pushes do. */
async function push(tidemark: Tidemark, { room, events }: Homeserver, first: number, end: number): Promise<void> {
  if (end > first) await tidemark.sent("event", room, events.slice(first, end));
}

async function ordersOf(tidemark: Tidemark, { room, events }: Homeserver): Promise<number[]> {
  const ids = events.map(({ event_id: id }) => id as string);
  let orders: (number | null)[] = [];
  await eventually(async () => {
    const answer = await tidemark.query(room, { op: "orders", event_ids: ids });
    orders = ids.map((id) => answer.orders[id]);
    return !orders.includes(null);
  }, "every event has an order");
  return orders as number[];
}

async function isOrdered(tidemark: Tidemark, homeserver: Homeserver, what: string): Promise<void> {
  const orders = await ordersOf(tidemark, homeserver);
  const sorted = orders.toSorted((a, b) => a - b);
  assert.equal(orders, sorted, what);
  assert.is(new Set(orders).size, orders.length, what);
}

/** Calls back before the homeserver answers its nth request. Returns how many requests there were. */
function atRequest(homeserver: FakeHomeserver, n: number, act: () => Promise<Override | undefined>): () => number {
  let requests = 0;
  homeserver.onRequest = () => (++requests === n ? act() : undefined);
  return () => requests;
}

/** Runs a test for each request of an import, until an import has no such request. */
async function atEveryRequest(run: (n: number) => Promise<number>): Promise<void> {
  for (let n = 1; ; n++) {
    const requests = await run(n);
    if (n > requests) {
      assert.ok(requests >= 8, `an import has ${requests} requests`);
      return;
    }
  }
}

const races = suite("room imports and what happens meanwhile");

races("an event that is imported before it is pushed is unread, and in the timeline", async () => {
  await using tidemark = await startFederation();
  await using homeserver = await homeserverOf("!race:here.example", 2);
  await importFrom(tidemark, homeserver);
  await push(tidemark, homeserver, 1, 2);
  await isOrdered(tidemark, homeserver, "both");
  const { timeline } = await tidemark.query(homeserver.room, { op: "snapshot" });
  assert.equal(
    timeline.map(({ event_id: id }: Body) => id),
    [idOf(0), idOf(1)],
  );
  const { unthreaded } = await tidemark.query(homeserver.room, { op: "unread", user_id: BOB });
  assert.is(unthreaded.count, 2);
});

races("pushes at any step of an import leave all events in order", async () => {
  await using tidemark = await startFederation();
  for (const [known, pushed] of [
    [0, 1],
    [0, 3],
    [2, 1],
  ] as const) {
    await atEveryRequest(async (n) => {
      await using homeserver = await homeserverOf(`!step-${known}-${pushed}-${n}:here.example`, 16);
      await push(tidemark, homeserver, 14 - known, 14);
      // The homeserver has the last two events all the time, and a third one from then on.
      const requests = atRequest(homeserver, n, async () => {
        homeserver.events = [...homeserver.events, ...eventsFrom(16, 17)];
        await push(tidemark, homeserver, 14, 14 + pushed);
        return undefined;
      });
      await importFrom(tidemark, homeserver);
      if (n > requests()) return requests();
      await push(tidemark, homeserver, 14 + pushed, 17);
      await isOrdered(tidemark, homeserver, `${known} known, ${pushed} pushed at request ${n}`);
      return requests();
    });
  }
});

races("pushes that begin when an import looks for known events leave all events in order", async () => {
  await using tidemark = await startFederation();
  for (const pushed of [9, 12, 15]) {
    for (let n = 1; ; n++) {
      await using homeserver = await homeserverOf(`!look-${pushed}-${n}:here.example`, 16);
      let looks = 0;
      let pushing: Promise<void> | undefined;
      const looking = tidemark.nc.subscribe(`tidemark.query.${token(homeserver.room)}`, {
        callback: (_, { data }) => {
          const { op, event_ids: ids } = decoded(data);
          if (op === "orders" && ids.length > 0 && ++looks === n)
            pushing = push(tidemark, homeserver, pushed, pushed + 1);
        },
      });
      await importFrom(tidemark, homeserver, 16);
      looking.unsubscribe();
      if (pushing === undefined) break;
      await pushing;
      await push(tidemark, homeserver, pushed + 1, 16);
      await isOrdered(tidemark, homeserver, `event ${pushed} is pushed at look ${n}`);
    }
  }
});

races("two imports at once, and a push, leave all events in order", async () => {
  await using tidemark = await startFederation();
  await atEveryRequest(async (n) => {
    await using homeserver = await homeserverOf(`!two-${n}:here.example`, 14);
    let other: Promise<unknown> | undefined;
    const requests = atRequest(homeserver, n, async () => {
      other = importFrom(tidemark, homeserver);
      homeserver.events = [...homeserver.events, ...eventsFrom(14, 16)];
      await push(tidemark, homeserver, 14, 15);
      return undefined;
    });
    await importFrom(tidemark, homeserver);
    if (other === undefined) return requests();
    await other;
    await push(tidemark, homeserver, 15, 16);
    await isOrdered(tidemark, homeserver, `another import begins at request ${n}`);
    return requests();
  });
});

races(
  "an import stores nothing again that another has stored since it was read, and the create event after all other state",
  async () => {
    await using tidemark = await startFederation();
    await using homeserver = await homeserverOf("!meanwhile:here.example", 14);
    homeserver.state = [{ ...message("$create"), type: "m.room.create", state_key: "" }, ...homeserver.state];
    await push(tidemark, homeserver, 13, 14);
    let other: Promise<unknown> | undefined;
    homeserver.onRequest = async (path) => {
      if (!path.endsWith("/messages") || other !== undefined) return undefined;
      other = importFrom(tidemark, homeserver);
      await other;
      return undefined;
    };
    await importFrom(tidemark, homeserver);
    const records = await Promise.all([0, 1].map((partition) => tidemark.records(partition)));
    const entries: Body[] = records.flat().flatMap((record) => [...record.entries]);
    const older = entries.flatMap(([kind, event]) => (kind === 1 || kind === 5 ? [event.event_id] : []));
    assert.equal(
      older.toSorted(),
      eventsFrom(0, 13).map(({ event_id: id }) => id),
    );
    const state = entries.flatMap(([kind, event]) => (kind === 3 ? [event.type] : []));
    assert.equal(state.slice(0, 3), ["m.room.member", "m.room.member", "m.room.create"]);
  },
);

races("an import that ends at any step and runs again gives the orders of one that runs through", async () => {
  await using tidemark = await startFederation();
  await using whole = await homeserverOf("!whole:here.example", 16);
  await push(tidemark, whole, 15, 16);
  await importFrom(tidemark, whole);
  const orders = await ordersOf(tidemark, whole);
  assert.is(orders.filter((order) => order > 0).length, 6);
  await atEveryRequest(async (n) => {
    await using homeserver = await homeserverOf(`!ended-${n}:here.example`, 16);
    await push(tidemark, homeserver, 15, 16);
    const requests = atRequest(homeserver, n, async () => ({ status: 401, body: { errcode: "M_UNKNOWN_TOKEN" } }));
    const ended = await importFrom(tidemark, homeserver).catch(({ code }) => code);
    if (n <= requests()) assert.is(ended, "HOMESERVER_REFUSED");
    homeserver.onRequest = () => undefined;
    await importFrom(tidemark, homeserver);
    assert.equal(await ordersOf(tidemark, homeserver), orders, `ended at request ${n}`);
    return requests();
  });
});

races(
  "an import that is killed while it stores, and runs again, gives the orders of one that runs through",
  async () => {
    await using tidemark = await startFederation();
    const body = "x".repeat(30_000);
    await using whole = await homeserverOf("!whole:here.example", 60, body);
    await importFrom(tidemark, whole, 40);
    const orders = await ordersOf(tidemark, whole);
    await using homeserver = await homeserverOf("!killed:here.example", 60, body);
    const args = ["--nats", tidemark.url, "--homeserver", homeserver.url, "--token", TOKEN, "--depth", "40"];
    const stored = async () => (await tidemark.lastSequences()).reduce((sum, last) => sum + last);
    const before = await stored();
    await using command = runCli(["import-room", homeserver.room, ...args]);
    await eventually(async () => (await stored()) > before + 1, "the import stores");
    command.kill("SIGKILL");
    await command.ended;
    await importFrom(tidemark, homeserver, 40);
    assert.equal(await ordersOf(tidemark, homeserver), orders);
  },
);

races("history goes on from the end when the homeserver has purged the oldest known event", async () => {
  await using tidemark = await startFederation();
  for (const [room, known] of [
    ["!one-purged:here.example", [12]],
    ["!one-left:here.example", [12, 13]],
  ] as const) {
    await using homeserver = await homeserverOf(room, 16);
    for (const i of known) await push(tidemark, homeserver, i, i + 1);
    homeserver.events = homeserver.events.filter(({ event_id: id }) => id !== idOf(12));
    await importFrom(tidemark, homeserver, 4);
    const { orders } = await tidemark.query(room, { op: "orders", event_ids: [idOf(0), idOf(11), idOf(13), idOf(14)] });
    assert.ok(orders[idOf(0)] < orders[idOf(11)], room);
    if (known.length === 1) continue;
    assert.is(orders[idOf(14)], null, "what is newer than a pushed event is pushed, too");
    assert.ok(orders[idOf(11)] < orders[idOf(13)], room);
    await push(tidemark, homeserver, 13, 15);
    await isOrdered(tidemark, homeserver, room);
  }
});

races("an import ends where tokens go round, and where the end is null", async () => {
  await using tidemark = await startFederation();
  await using round = await homeserverOf("!round:here.example", 4);
  const ends: Record<string, string> = { "": "a", a: "b", b: "a" };
  round.onRequest = (path, query) =>
    path.endsWith("/messages")
      ? { status: 200, body: { chunk: round.events.toReversed(), end: ends[query.get("from") ?? ""] } }
      : undefined;
  await importFrom(tidemark, round, 100);
  await isOrdered(tidemark, round, "tokens go round");
  assert.is(round.requests.filter((path) => path.includes("/messages")).length, 2);

  for (const [title, pages] of [
    [
      "the same pages come again, with new tokens",
      [
        [4, 2],
        [2, 0],
        [4, 2],
      ],
    ],
    ["no page has an event any more", [[4, 0]]],
  ] as const) {
    await using endless = await homeserverOf(`!${title.length}:here.example`, 4);
    let asked = 0;
    endless.onRequest = (path) => {
      if (!path.endsWith("/messages")) return undefined;
      const [end, start] = pages[asked++] ?? [0, 0];
      return { status: 200, body: { chunk: endless.events.slice(start, end).toReversed(), end: `t${asked}` } };
    };
    await importFrom(tidemark, endless, 100);
    await isOrdered(tidemark, endless, title);
    assert.is(asked, pages.length === 1 ? 1_002 : 3, title);
  }

  await using nothing = await homeserverOf("!null:here.example", 4);
  nothing.onRequest = (path) =>
    path.endsWith("/messages") ? { status: 200, body: { chunk: nothing.events.toReversed(), end: null } } : undefined;
  await importFrom(tidemark, nothing);
  await isOrdered(tidemark, nothing, "the end is null");
  assert.is(nothing.requests.filter((path) => path.includes("/messages")).length, 1);
});

races("history goes on from the end where the homeserver doesn't show the oldest known event", async () => {
  await using tidemark = await startFederation();
  for (const [room, override] of [
    ["!forbidden:here.example", { status: 403, body: { errcode: "M_FORBIDDEN", error: "no" } }],
    ["!no-token:here.example", { status: 200, body: { start: "" } }],
  ] as const) {
    await using homeserver = await homeserverOf(room, 8);
    await push(tidemark, homeserver, 6, 8);
    homeserver.onRequest = (path) => (path.includes("/context/") ? override : undefined);
    await importFrom(tidemark, homeserver);
    await isOrdered(tidemark, homeserver, room);
  }
});

races("a homeserver that asks to wait for ever is asked again after an hour", async () => {
  await using homeserver = await homeserverOf("!limited:here.example", 1);
  for (const answer of [{ body: { retry_after_ms: 1e15 } }, { body: {}, headers: { "retry-after": "1e15" } }]) {
    homeserver.onRequest = () => ({ status: 429, ...answer });
    const onPause = (pauseMs: number) => {
      throw new TidemarkError("HOMESERVER_REFUSED", `${pauseMs} ms`);
    };
    const client = new HomeserverClient({ url: homeserver.url, token: TOKEN, onPause });
    assert.is((await rejects(client.user(), "HOMESERVER_REFUSED")).message, "3600000 ms");
  }
});

races("a response that is too large ends an import before anything is stored", async () => {
  await using tidemark = await startFederation();
  const before = await tidemark.lastSequences();
  await using homeserver = await homeserverOf("!large:here.example", 8);
  homeserver.state = Array.from({ length: 100 }, (_, i) => member(`@user-${i}:here.example`));
  const client = new HomeserverClient({ url: homeserver.url, token: TOKEN, answerBytesMax: 5_000 });
  const room = roomId.parse(homeserver.room);
  const error = await rejects(importRoom({ nc: tidemark.nc, homeserver: client, room }), "HOMESERVER_REFUSED");
  assert.match(error.message, /\/state: the response has more than 5000 bytes/);
  assert.equal(await tidemark.lastSequences(), before);
});

races("somebody who is not joined, from the start or while it reads, imports nothing", async () => {
  await using tidemark = await startFederation();
  const before = await tidemark.lastSequences();
  await using homeserver = await homeserverOf("!kicked:here.example", 8);
  for (const membership of ["leave", "ban", "invite", "knock"]) {
    homeserver.membership = membership;
    const error = await rejects(importFrom(tidemark, homeserver), "HOMESERVER_REFUSED");
    assert.is(
      error.message,
      `${ASKER} is not joined to !kicked:here.example (${membership}): only who is joined is shown its current state`,
    );
  }
  homeserver.membership = "join";
  homeserver.onRequest = (path) => {
    if (path.endsWith("/messages")) homeserver.membership = "leave";
    return undefined;
  };
  await rejects(importFrom(tidemark, homeserver), "HOMESERVER_REFUSED");
  homeserver.onRequest = (path) => (path.includes("/m.room.member/") ? { status: 404, body: {} } : undefined);
  await rejects(importFrom(tidemark, homeserver), "HOMESERVER_REFUSED");
  homeserver.onRequest = () => undefined;
  const options = ["--nats", tidemark.url, "--homeserver", homeserver.url, "--token", TOKEN];
  await using command = runCli(["import-room", homeserver.room, ...options]);
  assert.is(await command.ended, 1);
  assert.match(command.stderr.join("\n"), `${ASKER} is not joined to !kicked:here.example (leave)`);
  assert.equal(await tidemark.lastSequences(), before);
});

races("a pushed change of membership stands over state that was read before it", async () => {
  await using tidemark = await startFederation();
  await using homeserver = await homeserverOf("!banned:here.example", 8);
  homeserver.onRequest = async (path) => {
    if (path.endsWith("/messages") && homeserver.events.length === 8) {
      homeserver.events = [...homeserver.events, member(BOB, "ban", "$banned")];
      await push(tidemark, homeserver, 8, 9);
    }
    return undefined;
  };
  await importFrom(tidemark, homeserver);
  await isOrdered(tidemark, homeserver, "the ban is the newest");
  const { members } = await tidemark.query(homeserver.room, { op: "snapshot" });
  assert.equal(members, { [BOB]: "ban", [ASKER]: "join" });
});

races.run();
