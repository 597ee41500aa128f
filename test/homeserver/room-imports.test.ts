/** Rooms that join in by themselves: which are imported in the background, when, and as whom. */
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { HomeserverClient } from "../../src/homeserver/homeserver-client.ts";
import { LocalUsers } from "../../src/homeserver/local-users.ts";
import { importRoom } from "../../src/homeserver/room-import.ts";
import { type ImportOutcome, RoomImports } from "../../src/homeserver/room-imports.ts";
import { UserClients } from "../../src/homeserver/user-clients.ts";
import type { MatrixEvent } from "../../src/matrix/event.ts";
import { roomId, type ServerName, userId } from "../../src/matrix/ids.ts";
import { type FakeHomeserver, startHomeserver } from "../support/fake-homeserver.ts";
import { member, message, OWN, read, startFederation } from "../support/federation.ts";
import { type Body, eventually } from "../support/harness.ts";
import { random } from "../support/random.ts";
import { cases, SEED } from "../support/tier.ts";

const TOKEN = "the-as-token";
const ALICE = userId.parse("@alice:here.example");
const BOB = userId.parse("@bob:here.example");
const CAROL = "@carol:there.example";
const DEPTH = 12;

type Tidemark = Awaited<ReturnType<typeof startFederation>>;

const idOf = (i: number) => `$${String(i).padStart(3, "0")}`;

/** A room of another server: created, two members, and messages. */
function eventsOf(count: number): Body[] {
  const begin = [
    { ...message("$000", CAROL), type: "m.room.create", state_key: "", content: {} },
    { ...member(CAROL, "join", "$001"), origin_server_ts: 1 },
    { ...member(ALICE, "join", "$002"), origin_server_ts: 2 },
    { ...member(BOB, "join", "$003"), origin_server_ts: 3 },
  ];
  const rest = Array.from({ length: count - begin.length }, (_, i) => ({
    ...message(idOf(begin.length + i), i % 3 === 0 ? ALICE : CAROL, i % 5 === 4 ? "$004" : undefined),
    content: {
      msgtype: "m.text",
      body: "",
      ...(i % 5 === 4 && { "m.relates_to": { rel_type: "m.thread", event_id: "$004" } }),
    },
    origin_server_ts: 10 + i,
  }));
  return [...begin, ...rest];
}

interface Homeserver extends FakeHomeserver {
  readonly room: string;
}

async function homeserverOf(room: string, count = 24): Promise<Homeserver> {
  const events = eventsOf(count);
  const state = events.filter(({ state_key: key }) => key !== undefined);
  const homeserver = await startHomeserver({ room, token: TOKEN, events, state, page: 5 });
  homeserver.membership = "leave";
  homeserver.memberships = { [ALICE]: "join", [BOB]: "join", [CAROL]: "join" };
  return Object.assign(homeserver, { room });
}

interface Importing extends AsyncDisposable {
  readonly imports: RoomImports;
  readonly outcomes: ImportOutcome[];
  /** Pings that were asked for. While `isReached` is false, they fail. */
  pings: number;
  isReached: boolean;
}

interface ImportingOptions {
  readonly silenceMs?: number;
  readonly depth?: number;
  readonly againMs?: number;
}

async function importing(
  { nc }: Tidemark,
  { url }: Homeserver,
  { silenceMs = 60_000, depth = DEPTH, againMs = 3_600_000 }: ImportingOptions = {},
): Promise<Importing> {
  const outcomes: ImportOutcome[] = [];
  const imports = await RoomImports.open({
    nc,
    clients: new UserClients({ homeserver: url, asToken: TOKEN, perSecond: 1_000 }),
    users: new LocalUsers([OWN as ServerName]),
    ping: async () => {
      found.pings++;
      if (!found.isReached) throw new Error("not reached");
    },
    atOnce: 2,
    depth,
    onRunning: () => {},
    onDone: (outcome) => outcomes.push(outcome),
    log: pino({ level: "silent" }),
    retryMs: 20,
    claimMs: 300,
    silenceMs,
    againMs,
  });
  const found = { imports, outcomes, pings: 0, isReached: true, [Symbol.asyncDispose]: () => imports.close() };
  return found;
}

/** Pushes events and receipts, as a transaction that is stored. */
async function push(
  tidemark: Tidemark,
  { imports }: Importing,
  { room, events, receipts = [] }: { readonly room: string; readonly events: readonly Body[]; receipts?: Body[] },
): Promise<void> {
  await tidemark.sent("event", room, events);
  for (const receipt of receipts) await tidemark.sent("receipt", room, receipt);
  imports.pushed(new Map([[roomId.parse(room), { events: events as MatrixEvent[], receipts }]]));
}

