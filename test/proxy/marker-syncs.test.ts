/** What the proxy asks its homeserver of users' markers, and tells Tidemark. */
import { createServer } from "node:http";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TidemarkError } from "../../src/errors.ts";
import type { RoomId, UserId } from "../../src/matrix/ids.ts";
import { Askers } from "../../src/proxy/askers.ts";
import { MarkerSyncs } from "../../src/proxy/marker-syncs.ts";
import { markersIn } from "../../src/proxy/synced-markers.ts";
import { Upstream } from "../../src/proxy/upstream.ts";
import { type Body, eventually } from "../support/harness.ts";
import { listening } from "../support/scripted-homeserver.ts";

const ROOM = "!r:a" as RoomId;
const AS_TOKEN = "the-as-token";

/** A section of a room in `/sync`. */
const section = (receipts: Body, fullyRead?: string) => ({
  ephemeral: {
    events: [
      { type: "m.typing", content: {} },
      { type: "m.receipt", content: receipts },
    ],
  },
  account_data: { events: fullyRead === undefined ? [] : [{ type: "m.fully_read", content: { event_id: fullyRead } }] },
});
const read = (user: string, more: Body = {}) => ({ [user]: { ts: 5, ...more } });

interface Sync {
  readonly user: string | null;
  readonly since: string | null;
}

interface Following extends AsyncDisposable {
  readonly syncs: MarkerSyncs;
  /** The requests for markers so far. */
  readonly asked: Sync[];
  readonly filters: Body[];
  /** What Tidemark was told: user, type, event, thread, accepted. */
  readonly told: Body[];
  readonly outcomes: string[];
  status: number;
  /** Of one user alone. */
  readonly statuses: Map<string, number>;
  rooms: Body;
  /** Called before `/sync` is answered. */
  onSync: () => Promise<void>;
  refusal: TidemarkError | undefined;
  /** A request of this user has been answered; `bridge` is an application service. */
  seen(user: string, key?: string): void;
}

const SOON = { perSecond: 1_000, retryMs: 20, againMs: 20 };
const NEVER_MS = 3_600_000;

async function following(options: Partial<typeof SOON> = {}): Promise<Following> {
  const asked: Sync[] = [];
  const filters: Body[] = [];
  const told: Body[] = [];
  const outcomes: string[] = [];
  const server = await listening(
    createServer(async ({ url = "", headers }, response) => {
      const { pathname, searchParams: query } = new URL(url, "http://a");
      const reply = (status: number, body: unknown) => response.writeHead(status).end(JSON.stringify(body));
      if (pathname.endsWith("/whoami")) {
        const name = headers.authorization;
        return reply(200, { user_id: `@${name}:a`, ...(name !== "bridge" && { device_id: "D" }) });
      }
      assert.is(headers.authorization, `Bearer ${AS_TOKEN}`);
      assert.is(pathname, "/_matrix/client/v3/sync");
      assert.is(query.get("set_presence"), "offline");
      filters.push(JSON.parse(query.get("filter")!));
      asked.push({ user: query.get("user_id"), since: query.get("since") });
      const { rooms } = found;
      await found.onSync();
      return reply(found.statuses.get(query.get("user_id") ?? "") ?? found.status, {
        next_batch: `s${asked.length}`,
        rooms: { join: rooms },
      });
    }),
  );
  const upstream = new Upstream(server.url);
  const syncs = new MarkerSyncs({
    upstream,
    askers: new Askers(upstream),
    asToken: AS_TOKEN,
    ...SOON,
    ...options,
    onSync: (outcome) => outcomes.push(outcome),
  });
  const found: Following = {
    syncs,
    asked,
    filters,
    told,
    outcomes,
    status: 200,
    statuses: new Map(),
    rooms: {},
    onSync: async () => {},
    refusal: undefined,
    seen: (user, key = user) => syncs.seen({ key, query: "", headers: ["Host", "a", "Authorization", user] }),
    [Symbol.asyncDispose]: async () => {
      await syncs.close();
      upstream.close();
      await server[Symbol.asyncDispose]();
    },
  };
  syncs.connect(async (room, receipts) => {
    if (found.refusal !== undefined) throw found.refusal;
    for (const each of receipts) {
      const { user_id: user, receipt_type: type, event_id: event, thread_id: thread, accepted } = each;
      told.push([room, user, type, event, thread, accepted]);
    }
  });
  return found;
}

const BOB = "@bob:a";
const markers = suite("markers from the homeserver");

