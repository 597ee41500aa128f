/** The role `proxy` with a real broker and worker, in front of a scripted homeserver. */
import { createServer, type RequestListener } from "node:http";
import { join } from "node:path";
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { startBroker } from "../../src/bus/broker/process.ts";
import { type Role, type StartOptions, start } from "../../src/start.ts";
import {
  BASE,
  type Body,
  type BusHarness,
  eventually,
  message,
  metricsOf,
  rejects,
  servedOn,
  startBus,
} from "../support/harness.ts";
import { HS_TOKEN, REGISTRATION } from "../support/pushing-homeserver.ts";
import { freePort, listening } from "../support/scripted-homeserver.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const ROOM = "!room:a.org";
const SYNC = "/_matrix/client/v3/sync?since=s1";

const silent = pino({ level: "silent" });
const homeserver = (answer: RequestListener) => listening(createServer(answer));

/** Whatever a test starts is stopped when it fails, too: a process that waits for its broker never ends by itself. */
async function started(options: Omit<StartOptions, "roles"> & { readonly roles: readonly Role[] }) {
  const tidemark = await start({ ...options, roles: new Set(options.roles) });
  return { ...tidemark, [Symbol.asyncDispose]: tidemark.stop };
}

const startProxy = (
  bus: BusHarness,
  { url }: { readonly url: string },
  roles: readonly Role[] = ["ingress", "worker", "proxy"],
  log = silent,
) =>
  started({
    ...servedOn(bus),
    metrics: { host: "127.0.0.1", port: 0 },
    roles,
    homeserver: url,
    registration: REGISTRATION,
    imports: 0,
    log,
  });

function syncAnswer(...ids: string[]): string {
  const events = ids.map((id) => message(id, { origin_server_ts: Date.now() }));
  const receipt = { type: "m.receipt", content: { $1: { "m.read": { "@bob:a.org": { ts: 1 } } } } };
  return JSON.stringify({
    next_batch: "s2",
    rooms: { join: { [ROOM]: { timeline: { events }, ephemeral: { events: [receipt] } } } },
  });
}

const sends =
  (answer: () => string): RequestListener =>
  (_, response) =>
    void response.writeHead(200, { "content-type": "application/json" }).end(answer());

async function roomIn(response: Response) {
  const { rooms }: Body = await response.json();
  const { timeline, ephemeral } = rooms.join[ROOM];
  return {
    orders: timeline.events.map(({ unsigned }: { unsigned?: Record<string, number> }) => unsigned?.order),
    unstable: timeline.events.map(
      ({ unsigned }: { unsigned?: Record<string, number> }) => unsigned?.["org.matrix.msc4033.order"],
    ),
    receipt: ephemeral.events[0].content.$1["m.read"]["@bob:a.org"],
  };
}

const proxies = suite("a proxy with Tidemark");

proxies("puts orders into answers, also of an event that is pushed after the answer", async () => {
  await using bus = await startBus();
  const asked = { resolve: () => {} };
  const isAsked = new Promise<void>((resolve) => (asked.resolve = resolve));
  await using upstream = await homeserver((request, response) => {
    sends(() => syncAnswer("$1", "$2"))(request, response);
    asked.resolve();
  });
  await using proxy = await startProxy(bus, upstream);
  await bus.sent("event", ROOM, message("$1"));
  const answer = fetch(proxy.httpUrl + SYNC);
  await isAsked;
  await bus.sent("event", ROOM, message("$2"));
  const { orders, unstable, receipt } = await roomIn(await answer);
  assert.equal(orders, [BASE + 1, BASE + 2]);
  assert.equal(unstable, orders);
  assert.equal(receipt, { ts: 1, order: BASE + 1, "org.matrix.msc4033.order": BASE + 1 });
  const metrics = await metricsOf(proxy);
  assert.match(metrics, /tidemark_proxy_answers_total\{outcome="annotated"\} 1\n/);
  assert.match(metrics, /tidemark_proxy_without_orders 0\n/);
});

proxies("passes answers on without orders while the broker is away, and puts them in again", async () => {
  await using bus = await startBus();
  let id = "$1";
  await using upstream = await homeserver(sends(() => syncAnswer(id)));
  await using proxy = await startProxy(bus, upstream, ["proxy", "ingress", "worker"]);
  await bus.sent("event", ROOM, [message("$1"), message("$2")]);
  const order = async () => (await roomIn(await fetch(proxy.httpUrl + SYNC))).orders[0];
  await eventually(async () => (await order()) === BASE + 1, "it has an order");
  bus.pauseBroker();
  id = "$unknown";
  assert.is(await order(), undefined);
  await eventually(async () => /without_orders 1\n/.test(await metricsOf(proxy)), "a metric says so");
  assert.is((await fetch(`${proxy.httpUrl}/readyz`)).status, 200);
  id = "$1";
  assert.is(await order(), BASE + 1, "cached orders stay");
  await bus.restartBroker();
  id = "$2";
  await eventually(async () => /without_orders 0\n/.test(await metricsOf(proxy)), "it ends");
  assert.is(await order(), BASE + 2);
});