async function ordersOf(tidemark: Tidemark, { room, events }: Homeserver): Promise<(number | null)[]> {
  const ids = events.map(({ event_id: id }) => id as string);
  const { orders } = await tidemark.query(room, { op: "orders", event_ids: ids });
  return ids.map((id) => orders[id]);
}

async function isOrdered(tidemark: Tidemark, homeserver: Homeserver, what: string): Promise<void> {
  let orders: (number | null)[] = [];
  await eventually(async () => {
    orders = await ordersOf(tidemark, homeserver);
    return !orders.includes(null);
  }, `${what}: every event has an order`);
  assert.equal(
    orders,
    orders.toSorted((a, b) => a! - b!),
    what,
  );
  assert.is(new Set(orders).size, orders.length, what);
}

/** What readers see of a room. */
async function viewOf(tidemark: Tidemark, homeserver: Homeserver): Promise<Body> {
  const { receipts, members, timeline } = await tidemark.query(homeserver.room, { op: "snapshot" });
  const unread = await Promise.all(
    [ALICE, BOB].map((user) => tidemark.query(homeserver.room, { op: "unread", user_id: user })),
  );
  const { events } = await tidemark.query(homeserver.room, { op: "state" });
  return {
    receipts,
    members,
    unread,
    timeline: timeline.map(({ event_id: id, unsigned }: Body) => [id, unsigned.order]),
    orders: await ordersOf(tidemark, homeserver),
    state: events.map(({ event_id: id }: Body) => id).toSorted(),
  };
}

const isDone = ({ outcomes }: Importing, what: string) =>
  eventually(() => outcomes.includes("done"), `${what} is imported`);

const joining = suite("rooms that join in by themselves");

joining("are as if they had been imported by hand, wherever the pushes began", async () => {
  await using tidemark = await startFederation();
  const draw = random(SEED);
  const below = (end: number) => Math.floor(draw() * end);
  for (let n = 0; n < cases(4); n++) {
    const count = 5 + below(40);
    const first = 4 + below(count - 4);
    const depth = below(count + 5);
    const what = `seed ${SEED}, case ${n}: ${count} events, pushed from ${first} on, depth ${depth}`;
    const receipts = Array.from({ length: 1 + below(4) }, () => {
      const more = [{}, { thread_id: "main" }, { thread_known: false }, { accepted: true }][below(4)]!;
      return read([ALICE, BOB][below(2)]!, idOf(below(count)), more);
    });
    await using own = await homeserverOf(`!own-${n}:there.example`, count);
    await using byHand = await homeserverOf(`!hand-${n}:there.example`, count);
    await using importer = await importing(tidemark, own, { depth });
    await tidemark.sent("event", byHand.room, byHand.events.slice(first));
    for (const receipt of receipts) await tidemark.sent("receipt", byHand.room, receipt);
    await importRoom({
      nc: tidemark.nc,
      homeserver: new HomeserverClient({ url: byHand.url, token: TOKEN, user: ALICE }),
      room: roomId.parse(byHand.room),
      depth,
    });
    await push(tidemark, importer, { room: own.room, events: own.events.slice(first), receipts });
    await isDone(importer, what);
    await isOrdered(tidemark, own, what);
    await isOrdered(tidemark, byHand, what);
    assert.equal(await viewOf(tidemark, own), await viewOf(tidemark, byHand), what);
  }
});

joining("and that pushes never named wait until the pushes have caught up", async () => {
  await using tidemark = await startFederation();
  await using homeserver = await homeserverOf("!old:there.example");
  await using importer = await importing(tidemark, homeserver, { silenceMs: 3_000 });
  importer.isReached = false;
  const { imports } = importer;
  imports.user(BOB);
  const local = { ...message("$x", ALICE), content: {} } as MatrixEvent;
  await eventually(() => importer.pings > 1, "it pings again");
  imports.folded([local]);
  imports.folded([{ ...local, sender: userId.parse(CAROL), origin_server_ts: Date.now() + 10_000 }]);
  await eventually(() => importer.pings > 2, "it pings once more");
  assert.equal(importer.outcomes, []);
  assert.not.ok(homeserver.requests.some((path) => path.includes("/messages")));
  imports.folded([{ ...local, origin_server_ts: Date.now() + 10_000 }]);
  await isDone(importer, "the room");
  await isOrdered(tidemark, homeserver, "all of it");
});

joining("begin when the homeserver answers a ping and is silent", async () => {
  await using tidemark = await startFederation();
  await using homeserver = await homeserverOf("!silent:there.example");
  await using importer = await importing(tidemark, homeserver, { silenceMs: 100 });
  importer.imports.user(BOB);
  await isDone(importer, "the room");
  await isOrdered(tidemark, homeserver, "all of it");
  assert.ok(importer.pings >= 1);
});