markers("are a user's own, with threads and m.fully_read, at the first request", async () => {
  await using proxy = await following();
  proxy.rooms = {
    [ROOM]: section(
      {
        $1: { "m.read": { ...read(BOB, { thread_id: "main" }), ...read("@other:a") } },
        $2: { "m.read.private": read(BOB), "m.other": read(BOB), "m.read": read(BOB, { thread_id: "$1" }) },
      },
      "$1",
    ),
    "not a room": section({ $1: { "m.read": read(BOB) } }),
  };
  proxy.seen("bob");
  proxy.seen("bob");
  await eventually(() => proxy.outcomes.length === 1, "it is read");
  assert.equal(proxy.told, [
    [ROOM, BOB, "m.read", "$1", "main", true],
    [ROOM, BOB, "m.read", "$2", "$1", true],
    [ROOM, BOB, "m.read.private", "$2", undefined, true],
    [ROOM, BOB, "m.fully_read", "$1", undefined, true],
  ]);
  assert.equal(proxy.asked, [{ user: BOB, since: null }]);
  assert.equal(proxy.filters[0].room.ephemeral, { types: ["m.receipt"] });
  assert.is(proxy.filters[0].room.rooms, undefined, "with it, Synapse leaves m.fully_read out");
});

markers("are asked for with another filter each time: Synapse keeps answers for two minutes, by its text", async () => {
  const filterOf = async () => {
    await using proxy = await following();
    proxy.seen("bob");
    await eventually(() => proxy.outcomes.length === 1, "it is read");
    return JSON.stringify(proxy.filters[0]);
  };
  assert.is.not(await filterOf(), await filterOf());
});

markers("are read again after a gap, from where the last answer ended, and told once", async () => {
  await using proxy = await following();
  proxy.rooms = { [ROOM]: section({ $1: { "m.read": read(BOB) } }, "$1") };
  proxy.seen("bob");
  await eventually(() => proxy.outcomes.length === 1, "the first is read");
  proxy.syncs.told(ROOM, markersOf(section({ $2: { "m.read": read(BOB) } })));
  proxy.rooms = { [ROOM]: section({ $2: { "m.read": read(BOB), "m.read.private": read(BOB) } }, "$1") };
  proxy.syncs.gap();
  await eventually(() => proxy.outcomes.length === 2, "the second is read");
  assert.equal(proxy.asked[1], { user: BOB, since: "s1" });
  assert.equal(proxy.told.slice(2), [[ROOM, BOB, "m.read.private", "$2", undefined, true]]);
});

markers("undo no m.fully_read that a client set meanwhile: the user is asked about once more", async () => {
  await using proxy = await following();
  proxy.rooms = { [ROOM]: section({}, "$1") };
  const [newer] = markersOf(section({}, "$2"));
  proxy.onSync = async () => {
    proxy.onSync = async () => {};
    proxy.syncs.told(ROOM, [newer!]);
    proxy.rooms = { [ROOM]: section({}, "$2") };
  };
  proxy.seen("bob");
  await eventually(() => proxy.outcomes.length === 2, "it is read twice");
  assert.equal(proxy.told, []);
});

markers("are asked for again while the homeserver or Tidemark is away, and lack nothing", async () => {
  await using proxy = await following();
  proxy.rooms = { [ROOM]: section({ $1: { "m.read": read(BOB) } }) };
  proxy.status = 502;
  proxy.seen("bob");
  await eventually(() => proxy.outcomes.includes("failed"), "it fails");
  proxy.status = 200;
  proxy.refusal = new TidemarkError("BUS_UNAVAILABLE", "away");
  const { length } = proxy.outcomes;
  await eventually(() => proxy.outcomes.length > length, "it fails again");
  proxy.refusal = undefined;
  await eventually(() => proxy.outcomes.includes("read"), "it is read");
  assert.equal(proxy.told, [[ROOM, BOB, "m.read", "$1", undefined, true]]);
  assert.ok(proxy.asked.every(({ since }) => since === null));
});

markers("are asked for a few at a time again once the homeserver is back", async () => {
  await using proxy = await following();
  proxy.status = 502;
  for (let i = 0; i < 20; i++) proxy.seen(`user${i}`);
  await eventually(() => proxy.outcomes.includes("failed"), "it fails");
  let open = 0;
  let most = 0;
  proxy.onSync = async () => {
    most = Math.max(most, ++open);
    await new Promise((resolve) => setImmediate(resolve));
    open--;
  };
  proxy.status = 200;
  await eventually(() => proxy.outcomes.filter((outcome) => outcome === "read").length === 20, "all are read");
  assert.ok(most > 1 && most <= 4, String(most));
});

