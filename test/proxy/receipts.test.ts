/** Receipts that clients send through the proxy: to the homeserver first, and once it has accepted them to Tidemark. */
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TidemarkError } from "../../src/errors.ts";
import { PROXY_RECEIPT_ATTEMPTS_MAX, PROXY_RECEIPT_BYTES_MAX, PROXY_RECEIPTS_WAITING_MAX } from "../../src/limits.ts";
import type { RoomId, UserId } from "../../src/matrix/ids.ts";
import { AcceptedReceipts, type TellReceipts } from "../../src/proxy/accepted-receipts.ts";
import type { PostedReceipt } from "../../src/proxy/posted-receipts.ts";
import { receiptPath, receiptsIn } from "../../src/proxy/posted-receipts.ts";
import { type Role, start } from "../../src/start.ts";
import { type Body, type BusHarness, eventually, message, metricsOf, servedOn, startBus } from "../support/harness.ts";
import { listening } from "../support/scripted-homeserver.ts";
import { warnings } from "../support/warnings.ts";

const ROOM = "!room:a.org";
const BASE_PATH = "/_matrix/client/v3";
const room = (rest: string) => `${BASE_PATH}/rooms/${encodeURIComponent(ROOM)}/${rest}`;

interface Asked {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

interface Homeserver extends AsyncDisposable {
  readonly url: string;
  readonly asked: Asked[];
  readonly whoamis: Asked[];
  /** Of the answers to receipts. */
  status: number;
}

/** A homeserver where the token `t_<name>` is `@<name>:a.org`, who may be anybody (an application service). */
async function homeserver(): Promise<Homeserver> {
  const asked: Asked[] = [];
  const whoamis: Asked[] = [];
  const server = await listening(
    createServer(async (request, response) => {
      const { method = "", url = "", headers } = request;
      const one = { method, url, headers, body: await text(request) };
      const { pathname, searchParams } = new URL(url, "http://a");
      const reply = (status: number, body: unknown) =>
        response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
      if (!pathname.endsWith("/account/whoami")) {
        asked.push(one);
        return reply(found.status, found.status === 200 ? {} : { errcode: "M_FORBIDDEN" });
      }
      whoamis.push(one);
      const name = /^Bearer t_(.*)$/.exec(headers.authorization ?? "")?.[1];
      if (name === undefined) return reply(401, { errcode: "M_UNKNOWN_TOKEN" });
      return reply(200, { user_id: searchParams.get("user_id") ?? `@${name}:a.org` });
    }),
  );
  const found: Homeserver = { ...server, asked, whoamis, status: 200 };
  return found;
}

async function startProxy(bus: BusHarness, { url }: Homeserver, roles: Role[] = ["ingress", "worker", "proxy"]) {
  const tidemark = await start({
    ...servedOn(bus),
    metrics: { host: "127.0.0.1", port: 0 },
    roles: new Set(roles),
    homeserver: url,
    log: pino({ level: "silent" }),
  });
  return { ...tidemark, [Symbol.asyncDispose]: tidemark.stop };
}

interface Post {
  readonly token?: string;
  readonly body?: unknown;
}

const post = (url: string, path: string, { token = "t_bob", body = {} }: Post = {}) =>
  fetch(url + path, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${token}`, "user-agent": "a client" },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });

/** All receipts in the log: user, type, event, thread, and whether a homeserver accepted it. */
async function receiptsOf(bus: BusHarness): Promise<Body[]> {
  const records = [...(await bus.records(0)), ...(await bus.records(1))];
  const entries = records.flatMap((record) => record.entries).filter(([kind]) => kind === 2);
  return entries.map(([, user, type, event, thread, , , accepted]) => [user, type, event, thread, accepted === true]);
}

const toldOf = async (proxy: { readonly metricsUrl: string | undefined }, outcome: string): Promise<number> =>
  Number(
    new RegExp(`proxy_receipts_total\\{outcome="${outcome}"\\} (\\d+)`).exec(await metricsOf({ ...proxy }))?.[1] ?? 0,
  );

const proxied = suite("a receipt through the proxy");

proxied("reaches Tidemark with its user, thread and type, once the homeserver has accepted it", async () => {
  await using bus = await startBus();
  await using upstream = await homeserver();
  await using proxy = await startProxy(bus, upstream);
  await bus.sent("event", ROOM, [message("$1"), message("$2"), message("$3")]);
  const threaded = await post(proxy.httpUrl, room("receipt/m.read/%241"), { body: { thread_id: "main" } });
  assert.is(threaded.status, 200);
  assert.equal(await threaded.json(), {});
  await post(proxy.httpUrl, room("receipt/m.read.private/%242?x=%2F"));
  await post(proxy.httpUrl, room("read_markers"), {
    token: "t_carol",
    body: { "m.fully_read": "$3", "m.read": "$2", "m.other": "$1" },
  });
  await eventually(async () => (await receiptsOf(bus)).length === 4, "all are told");
  assert.equal(
    (await receiptsOf(bus)).sort((a, b) => String(a).localeCompare(String(b))),
    [
      ["@bob:a.org", "m.read", "$1", "main", true],
      ["@bob:a.org", "m.read.private", "$2", null, true],
      ["@carol:a.org", "m.fully_read", "$3", null, false],
      ["@carol:a.org", "m.read", "$2", null, true],
    ],
  );
  assert.equal(
    upstream.asked.map(({ method, url, body }) => [method, url, body]),
    [
      ["POST", room("receipt/m.read/%241"), '{"thread_id":"main"}'],
      ["POST", room("receipt/m.read.private/%242?x=%2F"), "{}"],
      ["POST", room("read_markers"), '{"m.fully_read":"$3","m.read":"$2","m.other":"$1"}'],
    ],
    "as they came",
  );
  await eventually(async () => (await toldOf(proxy, "told")) === 4, "they are counted");
});

proxied("is private to its user when it is a private one", async () => {
  await using bus = await startBus();
  await using upstream = await homeserver();
  await using proxy = await startProxy(bus, upstream);
  const everywhere = bus.subscribe("tidemark.client.>");
  const own = bus.subscribe("tidemark.user.>");
  await bus.sent("event", ROOM, message("$1"));
  await post(proxy.httpUrl, room("receipt/m.read.private/%241"));
  const { body, subject } = await own.next();
  assert.match(subject, /bob:a%2Eorg/);
  assert.ok(body.event.content.$1["m.read.private"]["@bob:a.org"]);
  await post(proxy.httpUrl, room("receipt/m.read/%241"), { token: "t_carol" });
  await everywhere.next(({ event }) => event !== undefined);
  assert.not.match(JSON.stringify(everywhere.messages.map((each) => each.body)), /private|@bob/);
});

proxied("is that of whom an application service acts as, and asks as its client did", async () => {
  await using bus = await startBus();
  await using upstream = await homeserver();
  await using proxy = await startProxy(bus, upstream);
  await bus.sent("event", ROOM, message("$1"));
  const as = (query: string) => post(proxy.httpUrl, `${room("receipt/m.read/%241")}?${query}`, { token: "t_bridge" });
  await as("user_id=%40ghost1%3Aa.org&device_id=D");
  await as("user_id=%40ghost2%3Aa.org");
  await fetch(`${proxy.httpUrl}${room("receipt/m.read/%241")}?access_token=t_dave`, { method: "POST" });
  await eventually(async () => (await receiptsOf(bus)).length === 3, "all are told");
  const users = (await receiptsOf(bus)).map(([user]) => user).sort();
  assert.equal(users, ["@dave:a.org", "@ghost1:a.org", "@ghost2:a.org"]);
  const [first] = upstream.whoamis;
  assert.is(first!.url, `${BASE_PATH}/account/whoami?user_id=%40ghost1%3Aa.org&device_id=D`);
  assert.is(first!.headers["user-agent"], "a client");
  assert.match(String(first!.headers["x-forwarded-for"]), /127\.0\.0\.1/);
  assert.ok(upstream.whoamis.every(({ url }) => !url.includes("token")));
  await as("user_id=%40ghost2%3Aa.org");
  await eventually(async () => (await receiptsOf(bus)).length === 4, "it is told");
  assert.is(upstream.whoamis.length, 3, "an answer is cached");
});

proxied("that the homeserver refuses, or can't be read, or that is nobody's, changes nothing", async () => {
  await using bus = await startBus();
  await using upstream = await homeserver();
  await using proxy = await startProxy(bus, upstream);
  await bus.sent("event", ROOM, message("$1"));
  upstream.status = 403;
  assert.is((await post(proxy.httpUrl, room("receipt/m.read/%241"))).status, 403);
  assert.is(upstream.whoamis.length, 0, "nobody is asked whose it is");
  upstream.status = 200;
  const padded = JSON.stringify({ padding: "x".repeat(PROXY_RECEIPT_BYTES_MAX) });
  for (const [path, body] of [
    ["receipt/m.read/%241", padded],
    ["receipt/m.read/%241", "{"],
    ["receipt/m.other/%241", "{}"],
    ["receipt/m.fully_read/%241", '{"thread_id":"main"}'],
    ["receipt/m.read/1", "{}"],
    ["receipt/m.read/%zz", "{}"],
    ["read_markers", '{"m.read":7}'],
    ["receipts/m.read/%241", "{}"],
  ] as const) {
    assert.is((await post(proxy.httpUrl, room(path), { body })).status, 200, path);
    assert.is(upstream.asked.at(-1)!.body, body);
  }
  assert.is((await fetch(proxy.httpUrl + room("receipt/m.read/%241"), { method: "POST" })).status, 200);
  assert.is(upstream.whoamis.length, 0);
  await post(proxy.httpUrl, room("receipt/m.read/%241"), { token: "unknown" });
  await eventually(async () => (await toldOf(proxy, "refused")) === 1, "it is nobody's");
  assert.equal(await receiptsOf(bus), []);
});

async function startRole(bus: BusHarness, role: Role) {
  const started = await start({ ...servedOn(bus), roles: new Set([role]), log: pino({ level: "silent" }) });
  return { ...started, [Symbol.asyncDispose]: started.stop };
}

proxied("is answered while Tidemark is away, and told when it is back", async () => {
  await using bus = await startBus();
  await using upstream = await homeserver();
  await using worker = await startRole(bus, "worker");
  assert.ok(worker.natsUrl);
  await using proxy = await startProxy(bus, upstream, ["proxy"]);
  assert.is((await post(proxy.httpUrl, room("receipt/m.read/%241"))).status, 200);
  assert.is(await toldOf(proxy, "told"), 0);
  await using ingress = await startRole(bus, "ingress");
  assert.ok(ingress.natsUrl);
  await eventually(async () => (await receiptsOf(bus)).length === 1, "it is told");
  assert.equal(await receiptsOf(bus), [["@bob:a.org", "m.read", "$1", null, true]]);
});

const BOB = { key: "bob", query: "", headers: [] };
const RECEIPT: PostedReceipt = receiptsIn(
  receiptPath({ method: "POST", url: room("receipt/m.read/%241") })!,
  Buffer.from(""),
)[0]!;

function accepting(tell: TellReceipts) {
  const outcomes: [string, number][] = [];
  const accepted = new AcceptedReceipts({
    askers: { deviceOf: async () => ({ user: "@bob:a.org" as UserId, hasId: true }) },
    onDone: (outcome, receipts) => outcomes.push([outcome, receipts]),
    retryMs: 0,
  });
  accepted.connect(tell);
  return { outcomes, accept: () => accepted.accept(BOB, ROOM as RoomId, [RECEIPT]), close: () => accepted.close() };
}

proxied("may wait with many others, and Node warns of nothing", async () => {
  using warned = warnings();
  const { outcomes, accept } = accepting(async () => {
    throw new TidemarkError("M_UNKNOWN", "the log is full");
  });
  for (let n = 0; n < 30; n++) accept();
  await eventually(() => outcomes.length === 30, "all are given up");
  assert.equal(warned.found, []);
});

proxied("is tried a few times, and lost after that; what Tidemark refuses is not repeated", async () => {
  let attempts = 0;
  const { outcomes, accept } = accepting(async () => {
    attempts++;
    throw new TidemarkError("M_UNKNOWN", "the log is full");
  });
  accept();
  await eventually(() => outcomes.length === 1, "it is given up");
  assert.equal(outcomes, [["lost", 1]]);
  assert.is(attempts, PROXY_RECEIPT_ATTEMPTS_MAX);
  const refusing = accepting(async () => {
    attempts++;
    throw new TidemarkError("M_INVALID_PARAM", "no");
  });
  attempts = 0;
  refusing.accept();
  await eventually(() => refusing.outcomes.length === 1, "it is refused");
  assert.equal([attempts, refusing.outcomes], [1, [["refused", 1]]]);
});

proxied("does not wait when too many do", async () => {
  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  const { outcomes, accept, close } = accepting(() => held);
  for (let i = 0; i < PROXY_RECEIPTS_WAITING_MAX; i++) accept();
  assert.equal(outcomes, []);
  accept();
  assert.equal(outcomes, [["lost", 1]]);
  release();
  await close();
  assert.is(outcomes.length, PROXY_RECEIPTS_WAITING_MAX + 1);
});

proxied("is found at its paths, in any version of the API, and nowhere else", () => {
  const found = (method: string, url: string) => receiptPath({ method, url });
  for (const version of ["v3", "r0", "v1", "api/v1", "unstable", "unstable/org.x"]) {
    const path = `/_matrix/client/${version}/rooms/!r%3Aa/receipt/m.read/$a%2Fb`;
    assert.equal(found("POST", path), { room: "!r:a", receipt: { receipt_type: "m.read", event_id: "$a/b" } });
    assert.is(found("PUT", path), undefined);
    assert.is(found("POST", `/x${path}`), undefined);
    assert.is(found("POST", `${path}/x`), undefined);
  }
  assert.equal(found("POST", `${BASE_PATH}/rooms/!r/read_markers?a=b`), { room: "!r", receipt: undefined });
  assert.is(found("POST", `${BASE_PATH}/rooms/r/read_markers`), undefined);
  assert.is(found("POST", `${BASE_PATH}/rooms/!r/read_markers/x`), undefined);
});

proxied.run();