joining("are not imported when pushes bring all of them, and cost nothing then", async () => {
  await using tidemark = await startFederation();
  await using homeserver = await homeserverOf("!whole:there.example");
  await using importer = await importing(tidemark, homeserver);
  const questions = tidemark.subscribe("tidemark.query.>");
  const { room, events } = homeserver;
  await push(tidemark, importer, { room, events: events.slice(0, 20) });
  await push(tidemark, importer, { room, events: events.slice(20) });
  importer.imports.user(BOB);
  await eventually(() => homeserver.requests.length === 1, "the user's rooms are read");
  await tidemark.nc.flush();
  assert.equal(questions.messages, []);
  assert.match(homeserver.requests[0]!, "joined_rooms");
});

joining("are imported once, by one of several processes at a time", async () => {
  await using tidemark = await startFederation();
  await using homeserver = await homeserverOf("!both:there.example");
  await using one = await importing(tidemark, homeserver);
  await using other = await importing(tidemark, homeserver);
  const { room, events } = homeserver;
  await push(tidemark, one, { room, events: events.slice(20) });
  other.imports.user(BOB);
  await eventually(() => [...one.outcomes, ...other.outcomes].includes("done"), "it is imported");
  await isOrdered(tidemark, homeserver, "all of it");
  const pages = homeserver.requests.filter((path) => path.includes("/messages"));
  assert.is(new Set(pages).size, pages.length, "no page is read twice");
});

joining("go on where an import ended, at whatever request", async () => {
  await using tidemark = await startFederation();
  await using whole = await homeserverOf("!run-through:there.example");
  await using first = await importing(tidemark, whole);
  await push(tidemark, first, { room: whole.room, events: whole.events.slice(20) });
  await isDone(first, "one that runs through");
  await isOrdered(tidemark, whole, "one that runs through");
  const expected = (await ordersOf(tidemark, whole)).join();
  for (let n = 1; ; n++) {
    await using homeserver = await homeserverOf(`!ended-${n}:there.example`);
    const { room, events } = homeserver;
    let requests = 0;
    const ended = await importing(tidemark, homeserver);
    let closed: Promise<void> | undefined;
    homeserver.onRequest = () => {
      if (++requests === n) closed = ended.imports.close();
      return undefined;
    };
    await push(tidemark, ended, { room, events: events.slice(20) });
    await eventually(() => closed !== undefined || ended.outcomes.length > 0, `request ${n}, or the end`);
    await closed;
    await using next = await importing(tidemark, homeserver);
    await push(tidemark, next, { room, events: events.slice(23), receipts: [read(BOB, "$023")] });
    if (closed !== undefined) await isDone(next, `the room whose import ended at request ${n}`);
    await isOrdered(tidemark, homeserver, room);
    assert.is((await ordersOf(tidemark, homeserver)).join(), expected, `ended at request ${n}`);
    if (closed !== undefined) continue;
    await ended.imports.close();
    assert.ok(n > 10, `an import has ${n} requests`);
    return;
  }
});

joining("are tried again while the homeserver fails, at whatever request", async () => {
  await using tidemark = await startFederation();
  for (let n = 1; ; n++) {
    await using homeserver = await homeserverOf(`!failing-${n}:there.example`);
    await using importer = await importing(tidemark, homeserver);
    const { room, events } = homeserver;
    let requests = 0;
    homeserver.onRequest = () => (++requests === n ? { status: 401, body: { errcode: "M_UNKNOWN_TOKEN" } } : undefined);
    await push(tidemark, importer, { room, events: events.slice(20) });
    await isDone(importer, room);
    await isOrdered(tidemark, homeserver, room);
    if (n > requests) break;
  }
});

joining("stay in order while newer events are pushed at any request", async () => {
  await using tidemark = await startFederation();
  for (let n = 1; ; n++) {
    await using homeserver = await homeserverOf(`!racing-${n}:there.example`);
    await using importer = await importing(tidemark, homeserver);
    const { room, events } = homeserver;
    let requests = 0;
    homeserver.onRequest = async () => {
      if (++requests === n) await push(tidemark, importer, { room, events: events.slice(20, 22) });
      return undefined;
    };
    await push(tidemark, importer, { room, events: events.slice(19, 20) });
    await isDone(importer, room);
    await push(tidemark, importer, { room, events: events.slice(n > requests ? 20 : 22) });
    await isOrdered(tidemark, homeserver, room);
    if (n > requests) break;
  }
});

