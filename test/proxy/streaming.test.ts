/** What passes through the proxy, byte by byte, both ways. */
import { once } from "node:events";
import { Agent, createServer, request as httpRequest, type IncomingMessage } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { buffer, text } from "node:stream/consumers";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { eventually } from "../support/harness.ts";
import { connected, exchanged, listenBefore, startProxied, untilText } from "../support/scripted-homeserver.ts";

const CLOSE = "Host: hs.example\r\nConnection: close\r\n\r\n";

function later<T>() {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((done) => (resolve = done));
  return { promise, resolve };
}

const streaming = suite("a proxied request");

streaming("has the path that came, byte by byte, behind the path of the base URL", async () => {
  const seen: string[] = [];
  await using proxy = await startProxied(
    (request, response) => {
      seen.push(request.url!);
      response.end();
    },
    { basePath: "/base/" },
  );
  const paths = [
    "/",
    "//",
    "/a/../b/./c",
    "/%2e%2e/%2E/x",
    "/_matrix/client/v3/rooms/!a%3Ab/send/m.room.message/a%2Fb",
    "/a+b%20c?q=%40u%3Ax&r=a+b&&=",
    "/%zz%?%",
    "/a//b/?",
    "/p;x=1/@u:s/$e/~!*'()",
    '/{"a"}|^`',
    "/a?b?c#d",
  ];
  for (const path of paths) await exchanged(proxy.url, `GET ${path} HTTP/1.1\r\n${CLOSE}`);
  assert.equal(
    seen,
    paths.map((path) => `/base${path}`),
  );
  assert.equal(proxy.failures, []);
});

streaming("may name the whole URL, and may ask about no path", async () => {
  const seen: string[] = [];
  await using proxy = await startProxied((request, response) => {
    seen.push(`${request.method} ${request.url}`);
    response.end();
  });
  await exchanged(proxy.url, `GET http://elsewhere/a%2Fb?c HTTP/1.1\r\n${CLOSE}`);
  await exchanged(proxy.url, `OPTIONS * HTTP/1.1\r\n${CLOSE}`);
  assert.equal(seen, ["GET /a%2Fb?c", "OPTIONS *"]);
});

streaming(
  "has every method, and its headers but those of the connection; the client's address is appended",
  async () => {
    let seen: IncomingMessage | undefined;
    await using proxy = await startProxied((request, response) => {
      seen = request;
      response.end();
    });
    for (const method of ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "REPORT"]) {
      const headers = [
        "X-a: 1",
        "x-A: 2",
        "Connection: close, X-Hop",
        "X-Hop: 1",
        "Keep-Alive: 5",
        "TE: trailers",
        "Authorization: Bearer t",
      ];
      await exchanged(
        proxy.url,
        `${method} /x HTTP/1.1\r\nHost: hs.example:1\r\nX-Forwarded-For: 9.9.9.9\r\n${headers.join("\r\n")}\r\n\r\n`,
      );
      assert.is(seen!.method, method);
      const raw = seen!.rawHeaders.join("\n");
      assert.match(raw, /X-a\n1\nx-A\n2\n/);
      assert.not.match(raw, /X-Hop|Keep-Alive\n5|trailers/);
      assert.is(seen!.headers.authorization, "Bearer t");
      assert.is(seen!.headers.host, "hs.example:1");
      assert.is(seen!.headers["x-forwarded-for"], "9.9.9.9, 127.0.0.1");
      assert.is(seen!.headers["x-forwarded-proto"], "http");
      assert.is(seen!.headers["x-forwarded-host"], "hs.example:1");
      assert.is(seen!.headers["transfer-encoding"], undefined);
    }
  },
);