proxies("passes answers on without orders while no worker is there, and says so once", async () => {
  await using bus = await startBus();
  let id = "$1";
  await using upstream = await homeserver(sends(() => syncAnswer(id)));
  const startWorker = () => started({ ...servedOn(bus), roles: ["ingress", "worker"], log: silent });
  await using worker = await startWorker();
  const logged: string[] = [];
  const log = pino({ level: "info" }, { write: (line: string) => void logged.push(JSON.parse(line).msg) });
  await using proxy = await startProxy(bus, upstream, ["proxy"], log);
  await bus.sent("event", ROOM, [message("$1"), message("$2")]);
  const order = async () => (await roomIn(await fetch(proxy.httpUrl + SYNC))).orders[0];
  await eventually(async () => (await order()) === BASE + 1, "it has an order");
  await worker.stop();
  id = "$unknown";
  assert.is(await order(), undefined);
  assert.is(await order(), undefined);
  assert.match(await metricsOf(proxy), /without_orders 1\n/);
  assert.is((await fetch(`${proxy.httpUrl}/readyz`)).status, 200);
  const away = "Tidemark can't be asked: the homeserver's answers pass without orders";
  const back = "the homeserver's answers have orders";
  const said = () => logged.filter((line) => line === away || line === back);
  assert.equal(said(), [back, away]);
  await using _again = await startWorker();
  await eventually(async () => {
    await order();
    return /without_orders 0\n/.test(await metricsOf(proxy));
  }, "it ends");
  assert.equal(said(), [back, away, back]);
  id = "$2";
  assert.is(await order(), BASE + 2);
});

proxies("answers what is for Tidemark itself: health, and what the homeserver pushes", async () => {
  await using bus = await startBus();
  const passed: string[] = [];
  await using upstream = await homeserver((request, response) => {
    passed.push(`${request.method} ${request.url}`);
    response.end("{}");
  });
  await using proxy = await startProxy(bus, upstream);
  for (const path of ["/healthz", "/readyz"]) assert.is((await fetch(proxy.httpUrl + path)).status, 200);
  const push = (token: string) =>
    fetch(`${proxy.httpUrl}/_matrix/app/v1/transactions/1`, {
      method: "PUT",
      headers: { authorization: `Bearer ${token}` },
      body: JSON.stringify({ events: [{ ...message("$1"), room_id: ROOM }] }),
    });
  assert.is((await push("another")).status, 403);
  assert.is((await push(HS_TOKEN)).status, 200);
  const ping = "POST /_matrix/client/v1/appservice/tidemark/ping";
  await eventually(() => passed.length === 1, "the homeserver is asked to push");
  assert.equal(passed, [ping]);
  await fetch(`${proxy.httpUrl}/_matrix/client/v3/login`);
  await fetch(`${proxy.httpUrl}/`);
  assert.equal(passed, [ping, "GET /_matrix/client/v3/login", "GET /"]);
});

proxies("asks the homeserver to push when its pushes stall, and doesn't wait until they flow", async () => {
  await using bus = await startBus();
  const ids = ["$1"];
  let pings = 0;
  await using upstream = await homeserver((request, response) => {
    // It can't reach Tidemark any more.
    if (request.url!.endsWith("/ping") && ++pings > 1) return response.writeHead(502).end();
    return sends(() => syncAnswer(ids.at(-1)!))(request, response);
  });
  await using proxy = await startProxy(bus, upstream);
  await bus.sent("event", ROOM, message("$1"));
  const order = async () => (await roomIn(await fetch(proxy.httpUrl + SYNC))).orders[0];
  await eventually(async () => (await order()) === BASE + 1, "it has an order");
  await eventually(() => pings === 1, "it is asked at the start");
  const waits = async () => Number(/wait_seconds_count (\d+)/.exec(await metricsOf(proxy))![1]);
  const before = await waits();
  ids.push("$2");
  assert.is(await order(), undefined);
  assert.match(await metricsOf(proxy), /tidemark_proxy_pushes_stalled 1\n/);
  assert.is(await waits(), before + 1);
  ids.push("$3");
  assert.is(await order(), undefined);
  assert.is(await waits(), before + 1, "nothing waits");
  await eventually(() => pings === 2, "it is asked to push");
  await bus.sent("event", ROOM, [message("$2"), message("$3")]);
  await eventually(async () => (await order()) === BASE + 3, "it has been pushed");
  const metrics = await metricsOf(proxy);
  assert.match(metrics, /tidemark_proxy_pushes_stalled 0\n/);
  assert.match(metrics, /tidemark_proxy_pings_total\{outcome="answered"\} 1\n/);
  assert.match(metrics, /tidemark_proxy_pings_total\{outcome="failed"\} \d+\n/);
});

