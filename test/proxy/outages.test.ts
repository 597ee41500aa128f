/** The markers of many users after an outage: of the homeserver, of the bus, of both, and of Tidemark. */
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Role, start } from "../../src/start.ts";
import { within } from "../../src/within.ts";
import { type Body, type BusHarness, eventually, message, metricsOf, servedOn, startBus } from "../support/harness.ts";
import {
  type MarkedHomeserver,
  markerText,
  type SetMarker,
  startMarkedHomeserver,
} from "../support/marked-homeserver.ts";
import { push, REGISTRATION } from "../support/pushing-homeserver.ts";

const ROOMS = ["!one:a.org", "!two:a.org"];
const USERS = Array.from({ length: 50 }, (_, i) => `@user${i}:a.org`);
/** Markers may only move forward, so each round has a share of the events. */
const ROUNDS = 3;
const EVENTS = Array.from({ length: 10 * ROUNDS }, (_, i) => `$${i}`);
const ROOT = "$root";

async function startProxy(bus: BusHarness, { url }: MarkedHomeserver) {
  const tidemark = await start({
    ...servedOn(bus),
    metrics: { host: "127.0.0.1", port: 0 },
    roles: new Set<Role>(["ingress", "worker", "proxy"]),
    homeserver: url,
    registration: REGISTRATION,
    imports: 0,
    log: pino({ level: "silent" }),
  });
  return { ...tidemark, [Symbol.asyncDispose]: tidemark.stop };
}

type Proxy = Awaited<ReturnType<typeof startProxy>>;

async function fillRooms(bus: BusHarness): Promise<void> {
  const inThread = (id: string) => ({ "m.relates_to": { rel_type: "m.thread", event_id: ROOT }, body: id });
  for (const room of ROOMS) {
    const threaded = EVENTS.map((id) => message(`$t${id}`, { content: inThread(id) }));
    await bus.sent("event", room, [message(ROOT), ...EVENTS.map((id) => message(id)), ...threaded]);
  }
}

/** Every user reads on in every room, in all the ways there are, and no client tells the proxy. */
function readOn(homeserver: MarkedHomeserver, round: number): void {
  for (const [i, user] of USERS.entries()) {
    for (const room of ROOMS) {
      const event = (step: number) => EVENTS[10 * round + ((i + step) % 5) + (step > 4 ? 5 : 0)]!;
      homeserver.set({ user, room, type: "m.read", event: event(0) });
      homeserver.set({ user, room, type: "m.read", event: event(5), thread: "main" });
      homeserver.set({ user, room, type: "m.read", event: `$t${event(1)}`, thread: ROOT });
      homeserver.set({ user, room, type: "m.read.private", event: event(6) });
      homeserver.set({ user, room, type: "m.fully_read", event: event(2) });
    }
  }
}

/** A room's receipts as a homeserver pushes them: without threads. */
function pushedReceipts(homeserver: MarkedHomeserver, room: string): Body {
  const content: Body = {};
  for (const { user, type, event, ...marker } of homeserver.current()) {
    if (marker.room !== room || type === "m.fully_read") continue;
    content[event] ??= {};
    content[event][type] ??= {};
    content[event][type][user] = { ts: 1 };
  }
  return content;
}

/** All markers that Tidemark has, as text. */
async function markersOf(bus: BusHarness): Promise<string[]> {
  const found: SetMarker[] = [];
  const add = (room: string, content: Body, only?: string) => {
    for (const [event, types] of Object.entries<Body>(content ?? {})) {
      for (const [type, users] of Object.entries<Body>(types)) {
        for (const [user, { thread_id: thread }] of Object.entries<Body>(users)) {
          if (only === undefined || user === only)
            found.push({ user, room, type: type as SetMarker["type"], event, thread });
        }
      }
    }
  };
  for (const room of ROOMS) {
    for (const [i, user] of USERS.entries()) {
      const {
        receipts,
        private: own,
        fully_read: fullyRead,
      } = await bus.query(room, { op: "snapshot", user_id: user, timeline_limit: 0 });
      if (i === 0) add(room, receipts);
      add(room, own, user);
      if (fullyRead !== undefined) found.push({ user, room, type: "m.fully_read", event: fullyRead.event_id });
    }
  }
  return found.map(markerText).sort();
}

/** A question that is lost with a connection has no answer for half a minute. */
const LOST_MS = 5_000;

const isEqual = async (bus: BusHarness, homeserver: MarkedHomeserver) =>
  String(await within(LOST_MS, markersOf(bus)).catch(() => [])) === String(homeserver.markers());

const syncAs = (proxy: Proxy, user: string) =>
  fetch(`${proxy.httpUrl}/_matrix/client/v3/sync?since=c`, { headers: { authorization: `Bearer ${user}` } });

const allSync = (proxy: Proxy) => Promise.all(USERS.map((user) => syncAs(proxy, user)));

