/** Where access tokens go that pass through a proxy, and those of its registration: to the homeserver, and nowhere else. */
import { createServer } from "node:http";
import { Writable } from "node:stream";
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Registration } from "../../src/homeserver/registration.ts";
import { type Role, start } from "../../src/start.ts";
import { type BusHarness, eventually, message, metricsOf, servedOn, startBus } from "../support/harness.ts";
import { REGISTRATION } from "../support/pushing-homeserver.ts";
import { exchanged, listening } from "../support/scripted-homeserver.ts";

const ROOM = "!room:a.org";
const ROOM_PATH = `/_matrix/client/v3/rooms/${encodeURIComponent(ROOM)}`;
const SECRETS = {
  inHeader: "syt_in-the-header",
  inQuery: "syt_in-the-query",
  unknown: "syt_of-nobody",
  unsendable: "syt_\u00e9",
  as: "the-secret-as-token",
  hs: "the-secret-hs-token",
  wrong: "another-hs-token",
};
const OWN: Registration = { ...REGISTRATION, asToken: SECRETS.as, hsToken: SECRETS.hs };

/** What came to the homeserver, as text. It knows all tokens but one, and refuses everything while it is told to. */
async function homeserver() {
  const received: string[] = [];
  const server = await listening(
    createServer((request, response) => {
      const { method, url = "", rawHeaders } = request;
      received.push([method, url, ...rawHeaders].join("\n"));
      request.resume();
      const reply = (status: number, body: unknown) =>
        response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
      if (url.includes("/broken")) request.socket.destroy();
      else if (found.isFailing) reply(500, { errcode: "M_UNKNOWN" });
      else if (rawHeaders.some((each) => each.includes(SECRETS.unknown))) reply(401, { errcode: "M_UNKNOWN_TOKEN" });
      else if (url.includes("/whoami")) reply(200, { user_id: "@bob:a.org", device_id: "D" });
      else if (url.includes("/joined_rooms")) reply(200, { joined_rooms: [ROOM] });
      else {
        const events = [{ ...message("$1"), room_id: ROOM }];
        reply(200, { next_batch: "s", rooms: { join: { [ROOM]: { timeline: { events } } } } });
      }
    }),
  );
  const found = { ...server, received, isFailing: false };
  return found;
}

async function startProxy(bus: BusHarness, url: string) {
  const logged: string[] = [];
  const lines = new Writable({
    write: (chunk, _, done) => {
      logged.push(String(chunk));
      done();
    },
  });
  const tidemark = await start({
    ...servedOn(bus),
    metrics: { host: "127.0.0.1", port: 0 },
    roles: new Set<Role>(["ingress", "worker", "proxy"]),
    homeserver: url,
    registration: OWN,
    log: pino({ level: "trace" }, lines),
  });
  return { ...tidemark, logged, [Symbol.asyncDispose]: tidemark.stop };
}

const secrets = suite("access tokens");

secrets("are in nothing that a proxy logs, counts, answers or sends over the bus", async () => {
  await using bus = await startBus();
  const sent: string[] = [];
  // To subscribe to everything would answer for accounts that the broker hasn't.
  for (const subject of ["tidemark.>", "$KV.>", "$JS.>", "_INBOX.>"]) {
    bus.nc.subscribe(subject, {
      callback: (_, { subject, data, headers }) => {
        sent.push([subject, Buffer.from(data).toString("latin1"), headers ?? ""].join("\n"));
      },
    });
  }
  await using upstream = await homeserver();
  await using proxy = await startProxy(bus, upstream.url);
  const answers: string[] = [];
  const ask = async (path: string, { token, body }: { readonly token?: string; readonly body?: unknown } = {}) => {
    const headers = { ...(token !== undefined && { authorization: `Bearer ${token}` }) };
    const init = body === undefined ? { headers } : { headers, method: "POST", body: JSON.stringify(body) };
    const response = await fetch(proxy.httpUrl + path, init).catch(() => undefined);
    answers.push(`${response?.status} ${await response?.text().catch(() => "")}`);
  };
  const push = (path: string, token?: string) =>
    fetch(`${proxy.httpUrl}/_matrix/app/v1/transactions/${path}`, {
      method: "PUT",
      headers: { ...(token !== undefined && { authorization: `Bearer ${token}` }) },
      body: JSON.stringify({ events: [{ ...message("$1"), room_id: ROOM }] }),
    }).then(async (response) => answers.push(`${response.status} ${await response.text()}`));

  await push("1", SECRETS.hs);
  await push(`2?access_token=${SECRETS.hs}`);
  await push("3", SECRETS.wrong);
  await push(`4?access_token=${SECRETS.wrong}`);
  for (const isFailing of [false, true]) {
    upstream.isFailing = isFailing;
    for (const token of [SECRETS.inHeader, SECRETS.unknown]) {
      await ask("/_matrix/client/v3/sync?since=s", { token });
      await ask(`${ROOM_PATH}/receipt/m.read/%241`, { token, body: {} });
      await ask("/broken", { token, body: { x: 1 } });
    }
    const inQuery = `access_token=${SECRETS.inQuery}&user_id=%40bob:a.org`;
    await ask(`/_matrix/client/v3/sync?since=s&${inQuery}`);
    await ask(`${ROOM_PATH}/read_markers?${inQuery}`, { body: { "m.fully_read": "$1", "m.read": "$1" } });
    await ask(`/broken?${inQuery}`);
    await ask(`/_matrix/client/v3/sync?access_token=${encodeURIComponent(SECRETS.unsendable)}`);
  }
  // What no request may be, to Node's server or to its client.
  for (const path of ["/ /", "/\u0001", "//%zz"]) {
    answers.push(
      await exchanged(
        proxy.httpUrl,
        `GET ${path}?access_token=${SECRETS.inQuery} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
      ),
    );
  }
  const told = async () => /proxy_receipts_total\{outcome="told"\} [34]/.test(await metricsOf(proxy));
  await eventually(told, "receipts are told");
  const synced = async () => /marker_syncs_total/.test(await metricsOf(proxy));
  await eventually(synced, "markers are asked for");
  bus.pauseBroker();
  await push("5", SECRETS.hs);
  await ask("/_matrix/client/v3/sync?since=s", { token: SECRETS.inHeader });
  await bus.restartBroker();
  await eventually(async () => /without_orders 0\n/.test(await metricsOf(proxy)), "the bus is back");
  const metrics = await metricsOf(proxy);

  const reached = upstream.received.join("\n");
  for (const name of ["inHeader", "inQuery", "unknown", "as"] as const)
    assert.ok(reached.includes(SECRETS[name]), name);
  assert.ok(sent.length > 10 && proxy.logged.length > 2 && answers.length > 20);
  for (const [where, text] of Object.entries({ logged: proxy.logged, sent, answers, metrics: [metrics] })) {
    for (const [name, secret] of Object.entries(SECRETS)) {
      const found = text.find((each) => each.includes(secret) || each.includes(encodeURIComponent(secret)));
      assert.is(found, undefined, `${name} is ${where}: ${found}`);
    }
  }
  const ofTheHomeserver = [SECRETS.hs, SECRETS.wrong];
  for (const secret of ofTheHomeserver) assert.not(reached.includes(secret), "what it pushes with is not sent back");
});

secrets.run();