proxies("reads its users' markers again once pushes are stored that could not be", async () => {
  await using bus = await startBus();
  let rounds = 0;
  await using upstream = await homeserver((request, response) => {
    const answer = (body: unknown) => sends(() => JSON.stringify(body))(request, response);
    if (request.url!.includes("/whoami")) return answer({ user_id: "@bob:a.org", device_id: "D" });
    if (!request.url!.includes("user_id=%40bob")) return sends(() => syncAnswer("$1"))(request, response);
    rounds++;
    return answer({ next_batch: `m${rounds}` });
  });
  await using proxy = await startProxy(bus, upstream, ["worker", "proxy"]);
  await fetch(proxy.httpUrl + SYNC, { headers: { authorization: "Bearer bob" } });
  await eventually(() => rounds === 1, "they are read at the first request");
  const push = () =>
    fetch(`${proxy.httpUrl}/_matrix/app/v1/transactions/1`, {
      method: "PUT",
      headers: { authorization: `Bearer ${HS_TOKEN}` },
      body: JSON.stringify({ events: [{ ...message("$1"), room_id: ROOM }] }),
    });
  assert.is((await push()).status, 503);
  await using _ingress = await started({ ...servedOn(bus), roles: ["ingress"], log: silent });
  assert.is((await push()).status, 200);
  await eventually(() => rounds === 2, "they are read again");
  assert.match(await metricsOf(proxy), /tidemark_transactions_total 1\n/);
});

const startsEarly = async (roles: readonly Role[]) => {
  using dir = temporaryDirectory();
  await using upstream = await homeserver(sends(() => syncAnswer("$1")));
  const [brokerPort, port, metricsPort] = [await freePort(), await freePort(), await freePort()];
  const nats = `nats://127.0.0.1:${brokerPort}`;
  const stopping = new AbortController();
  const starting = start({
    nats,
    data: dir.path,
    http: { host: "127.0.0.1", port },
    metrics: { host: "127.0.0.1", port: metricsPort },
    roles: new Set(roles),
    partitions: 1,
    homeserver: upstream.url,
    stopping: stopping.signal,
    log: silent,
  });
  await using _early = {
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      await (await starting.catch(() => undefined))?.stop();
    },
  };
  const url = `http://127.0.0.1:${port}`;
  await eventually(
    async () => (await fetch(url + SYNC).catch(() => undefined))?.status === 200,
    "it passes requests on",
  );
  assert.equal((await roomIn(await fetch(url + SYNC))).orders, [undefined]);
  assert.is((await fetch(`${url}/readyz`)).status, 200);
  assert.is((await fetch(`${url}/_matrix/app/v1/transactions/1`, { method: "PUT" })).status, 503);
  const metrics = await metricsOf({ metricsUrl: `http://127.0.0.1:${metricsPort}` });
  assert.match(metrics, /tidemark_proxy_without_orders 1\n/);
  await using _broker = await startBroker({ storeDir: join(dir.path, "nats"), port: brokerPort });
  await using _worker = await started({
    nats,
    data: join(dir.path, "worker"),
    http: { host: "127.0.0.1", port: 0 },
    roles: ["ingress", "worker"],
    partitions: 1,
    log: silent,
  });
  const proxy = await starting;
  await proxy.stop();
};

proxies("alone passes requests on before there is a broker", () => startsEarly(["proxy"]));

proxies("with all its roles passes requests on before there is a broker", () =>
  startsEarly(["ingress", "worker", "proxy"]),
);

proxies("alone ends while it waits for a broker, when it is told to", async () => {
  using dir = temporaryDirectory();
  const stopping = new AbortController();
  const starting = start({
    nats: `nats://127.0.0.1:${await freePort()}`,
    data: dir.path,
    http: { host: "127.0.0.1", port: 0 },
    roles: new Set<Role>(["proxy"]),
    homeserver: "http://127.0.0.1:1",
    stopping: stopping.signal,
    log: silent,
  });
  stopping.abort();
  await rejects(starting, "BUS_UNAVAILABLE");
});

proxies.run();