streaming(
  "is answered with the status, the headers and the body of the homeserver, errors and redirects included",
  async () => {
    await using proxy = await startProxied((request, response) => {
      const status = Number(request.url!.slice(1));
      response.sendDate = false;
      response.writeHead(status, "As It Came", [
        "Location",
        "https://x/%2F",
        "Set-Cookie",
        "a=1",
        "Set-Cookie",
        "b=2",
        "X-UPPER",
        "1",
      ]);
      response.end(status === 204 || status === 304 || request.method === "HEAD" ? undefined : "body");
    });
    for (const status of [200, 201, 204, 302, 304, 400, 404, 429, 500, 599]) {
      const answer = await exchanged(proxy.url, `GET /${status} HTTP/1.1\r\n${CLOSE}`);
      assert.match(
        answer,
        new RegExp(
          `^HTTP/1.1 ${status} As It Came\r\nLocation: https://x/%2F\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-UPPER: 1\r\n`,
        ),
      );
      assert.is(answer.includes("body"), status !== 204 && status !== 304);
      assert.not.match(answer, /\r\nDate:/i);
    }
    assert.not.match(await exchanged(proxy.url, `HEAD /200 HTTP/1.1\r\n${CLOSE}`), /body|chunked/);
  },
);

streaming("sends its body only once the homeserver says that it may (Expect)", async () => {
  const server = createServer();
  server.on("checkContinue", async (request, response) => {
    if (request.url === "/no") {
      response.writeHead(413, { connection: "close" }).end("no");
      return;
    }
    response.writeContinue();
    response.end(await text(request));
  });
  await using proxy = await startProxied(server);
  const head = (path: string) =>
    `PUT ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n`;
  const socket = connected(proxy.url);
  socket.write(head("/yes"));
  assert.is(await untilText(socket, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  socket.write("body");
  assert.match(await untilText(socket, "body"), /^HTTP\/1\.1 200 /);
  const refused = connected(proxy.url);
  refused.write(head("/no"));
  assert.match(await untilText(refused, "no"), /^HTTP\/1\.1 413 /);
  refused.destroy();
});

streaming("has its trailers, and so has the answer", async () => {
  await using proxy = await startProxied(async (request, response) => {
    const body = await text(request);
    response.writeHead(200, { trailer: "X-Sum" });
    response.write(`${body} ${request.headers.trailer} ${request.trailers["x-digest"]}`);
    response.addTrailers({ "X-Sum": "7" });
    response.end();
  });
  const answer = await exchanged(
    proxy.url,
    "PUT /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: X-Digest\r\n\r\n3\r\nabc\r\n0\r\nX-Digest: 5\r\n\r\n",
  );
  assert.match(answer, /abc X-Digest 5/);
  assert.match(answer, /\r\n0\r\nX-Sum: 7\r\n\r\n$/);
});

streaming("may have a body of any size, of which only a little is on its way", async () => {
  let read = 0;
  await using proxy = await startProxied(async (request, response) => {
    for await (const chunk of request) {
      read += chunk.length;
      inFlight.push(sent() - read);
    }
    response.end(`${read}`);
  });
  const inFlight: number[] = [];
  const upload = httpRequest(`${proxy.url}/_matrix/media/v3/upload`, { method: "POST" });
  const sent = () => (upload.socket?.bytesWritten ?? 0) - (upload.socket?.writableLength ?? 0);
  const answered = once(upload, "response");
  await written(upload);
  upload.end();
  const [response] = (await answered) as [IncomingMessage];
  assert.is(await text(response), `${BYTES}`);
  assert.ok(Math.max(...inFlight) < BYTES / 2, `${Math.max(...inFlight)} bytes`);
});

streaming("may be answered with a body of any size, of which only a little is on its way", async () => {
  for (const headers of [{}, { "content-length": BYTES }]) {
    let sent = 0;
    await using proxy = await startProxied(async (_, response) => {
      response.writeHead(200, headers);
      await written(response, (bytes) => (sent = bytes - response.writableLength));
      response.end();
    });
    const response = await get(`${proxy.url}/_matrix/media/v3/download/x`);
    let read = 0;
    let inFlight = 0;
    for await (const chunk of response) {
      read += chunk.length;
      inFlight = Math.max(inFlight, sent - read);
      await new Promise(setImmediate);
    }
    assert.is(read, BYTES);
    assert.ok(inFlight < BYTES / 2, `${inFlight} bytes`);
    assert.equal(proxy.failures, []);
  }
});

/** Each four bytes of it are different. */
const LONG_BODY = Buffer.from(Uint32Array.from({ length: 4_194_304 }, (_, n) => n).buffer);

streaming("has the bytes of a long body, and its connection goes on, also behind another request", async () => {
  let isBroken = false;
  await using proxy = await startProxied((request, response) => {
    response.writeHead(200, { "content-length": LONG_BODY.length });
    if (request.method === "HEAD") response.end();
    else if (!isBroken) response.end(LONG_BODY);
    else response.write(LONG_BODY.subarray(0, LONG_BODY.length / 2), () => request.socket.destroy());
  });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  for (let n = 0; n < 3; n++) {
    const [response] = (await once(httpRequest(proxy.url, { agent }).end(), "response")) as [IncomingMessage];
    const chunks: Buffer[] = [];
    for await (const chunk of response) {
      chunks.push(chunk);
      await new Promise(setImmediate);
    }
    assert.ok(Buffer.concat(chunks).equals(LONG_BODY));
  }
  agent.destroy();
  const socket = connected(proxy.url);
  socket.write(`HEAD /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\nGET /c HTTP/1.1\r\n${CLOSE}`);
  const answers = await buffer(socket);
  const bodyAt = (head: number) => answers.indexOf("\r\n\r\n", head) + 4;
  const [first, second] = [bodyAt(bodyAt(0)), bodyAt(bodyAt(bodyAt(0)) + LONG_BODY.length)];
  assert.ok(answers.subarray(first, first + LONG_BODY.length).equals(LONG_BODY));
  assert.ok(answers.subarray(second).equals(LONG_BODY));
  assert.equal(proxy.failures, []);

  isBroken = true;
  assert.ok((await exchanged(proxy.url, `GET /d HTTP/1.1\r\n${CLOSE}`)).length < LONG_BODY.length);
  assert.is(proxy.failures.length, 1);
});

/** Much more than the sockets on the way can hold. */
const BYTES = 128 * 1_048_576;
const CHUNK = Buffer.alloc(65_536, "x");

/** Writes `BYTES` bytes, with back pressure. */
async function written(stream: NodeJS.WritableStream, onWritten: (bytes: number) => void = () => {}): Promise<void> {
  for (let bytes = CHUNK.length; bytes <= BYTES; bytes += CHUNK.length) {
    if (!stream.write(CHUNK)) await once(stream, "drain");
    onWritten(bytes);
  }
}

async function get(url: string): Promise<IncomingMessage> {
  const [response] = (await once(httpRequest(url).end(), "response")) as [IncomingMessage];
  return response;
}

/** Half a body is an error of its connection as well. */
function closed({ socket }: IncomingMessage): Promise<void> {
  return new Promise((resolve) => socket.on("error", () => {}).once("close", () => resolve()));
}

streaming("is aborted when its client hangs up, during a long poll, an upload or a download", async () => {
  for (const [path, head, answer] of [
    ["/_matrix/client/v3/sync?since=s", "", undefined],
    ["/other", "", undefined],
    ["/upload", "Content-Length: 100\r\n", undefined],
    ["/download", "", "a part"],
    ["/long", "", "a part"],
  ] as const) {
    const arrived = later<IncomingMessage>();
    await using proxy = await startProxied((request, response) => {
      if (path === "/long") response.writeHead(200, { "content-length": LONG_BODY.length });
      if (answer !== undefined) response.write(answer);
      arrived.resolve(request);
    });
    const socket = connected(proxy.url);
    socket.write(`POST ${path} HTTP/1.1\r\nHost: a\r\n${head}\r\n`);
    const request = await arrived.promise;
    if (answer !== undefined) await untilText(socket, answer);
    const gone = closed(request);
    socket.destroy();
    await gone;
    assert.equal(proxy.failures, [], path);
  }
});

streaming("is aborted when its client hangs up, also behind another on the same connection", async () => {
  const arrived: IncomingMessage[] = [];
  const both = later<void>();
  await using proxy = await startProxied((request) => {
    if (arrived.push(request) === 2) both.resolve();
  });
  const socket = connected(proxy.url);
  socket.write("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
  await both.promise;
  const gone = Promise.all(arrived.map(closed));
  socket.destroy();
  await gone;
});

streaming("has no end where the homeserver broke off", async () => {
  await using proxy = await startProxied((request, response) => {
    response.writeHead(200, { "content-type": "application/json", "content-length": 100 });
    response.write("{", () => request.socket.destroy());
  });
  const answer = await exchanged(proxy.url, `GET /x HTTP/1.1\r\n${CLOSE}`);
  assert.match(answer, /\r\n\r\n\{$/);
  assert.is(proxy.failures.length, 1);
  // An annotated answer has not begun yet, so its client is told.
  assert.match(await exchanged(proxy.url, `GET /_matrix/client/v3/sync HTTP/1.1\r\n${CLOSE}`), /^HTTP\/1\.1 502 /);
});

streaming("is answered in Matrix's form when there is no homeserver", async () => {
  const proxy = await startProxied((_, response) => void response.end());
  await using _ = proxy;
  await new Promise((resolve) => proxy.server.close(resolve));
  const response = await fetch(`${proxy.url}/_matrix/client/v3/login`);
  assert.is(response.status, 502);
  assert.is(response.headers.get("access-control-allow-origin"), "*");
  assert.equal(await response.json(), { errcode: "M_UNKNOWN", error: "The homeserver can't be reached" });
  assert.is(proxy.failures.length, 1);
});

streaming("without a body is sent again when a kept connection was just closed", async () => {
  let connections = 0;
  const requests: string[] = [];
  const server = createTcpServer((socket) => {
    const number = ++connections;
    let answered = 0;
    socket.on("error", () => {});
    socket.on("data", (data) => {
      requests.push(`${number} ${data.toString("latin1").split(" ", 2).join(" ")}`);
      if (number === 1 && answered++ === 1) socket.resetAndDestroy();
      else socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const proxy = await listenBefore(`http://127.0.0.1:${port}`);
  for (const path of ["/a", "/b"]) assert.is(await text(await get(proxy.url + path)), "ok");
  assert.equal(requests, ["1 GET /a", "1 GET /b", "2 GET /b"]);
  proxy.server.closeAllConnections();
  await proxy.close();
  server.close();
});

streaming("with receipts is named when it ends before its answer, by the client or by the homeserver", async () => {
  const arrived = later<void>();
  await using proxy = await startProxied((request, response) => {
    request.resume();
    const { url = "" } = request;
    if (url.includes("answered")) response.end("{}");
    else if (url.includes("broken")) request.socket.destroy();
    else arrived.resolve();
  });
  const post = (path: string, signal?: AbortSignal) =>
    fetch(`${proxy.url}/_matrix/client/v3/rooms/!r%3Aa/${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${path}` },
      body: "{}",
      ...(signal && { signal }),
    });
  assert.is((await post("receipt/m.read/%24answered")).status, 200);
  assert.is((await post("send/m.room.message/broken")).status, 502);
  assert.is((await post("receipt/m.read/%24broken")).status, 502);
  const leaving = new AbortController();
  const left = post("receipt/m.read/%24left", leaving.signal).catch(() => {});
  await arrived.promise;
  leaving.abort();
  await left;
  await eventually(() => proxy.unsure.length === 2, "both are named");
  const whose = proxy.unsure.map(({ headers }) => headers[headers.indexOf("authorization") + 1]);
  assert.equal(whose, ["Bearer receipt/m.read/%24broken", "Bearer receipt/m.read/%24left"]);
});

streaming("is streamed as it comes, not gathered", async () => {
  const parts = later<void>();
  await using proxy = await startProxied(async (request, response) => {
    response.write("first");
    await parts.promise;
    for await (const chunk of request) response.write(chunk);
    response.end("last");
  });
  const upload = httpRequest(`${proxy.url}/x`, { method: "POST" });
  upload.write("middle");
  const [response] = (await once(upload, "response")) as [IncomingMessage];
  const [first] = (await once(response, "data")) as [Buffer];
  assert.is(first.toString(), "first");
  parts.resolve();
  upload.end();
  assert.is((await buffer(response)).toString(), "middlelast");
});

streaming.run();