markers("that came after a gap ended are not asked for again; those of another log are, as a whole", async () => {
  await using proxy = await following();
  proxy.rooms = { [ROOM]: section({ $1: { "m.read": read(BOB) } }) };
  const before = performance.now();
  proxy.seen("bob");
  await eventually(() => proxy.outcomes.length === 1, "the first is read");
  proxy.syncs.gap(before);
  proxy.syncs.forget();
  await eventually(() => proxy.outcomes.length === 2, "the second is read");
  assert.equal(proxy.asked, [
    { user: BOB, since: null },
    { user: BOB, since: null },
  ]);
  assert.is(proxy.told.length, 2, "it is told again");
});

markers("are read again after a gap in the pushes, and of those who were read at once, once more", async () => {
  await using proxy = await following();
  proxy.seen("bob");
  await eventually(() => proxy.outcomes.length === 1, "the first is read");
  proxy.syncs.caughtUp();
  await eventually(() => proxy.outcomes.length === 3, "it is read twice more");
});

markers(
  "of one user about whom the homeserver can't be asked are asked for after longer and longer pauses",
  async () => {
    await using proxy = await following();
    const times: number[] = [];
    proxy.onSync = async () => void times.push(performance.now());
    proxy.statuses.set(BOB, 500);
    proxy.seen("bob");
    await eventually(() => proxy.outcomes.length === 5, "it fails five times");
    const pauses = times.slice(1).map((time, i) => time - times[i]!);
    for (const [i, ms] of pauses.entries()) assert.ok(ms >= SOON.retryMs * 2 ** i - 1, `${i}: ${ms}`);
    proxy.statuses.clear();
    await eventually(() => proxy.outcomes.includes("read"), "it is read");
  },
);

markers("of a user who is asked about later hold up nobody else's, and are asked for at the end of a gap", async () => {
  await using proxy = await following({ retryMs: NEVER_MS });
  proxy.statuses.set(BOB, 500);
  proxy.seen("bob");
  await eventually(() => proxy.outcomes.length === 1, "it fails");
  proxy.syncs.want(BOB as UserId);
  proxy.seen("carol");
  await eventually(() => proxy.outcomes.length === 2, "carol's are read");
  assert.equal(proxy.outcomes, ["failed", "read"]);
  proxy.statuses.clear();
  proxy.syncs.gap();
  await eventually(() => proxy.outcomes.length === 4, "both are read");
  assert.equal(proxy.outcomes.slice(2), ["read", "read"]);
});

markers("are left alone where the registration can't act, and those of application services", async () => {
  await using proxy = await following();
  proxy.status = 403;
  proxy.seen("bob");
  await eventually(() => proxy.outcomes.length === 1, "it is refused");
  proxy.syncs.gap();
  proxy.status = 200;
  proxy.seen("bridge");
  proxy.syncs.seen({ key: "ghost", query: "?user_id=x", headers: ["Host", "a", "Authorization", "ghost"] });
  proxy.seen("carol", "another");
  await eventually(() => proxy.outcomes.includes("read"), "carol's are read");
  assert.equal(proxy.outcomes, ["forbidden", "read"]);
});

markers("of many users are read a few at a time, all of them", async () => {
  await using proxy = await following();
  let open = 0;
  let most = 0;
  proxy.onSync = async () => {
    most = Math.max(most, ++open);
    await new Promise((resolve) => setImmediate(resolve));
    open--;
  };
  for (let i = 0; i < 50; i++) proxy.seen(`user${i}`);
  await eventually(() => proxy.outcomes.length === 50, "all are read");
  assert.is(new Set(proxy.asked.map(({ user }) => user)).size, 50);
  assert.ok(most <= 4, String(most));
});

markers("in an answer that makes no sense are none, or the answer is refused", () => {
  assert.throws(() => markersIn({}, BOB as UserId));
  assert.throws(() => markersIn({ next_batch: "s", rooms: { join: { [ROOM]: 7 } } }, BOB as UserId));
  for (const content of [null, 7, [], { $1: null }, { $1: { "m.read": 7 } }, { x: { "m.read": read(BOB) } }]) {
    assert.equal(markersOf(section(content)), []);
  }
  assert.is(markersOf(section({ $1: { "m.read": { [BOB]: { ts: "x", thread_id: 7 } } } }))[0]?.thread_id, undefined);
});

function markersOf(room: Body) {
  const { rooms } = markersIn({ next_batch: "s", rooms: { join: { [ROOM]: room } } }, BOB as UserId);
  return [...(rooms.get(ROOM) ?? [])];
}

markers.run();
