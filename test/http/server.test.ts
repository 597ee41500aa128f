/** The HTTP server: slow readers, incomplete and malformed requests. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import Fastify, { type FastifyInstance } from "fastify";
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { whenGone } from "../../src/http/connections.ts";
import { startHttpServer } from "../../src/http/server.ts";
import { disconnectSlowReaders } from "../../src/http/slow-readers.ts";
import { REQUESTS_PER_CONNECTION_MAX } from "../../src/limits.ts";
import { eventually } from "../support/harness.ts";
import { responseTo } from "../support/raw-http.ts";

type Limits = Partial<
  Pick<Parameters<typeof startHttpServer>[0], "requestMs" | "connectionsMax" | "connectionsPerNetwork">
>;

/** A server with routes of its own, without a gateway. */
async function serve({ requestMs = 5_000, ...limits }: Limits = {}) {
  let waiting = 0;
  const server = await startHttpServer({
    host: "127.0.0.1",
    port: 0,
    ready: () => true,
    log: pino({ level: "silent" }),
    requestMs,
    ...limits,
    routes: [
      async (app) => {
        app.addContentTypeParser("*", { parseAs: "string" }, (_, body, done) => done(null, body));
        app.post("/_matrix/client/v3/take", async () => ({}));
        app.get("/_matrix/client/v3/wait", (request) => {
          waiting++;
          whenGone(request.raw.socket, () => waiting--);
        });
        app.get("/_matrix/client/v3/quick", async () => ({}));
        app.get("/_matrix/client/v3/late", async () => {
          await new Promise((resolve) => setTimeout(resolve, 3 * requestMs));
          return "late";
        });
      },
    ],
  });
  return { url: server.url, waiting: () => waiting, [Symbol.asyncDispose]: () => server.close() };
}