joining("are read as the longest joined local user who ignores nobody of the room", async () => {
  await using tidemark = await startFederation();
  const cases: [title: string, set: (homeserver: Homeserver) => void, user: string | undefined][] = [
    ["longest", () => {}, ALICE],
    [
      "creator",
      (homeserver) => {
        homeserver.state = homeserver.state.map((event) =>
          event.type === "m.room.create" ? { ...event, sender: BOB } : event,
        );
      },
      BOB,
    ],
    ["ignores", (homeserver) => (homeserver.ignored = { [ALICE]: [CAROL] }), BOB],
    ["ignores-others", (homeserver) => (homeserver.ignored = { [ALICE]: ["@else:there.example"] }), ALICE],
    ["forbidden", (homeserver) => (homeserver.forbidden = [ALICE]), BOB],
    ["left", (homeserver) => (homeserver.memberships = { [BOB]: "join" }), BOB],
    ["nobody", (homeserver) => (homeserver.ignored = { [ALICE]: [CAROL], [BOB]: [CAROL] }), undefined],
    ["all-forbidden", (homeserver) => (homeserver.forbidden = [ALICE, BOB]), undefined],
  ];
  for (const [title, set, user] of cases) {
    await using homeserver = await homeserverOf(`!${title}:there.example`);
    set(homeserver);
    await using importer = await importing(tidemark, homeserver);
    const { room, events } = homeserver;
    const before = (await tidemark.lastSequences()).reduce((sum, last) => sum + last);
    await push(tidemark, importer, {
      room,
      events: events.slice(23),
      receipts: [read(ALICE, "$023"), read(BOB, "$023")],
    });
    await eventually(() => importer.outcomes.length > 0, title);
    assert.equal(importer.outcomes, [user === undefined ? "nobody" : "done"], title);
    const pages = homeserver.requests.filter((path) => path.includes("/messages"));
    assert.is(pages.length > 0, user !== undefined, title);
    for (const path of pages) assert.is(new URL(path, homeserver.url).searchParams.get("user_id"), user, title);
    const after = (await tidemark.lastSequences()).reduce((sum, last) => sum + last);
    if (user === undefined) assert.is(after, before + 3, "nothing but the push is stored");
  }
});

joining("are left while nobody local is known, and imported when somebody is", async () => {
  await using tidemark = await startFederation();
  await using homeserver = await homeserverOf("!strangers:there.example");
  await using importer = await importing(tidemark, homeserver);
  const { room, events } = homeserver;
  homeserver.memberships = { [BOB]: "join" };
  await push(tidemark, importer, { room, events: [{ ...events[20], sender: CAROL }] });
  await eventually(() => importer.outcomes.length === 1, "it is left");
  assert.equal(importer.outcomes, ["nobody"]);
  assert.equal(homeserver.requests, []);
  await push(tidemark, importer, { room, events: [{ ...events[21], sender: CAROL }] });
  await push(tidemark, importer, { room, events: events.slice(22), receipts: [read(BOB, "$022")] });
  await isDone(importer, "the room");
  await isOrdered(tidemark, homeserver, "all of it");
});

joining("whose beginning the homeserver doesn't have are imported once by a process", async () => {
  await using tidemark = await startFederation();
  await using homeserver = await homeserverOf("!purged:there.example");
  homeserver.events = homeserver.events.slice(10);
  const { room, events } = homeserver;
  await using importer = await importing(tidemark, homeserver);
  await push(tidemark, importer, { room, events: events.slice(10) });
  await isDone(importer, "the room");
  await isOrdered(tidemark, homeserver, "what there is");
  const { length } = homeserver.requests;
  await push(tidemark, importer, { room, events: [message("$more", ALICE)] });
  await using next = await importing(tidemark, homeserver);
  const stored = async () =>
    (await tidemark.records(0)).concat(await tidemark.records(1)).flatMap(({ entries }) => [...entries]);
  const before = (await stored()).length;
  await push(tidemark, next, { room, events: [message("$again", ALICE)] });
  await isDone(next, "the room, in another process");
  assert.is(homeserver.requests.slice(0, length).length, length);
  assert.is((await stored()).length, before + 1, "another process stores nothing again");
  assert.not.ok(
    homeserver.requests.slice(length).some((path) => path.includes("/state?")),
    "its state is known",
  );
});

joining("are imported again when the homeserver could not get their beginning from other servers", async () => {
  await using tidemark = await startFederation();
  await using homeserver = await homeserverOf("!away:there.example");
  const all = homeserver.events;
  homeserver.events = all.slice(10);
  await using importer = await importing(tidemark, homeserver, { againMs: 50 });
  await push(tidemark, importer, { room: homeserver.room, events: all.slice(20), receipts: [read(BOB, "$020")] });
  await isDone(importer, "what there is");
  homeserver.events = all;
  await isOrdered(tidemark, homeserver, "all of it");
});

joining.run();
