/** How the gateway serves: what clients ask first, CORS, tokens, slow readers, the way down. */
import { once } from "node:events";
import { createServer } from "node:http";
import { connect, type Socket } from "node:net";
import Fastify from "fastify";
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { startHttpServer } from "../../src/http/server.ts";
import { disconnectSlowReaders } from "../../src/http/slow-readers.ts";
import { ALICE, BOB, enc, errorOf, httpClient, startGateway } from "../support/gateway.ts";
import { type Body, eventually, LIMIT_MS } from "../support/harness.ts";

/** A server with routes of its own, without a gateway. */
async function serve({ requestMs = 5_000 } = {}) {
  const server = await startHttpServer({
    host: "127.0.0.1",
    port: 0,
    ready: () => true,
    log: pino({ level: "silent" }),
    requestMs,
    routes: [
      async (app) => {
        app.addContentTypeParser("*", { parseAs: "string" }, (_, body, done) => done(null, body));
        app.post("/_matrix/client/v3/take", async () => ({}));
        app.get("/_matrix/client/v3/late", async () => {
          await new Promise((resolve) => setTimeout(resolve, 3 * requestMs));
          return "late";
        });
      },
    ],
  });
  return { url: server.url, [Symbol.asyncDispose]: () => server.close() };
}

/** What a connection gets after these bytes, until it is closed. */
async function answerTo(url: string, bytes: string): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.setTimeout(LIMIT_MS, () => socket.destroy());
  socket.write(bytes);
  let text = "";
  for await (const chunk of socket) text += chunk;
  return text;
}

const serving = suite("serving");

serving("clients find what they need to start", async () => {
  await using tidemark = await startGateway();
  const { bob } = tidemark;
  const { versions } = await httpClient(tidemark.url, "", "")
    .ask("GET", "/versions")
    .then(({ body }) => body);
  assert.equal(
    versions,
    Array.from({ length: 11 }, (_, i) => `v1.${i + 1}`),
  );
  assert.type((await bob.get("/v3/capabilities")).capabilities["m.room_versions"].default, "string");
  assert.equal(Object.keys((await bob.get("/v3/pushrules/")).global).sort(), [
    "content",
    "override",
    "room",
    "sender",
    "underride",
  ]);
  assert.equal((await bob.get("/v3/joined_rooms")).joined_rooms, []);
  const room = await tidemark.room(bob);
  assert.equal((await bob.get("/v3/joined_rooms")).joined_rooms, [room]);
});

serving("browsers may ask from anywhere, and a preflight needs no token", async () => {
  await using tidemark = await startGateway();
  for (const path of ["/v3/sync", "/v3/rooms/x/receipt/m.read/y", "/v3/nothing"]) {
    const response = await fetch(`${tidemark.url}/_matrix/client${path}`, { method: "OPTIONS" });
    assert.is(response.status, 204, path);
    assert.is(response.headers.get("access-control-allow-origin"), "*");
    assert.is(response.headers.get("access-control-allow-methods"), "GET, POST, PUT, DELETE, OPTIONS");
    assert.is(response.headers.get("access-control-allow-headers"), "X-Requested-With, Content-Type, Authorization");
  }
});

serving("a homeserver says whose a token is, once", async () => {
  const asked: (string | undefined)[] = [];
  const answers: Record<string, [number, Body]> = {
    "Bearer good": [200, { user_id: ALICE, device_id: "HS" }],
    "Bearer broken": [500, { errcode: "M_UNKNOWN" }],
  };
  const homeserver = createServer((request, response) => {
    asked.push(request.headers.authorization);
    const [status, body] = answers[request.headers.authorization!] ?? [401, { errcode: "M_UNKNOWN_TOKEN" }];
    assert.is(request.url, "/_matrix/client/v3/account/whoami");
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  }).listen(0, "127.0.0.1");
  await once(homeserver, "listening");
  const { port } = homeserver.address() as { port: number };
  try {
    await using tidemark = await startGateway({ whoami: `http://127.0.0.1:${port}` });
    const whoami = (token: string) => httpClient(tidemark.url, token, "").ask("GET", "/v3/account/whoami");
    for (let i = 0; i < 3; i++) {
      assert.equal((await whoami("good")).body, { user_id: ALICE, device_id: "HS", is_guest: false });
      assert.equal(errorOf(await whoami("bad")), [401, "M_UNKNOWN_TOKEN"]);
    }
    assert.equal(asked, ["Bearer good", "Bearer bad"]);
    assert.equal(errorOf(await whoami("broken")), [503, "M_UNKNOWN"]);
    assert.is((await whoami(tidemark.bob.token)).body.user_id, BOB, "the file goes first");
  } finally {
    homeserver.close();
  }
});

serving("a drain answers who waits, and takes no longer for it", async () => {
  await using tidemark = await startGateway();
  const { alice, bob } = tidemark;
  await tidemark.room(alice, bob);
  const [a, b] = [await alice.sync(), await bob.sync()];
  const waiting = [
    alice.sync({ since: a.next_batch, timeout: 9_000 }),
    bob.sync({ since: b.next_batch, timeout: 9_000 }),
  ];
  const raw = answerTo(
    tidemark.url,
    `GET /_matrix/client/v3/sync?timeout=9000&since=${a.next_batch} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${alice.token}\r\n\r\n`,
  );
  await bob.get("/v3/joined_rooms");
  const began = performance.now();
  await tidemark.stop();
  assert.match(await raw, /^HTTP\/1.1 200 .*\r\nconnection: close\r\n/is, "proxies are told to go elsewhere");
  for (const body of await Promise.all(waiting)) assert.equal(body.rooms, { join: {}, invite: {}, leave: {} });
  assert.ok(performance.now() - began < 5_000);
});