/** A client of this server that has asked for more than the kernel buffers, and does not read it. */
async function clientOfBigAnswer(app: FastifyInstance) {
  app.get("/big", async () => "x".repeat(64_000_000));
  const url = await app.listen({ host: "127.0.0.1", port: 0 });
  const accepted = once(app.server, "connection");
  const socket = connect(Number(new URL(url).port), "127.0.0.1").on("error", () => {});
  const [served] = (await accepted) as [Socket];
  const cutOff = once(served, "close");
  socket.write("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
  const close = async () => {
    socket.destroy();
    await app.close();
  };
  return { url, socket, cutOff, [Symbol.asyncDispose]: close };
}

const httpServer = suite("HTTP server");

httpServer("closes without waiting for connections on which nothing was asked", async () => {
  const server = await serve({ requestMs: 60_000 });
  const silent = connect(Number(new URL(server.url).port), "127.0.0.1").on("error", () => {});
  await once(silent, "connect");
  assert.is((await fetch(`${server.url}/_matrix/client/v3/quick`)).status, 200, "it was accepted before");
  const gone = once(silent, "close");
  await server[Symbol.asyncDispose]();
  await gone;
});

httpServer(
  "a client that does not read its response is disconnected, and one that waits for a response is not",
  async () => {
    const slowMs = 200;
    const app = Fastify();
    disconnectSlowReaders(app, slowMs);
    app.get("/quick", async () => "quick");
    app.get("/late", async () => {
      await new Promise((resolve) => setTimeout(resolve, 5 * slowMs));
      return "late";
    });
    await using client = await clientOfBigAnswer(app);
    assert.is(await fetch(`${client.url}/late`).then((response) => response.text()), "late");
    await client.cutOff;
    const answers = await responseTo(
      client.url,
      "GET /quick HTTP/1.1\r\nHost: x\r\n\r\nGET /late HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    assert.match(answers, /quick.*late$/s, "a client that had a response before is not disconnected either");
  },
);

// E20
httpServer("an incomplete request gets a timeout error and is disconnected", async () => {
  await using server = await serve({ requestMs: 300 });
  const head = "POST /_matrix/client/v3/take HTTP/1.1\r\nHost: x\r\n";
  for (const half of [head, `${head}Content-Length: 20\r\n\r\n{"half":`]) {
    const answer = await responseTo(server.url, half);
    assert.match(answer, /^HTTP\/1.1 408 /, answer);
    assert.is(answer.split("HTTP/1.1").length, 2, "one response");
    assert.match(answer, /access-control-allow-origin: \*/);
    assert.match(answer, /"errcode":"M_UNKNOWN"/);
  }
  const whole = await fetch(`${server.url}/_matrix/client/v3/late`);
  assert.is(await whole.text(), "late", "a response may take as long as it needs");
});

httpServer("bytes that are not HTTP get an error in the Matrix format", async () => {
  await using server = await serve();
  assert.match(await responseTo(server.url, "nonsense\r\n\r\n"), /^HTTP\/1.1 400 .*"errcode":"M_UNRECOGNIZED"/s);
  const large = `GET / HTTP/1.1\r\nHost: x\r\nx-big: ${"x".repeat(40_000)}\r\n\r\n`;
  assert.match(await responseTo(server.url, large), /^HTTP\/1.1 431 .*"errcode":"M_TOO_LARGE"/s);
});

httpServer("a bad request is answered after those that came before it on its connection", async () => {
  await using server = await serve({ requestMs: 300 });
  const late = "GET /_matrix/client/v3/late HTTP/1.1\r\nHost: x\r\n\r\n";
  const half = "POST /_matrix/client/v3/take HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{";
  for (const [bad, status] of [
    ["nonsense\r\n\r\n".repeat(3), 400],
    [half, 408],
  ] as const) {
    const answers = await responseTo(server.url, late + late + bad);
    const statuses = Array.from(answers.matchAll(/HTTP\/1\.1 (\d+)/g), ([, status]) => Number(status));
    assert.equal(statuses, [200, 200, status], answers);
  }
});

httpServer("every path of Matrix is open to browsers, with its errors, and so is no other", async () => {
  await using server = await serve();
  const answers = async (path: string, method: string) => {
    const { status, headers } = await fetch(server.url + path, { method });
    return [status, headers.get("access-control-allow-origin")];
  };
  for (const path of ["/_matrix/client/v3/quick", "/_matrix/media/v3/config", "/.well-known/matrix/client"]) {
    assert.equal(await answers(path, "OPTIONS"), [204, "*"], path);
  }
  assert.equal(await answers("/_matrix/client/v3/quick", "GET"), [200, "*"]);
  assert.equal(await answers("/_matrix/nothing", "GET"), [404, "*"]);
  assert.equal(await answers("/_matrix/client/v3/%zz", "GET"), [400, "*"]);
  assert.equal(await answers("/readyz", "GET"), [200, null]);
  assert.equal(await answers("/readyz", "OPTIONS"), [404, null]);
});

httpServer("r0 is the same as v3", async () => {
  await using server = await serve();
  assert.is((await fetch(`${server.url}/_matrix/client/r0/quick`)).status, 200);
  assert.is((await fetch(`${server.url}/_matrix/client/r0x/quick`)).status, 404);
});

/** Opens connections. Each resolves to whether it was closed by the server. */
async function open(url: string, count: number): Promise<Socket[]> {
  const { hostname, port } = new URL(url);
  const sockets = Array.from({ length: count }, () => connect(Number(port), hostname).on("error", () => {}));
  await Promise.all(sockets.map((socket) => once(socket, "connect")));
  return sockets;
}

httpServer("requests that wait are gone with their connection, also those behind others", async () => {
  await using server = await serve();
  const [socket] = await open(server.url, 1);
  socket!.write("GET /_matrix/client/v3/wait HTTP/1.1\r\nHost: x\r\n\r\n".repeat(REQUESTS_PER_CONNECTION_MAX));
  await eventually(() => server.waiting() === REQUESTS_PER_CONNECTION_MAX, "all wait");
  socket!.destroy();
  await eventually(() => server.waiting() === 0, "none waits");
});

httpServer("a connection with too many requests that wait is closed, with all of them", async () => {
  await using server = await serve();
  const sockets = await open(server.url, 3);
  for (const socket of sockets) {
    const closed = once(socket.resume(), "close");
    socket.write("GET /_matrix/client/v3/wait HTTP/1.1\r\nHost: x\r\n\r\n".repeat(500));
    await closed;
  }
  await eventually(() => server.waiting() === 0, "none waits");
  const answers = await responseTo(
    server.url,
    `${"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".repeat(10)}GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
  );
  assert.is(answers.split("HTTP/1.1 200").length, 12);
});

httpServer("a connection that asks nothing is closed, whatever it sends instead", async () => {
  await using server = await serve({ requestMs: 300 });
  const [silent, lines, asking] = await open(server.url, 3);
  const closed = [silent, lines].map((socket) => once(socket!.resume(), "close"));
  const timer = setInterval(() => lines!.write("\r\n"), 50);
  asking!.resume().write("GET /_matrix/client/v3/wait HTTP/1.1\r\nHost: x\r\n\r\n");
  await Promise.all(closed);
  clearInterval(timer);
  assert.not.ok(asking!.closed);
  asking!.destroy();
});

httpServer("connections are bounded, of one address and in all", async () => {
  await using one = await serve({ connectionsPerNetwork: 3 });
  const closed = (sockets: Socket[]) => sockets.filter((socket) => socket.closed).length;
  const sockets = (await open(one.url, 5)).map((socket) => socket.resume());
  await eventually(() => closed(sockets) === 2, "two are closed");
  for (const socket of sockets) socket.destroy();
  const others = await open(one.url, 1);
  assert.is((await fetch(`${one.url}/healthz`)).status, 200);
  others[0]!.destroy();

  await using all = await serve({ connectionsMax: 3 });
  const many = (await open(all.url, 5)).map((socket) => socket.resume());
  await eventually(() => closed(many) === 2, "two are closed");
  for (const socket of many) socket.destroy();
});

httpServer("a client that reads an answer byte by byte is disconnected in the end", async () => {
  const slowMs = 100;
  const app = Fastify();
  disconnectSlowReaders(app, slowMs, 10 * slowMs);
  await using client = await clientOfBigAnswer(app);
  const timer = setInterval(() => client.socket.read(200_000), slowMs / 2);
  await client.cutOff;
  clearInterval(timer);
});

httpServer.run();