async function rounds(proxy: Proxy): Promise<number> {
  const [, read] = /marker_syncs_total\{outcome="read"\} (\d+)/.exec(await metricsOf(proxy)) ?? [];
  return Number(read ?? 0);
}

/** All users are there, and Tidemark has their markers. */
async function begun(bus: BusHarness, homeserver: MarkedHomeserver): Promise<Proxy> {
  const proxy = await startProxy(bus, homeserver);
  await fillRooms(bus);
  readOn(homeserver, 0);
  await allSync(proxy);
  await eventually(() => isEqual(bus, homeserver), "Tidemark has the markers of all users");
  assert.is(await rounds(proxy), USERS.length);
  return proxy;
}

/** Each user was asked about once, and the next outage begins with nothing left to do. */
async function assertOneRound(proxy: Proxy, before: number): Promise<void> {
  await eventually(async () => (await rounds(proxy)) >= before + USERS.length, "the round is over");
  assert.is(await rounds(proxy), before + USERS.length);
}

const outages = suite("the markers of 50 users");

outages("equal the homeserver's after it was away, in one round, at its first answer", async () => {
  await using bus = await startBus();
  await using homeserver = await startMarkedHomeserver();
  await using proxy = await begun(bus, homeserver);
  for (const round of [1, 2]) {
    await homeserver.stop();
    assert.is((await syncAs(proxy, USERS[0]!)).status, 502);
    readOn(homeserver, round);
    const before = await rounds(proxy);
    homeserver.asked.length = 0;
    await homeserver.start();
    await syncAs(proxy, USERS[0]!);
    await eventually(() => isEqual(bus, homeserver), "the markers are equal");
    await assertOneRound(proxy, before);
    assert.equal([...homeserver.asked].sort(), [...USERS].sort());
  }
});

outages(
  "equal the homeserver's after receipts went past the proxy, once they are pushed without their threads",
  async () => {
    await using bus = await startBus();
    await using homeserver = await startMarkedHomeserver();
    await using proxy = await begun(bus, homeserver);
    const before = await rounds(proxy);
    readOn(homeserver, 1);
    const ephemeral = ROOMS.map((room) => ({
      type: "m.receipt",
      room_id: room,
      content: pushedReceipts(homeserver, room),
    }));
    assert.is((await push(proxy, 1, { ephemeral })).status, 200);
    await eventually(() => isEqual(bus, homeserver), "the markers are equal");
    await assertOneRound(proxy, before);
  },
);

outages("equal the homeserver's after m.fully_read was set past the proxy, once clients are shown it", async () => {
  await using bus = await startBus();
  await using homeserver = await startMarkedHomeserver();
  await using proxy = await begun(bus, homeserver);
  for (const user of USERS)
    for (const room of ROOMS) homeserver.set({ user, room, type: "m.fully_read", event: EVENTS.at(-1)! });
  homeserver.showsFullyRead = true;
  await allSync(proxy);
  await eventually(() => isEqual(bus, homeserver), "the markers are equal");
});

outages("equal the homeserver's after the bus was away, in one round", async () => {
  await using bus = await startBus();
  await using homeserver = await startMarkedHomeserver();
  await using proxy = await begun(bus, homeserver);
  const before = await rounds(proxy);
  bus.pauseBroker();
  readOn(homeserver, 1);
  assert.is((await syncAs(proxy, USERS[0]!)).status, 200);
  await bus.restartBroker();
  await eventually(() => isEqual(bus, homeserver), "the markers are equal");
  await assertOneRound(proxy, before);
});

outages("equal the homeserver's after both were away, whichever is back first", async () => {
  await using bus = await startBus();
  await using homeserver = await startMarkedHomeserver();
  await using proxy = await begun(bus, homeserver);
  for (const round of [1, 2]) {
    await homeserver.stop();
    assert.is((await syncAs(proxy, USERS[0]!)).status, 502);
    bus.pauseBroker();
    readOn(homeserver, round);
    const back = [() => homeserver.start(), () => bus.restartBroker()];
    for (const restart of round === 1 ? back : back.reverse()) await restart();
    await syncAs(proxy, USERS[0]!);
    await eventually(() => isEqual(bus, homeserver), "the markers are equal");
  }
});

outages("equal the homeserver's after Tidemark was away, also of those whose long polls are not answered", async () => {
  await using bus = await startBus();
  await using homeserver = await startMarkedHomeserver();
  const first = await begun(bus, homeserver);
  await first.stop();
  readOn(homeserver, 1);
  homeserver.isPolled = true;
  await using proxy = await startProxy(bus, homeserver);
  const polls = allSync(proxy);
  await eventually(() => isEqual(bus, homeserver), "the markers are equal");
  await assertOneRound(proxy, 0);
  await homeserver.stop();
  assert.ok((await polls).every(({ status }) => status === 502));
});

outages.run();