serving(
  "a client that does not read its response is disconnected, and one that waits for a response is not",
  async () => {
    const slowMs = 200;
    const app = Fastify();
    disconnectSlowReaders(app, slowMs);
    app.get("/big", async () => "x".repeat(64_000_000)); // more than the kernel takes for a reader that doesn't read
    app.get("/quick", async () => "quick");
    app.get("/late", async () => {
      await new Promise((resolve) => setTimeout(resolve, 5 * slowMs));
      return "late";
    });
    await app.listen({ host: "127.0.0.1", port: 0 });
    try {
      const { port } = app.server.address() as { port: number };
      const accepted = once(app.server, "connection");
      const socket = connect(port, "127.0.0.1").on("error", () => {});
      const [served] = (await accepted) as [Socket];
      const cutOff = once(served, "close");
      socket.write("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
      assert.is(await fetch(`http://127.0.0.1:${port}/late`).then((response) => response.text()), "late");
      await cutOff;
      socket.destroy();
      const kept = await answerTo(
        `http://127.0.0.1:${port}`,
        "GET /quick HTTP/1.1\r\nHost: x\r\n\r\nGET /late HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
      );
      assert.match(kept, /quick.*late$/s, "nor one that had an answer before");
    } finally {
      await app.close();
    }
  },
);

// E20
serving("an incomplete request gets a timeout error and is disconnected", async () => {
  await using server = await serve({ requestMs: 300 });
  const head = "POST /_matrix/client/v3/take HTTP/1.1\r\nHost: x\r\n";
  for (const half of [head, `${head}Content-Length: 20\r\n\r\n{"half":`]) {
    const answer = await answerTo(server.url, half);
    assert.match(answer, /^HTTP\/1.1 408 /, answer);
    assert.is(answer.split("HTTP/1.1").length, 2, "once");
    assert.match(answer, /access-control-allow-origin: \*/);
    assert.match(answer, /"errcode":"M_UNKNOWN"/);
  }
  const whole = await fetch(`${server.url}/_matrix/client/v3/late`);
  assert.is(await whole.text(), "late", "an answer may take as long as it likes");
});

serving("bytes that are not HTTP get an error in the Matrix format", async () => {
  await using server = await serve();
  assert.match(await answerTo(server.url, "nonsense\r\n\r\n"), /^HTTP\/1.1 400 .*"errcode":"M_UNRECOGNIZED"/s);
  const large = `GET / HTTP/1.1\r\nHost: x\r\nx-big: ${"x".repeat(40_000)}\r\n\r\n`;
  assert.match(await answerTo(server.url, large), /^HTTP\/1.1 431 .*"errcode":"M_TOO_LARGE"/s);
});

serving.run();

const standalone = suite("standalone");

standalone("a transaction that is repeated is the same event", async () => {
  await using tidemark = await startGateway();
  const { alice, bob } = tidemark;
  const room = await tidemark.room(alice, bob);
  const send = (client = alice, txn = "txn") =>
    client.put(`/v3/rooms/${enc(room)}/send/m.room.message/${txn}`, { body: "once" }).then(({ event_id }) => event_id);
  const { next_batch: since } = await bob.sync();
  const event = await send();
  assert.is(await send(), event);
  assert.not.equal(await send(alice, "other"), event);
  assert.not.equal(await send(bob), event);
  const { events } = (await alice.sync({ since })).rooms.join[room].timeline;
  assert.is(events.filter(({ event_id }: Body) => event_id === event).length, 1);
  assert.is(events.length, 3);
  const seen = async (client: typeof bob) =>
    (await client.get(`/v3/rooms/${enc(room)}/event/${enc(event)}`)).unsigned.transaction_id;
  assert.is(await seen(alice), "txn", "the device that sent it knows its transaction");
  assert.is(await seen(bob), undefined, "nobody else does");
});

standalone("state can be written and read, and whoever is not joined may not", async () => {
  await using tidemark = await startGateway();
  const { alice, bob } = tidemark;
  const { room_id: room } = await alice.post("/v3/createRoom", { name: "first", topic: "tides" });
  const name = `/v3/rooms/${enc(room)}/state/m.room.name`;
  assert.equal(await alice.get(name), { name: "first" });
  await alice.put(`${name}/`, { name: "second" });
  await eventually(async () => (await alice.get(name)).name === "second", "the new name");
  for (const [method, path] of [
    ["PUT", name],
    ["GET", name],
    ["PUT", `/v3/rooms/${enc(room)}/send/m.room.message/1`],
    ["PUT", `/v3/rooms/${enc(room)}/redact/${enc("$x")}/1`],
    ["POST", `/v3/rooms/${enc(room)}/leave`],
  ] as const) {
    const answer = await bob.ask(method, path, method === "GET" ? undefined : {});
    assert.equal(errorOf(answer), [403, "M_FORBIDDEN"], path);
  }
});

standalone.run();
