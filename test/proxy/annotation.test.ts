/** Which answers of a homeserver get orders, and how they are encoded. */
import { once } from "node:events";
import { type IncomingMessage, type RequestListener, request } from "node:http";
import { buffer } from "node:stream/consumers";
import { brotliCompressSync, brotliDecompressSync, gunzipSync, gzipSync } from "node:zlib";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { PROXY_ANSWER_BYTES_MAX } from "../../src/limits.ts";
import { UNSTABLE_ORDER } from "../../src/matrix/order-names.ts";
import { annotatedRequest } from "../../src/proxy/annotated-paths.ts";
import type { FindOrders } from "../../src/proxy/annotation.ts";
import { type ProxiedHomeserver, startProxied } from "../support/scripted-homeserver.ts";

const EVENT = '{"event_id":"$e","type":"t","sender":"@u:a","content":{},"n":1.0}';
const ANSWER = `{"chunk":[${EVENT}]}`;
const ORDERED = `{"chunk":[{"unsigned":{"order":7,"org.matrix.msc4033.order":7},${EVENT.slice(1)}]}`;
const PATH = "/_matrix/client/v3/rooms/!r%3Aa/messages?dir=b";

const seven: FindOrders = async () => (room) => (room === "!r:a" ? 7 : undefined);

const json =
  (body: string | Buffer, headers: Record<string, string> = {}): RequestListener =>
  (_, response) =>
    void response.writeHead(200, { "content-type": "application/json", ...headers }).end(body);

async function ask(
  { url }: Pick<ProxiedHomeserver, "url">,
  path: string,
  { method = "GET", headers = {} }: { readonly method?: string; readonly headers?: Record<string, string> } = {},
): Promise<{ readonly answer: IncomingMessage; readonly body: Buffer }> {
  const [answer] = (await once(request(url + path, { method, headers }).end(), "response")) as [IncomingMessage];
  return { answer, body: await buffer(answer) };
}

const annotation = suite("an answer with events");

annotation("gets orders, in the encoding that the homeserver chose, with the right length", async () => {
  const asked: unknown[] = [];
  await using proxy = await startProxied(
    (request, response) => {
      const accepted = request.headers["accept-encoding"]!;
      asked.push(accepted);
      if (accepted.includes("gzip")) json(gzipSync(ANSWER), { "content-encoding": "gzip" })(request, response);
      else if (accepted.includes("br"))
        json(brotliCompressSync(ANSWER), { "content-encoding": "br" })(request, response);
      else json(ANSWER)(request, response);
    },
    { findOrders: seven },
  );
  for (const [accepted, sent, encoding, decode] of [
    ["gzip, deflate, br, zstd", "gzip, br", "gzip", gunzipSync],
    ["zstd;q=1, br;q=0.5", "br;q=0.5", "br", brotliDecompressSync],
    ["deflate, *", "identity", undefined, (body: Buffer) => body],
    [undefined, "identity", undefined, (body: Buffer) => body],
  ] as const) {
    const { answer, body } = await ask(proxy, PATH, {
      headers: accepted === undefined ? {} : { "Accept-Encoding": accepted },
    });
    assert.is(asked.at(-1), sent);
    assert.is(answer.headers["content-encoding"], encoding);
    assert.is(answer.headers["content-length"], `${body.length}`);
    assert.is(decode(body).toString(), ORDERED);
  }
  assert.equal(proxy.outcomes, ["annotated", "annotated", "annotated", "annotated"]);
});

annotation("passes as it came when it can't be read, cut off at whatever byte", async () => {
  let answer: Buffer = Buffer.from("");
  let encoding = "identity";
  await using proxy = await startProxied(
    (request, response) => json(answer, { "content-encoding": encoding })(request, response),
    { findOrders: seven },
  );
  for (let end = 0; end < ANSWER.length; end++) {
    answer = Buffer.from(ANSWER).subarray(0, end);
    assert.is((await ask(proxy, PATH)).body.toString(), ANSWER.slice(0, end));
  }
  assert.equal(new Set(proxy.outcomes), new Set(["not_json"]));
  const zipped = gzipSync(ANSWER);
  encoding = "gzip";
  for (let end = 0; end < zipped.length; end++) {
    answer = zipped.subarray(0, end);
    assert.equal((await ask(proxy, PATH)).body, answer);
  }
  encoding = "zstd";
  answer = Buffer.from("whatever this is");
  assert.equal((await ask(proxy, PATH)).body, answer);
  assert.equal(new Set(proxy.outcomes), new Set(["not_json", "encoding"]));
});

annotation("passes as it came when it is too large, as it is sent or decompressed", async () => {
  const large = Buffer.concat([Buffer.alloc(PROXY_ANSWER_BYTES_MAX, " "), Buffer.from(ANSWER)]);
  const zipped = gzipSync(large);
  await using proxy = await startProxied(
    (request, response) =>
      (request.headers["accept-encoding"] === "gzip" ? json(zipped, { "content-encoding": "gzip" }) : json(large))(
        request,
        response,
      ),
    { findOrders: seven },
  );
  assert.ok((await ask(proxy, PATH)).body.equals(large));
  assert.ok((await ask(proxy, PATH, { headers: { "Accept-Encoding": "gzip" } })).body.equals(zipped));
  assert.equal(proxy.outcomes, ["too_large", "too_large"]);
});

annotation("is left alone when it is no success with a body", async () => {
  await using proxy = await startProxied(
    (request, response) => {
      const status = Number(request.headers["x-status"]);
      response.writeHead(status, { "content-type": "application/json", etag: '"1"', "content-length": ANSWER.length });
      response.end(request.method === "HEAD" || status === 304 ? undefined : ANSWER);
    },
    { findOrders: seven },
  );
  for (const [method, status] of [
    ["HEAD", 200],
    ["GET", 304],
    ["GET", 403],
    ["PUT", 200],
  ] as const) {
    const { answer, body } = await ask(proxy, PATH, { method, headers: { "X-Status": `${status}` } });
    assert.is(answer.statusCode, status);
    assert.is(answer.headers["content-length"], `${ANSWER.length}`);
    assert.is(body.toString(), method === "HEAD" || status === 304 ? "" : ANSWER);
  }
  assert.equal(proxy.outcomes, []);
});

annotation("has orders under the unstable name alone, if nothing else is wanted", async () => {
  const foreign = ANSWER.replace('"n":1.0', '"unsigned":{"order":99}');
  await using proxy = await startProxied(json(foreign), { findOrders: seven, orderNames: [UNSTABLE_ORDER] });
  assert.is(
    (await ask(proxy, PATH)).body.toString(),
    foreign.replace('{"order":99}', '{"org.matrix.msc4033.order":7}'),
  );
});

annotation("loses the orders of strangers when Tidemark has none", async () => {
  const foreign = ANSWER.replace('"n":1.0', '"unsigned":{"order":99,"age":1.0}');
  await using proxy = await startProxied(json(foreign));
  assert.is((await ask(proxy, PATH)).body.toString(), foreign.replace('"order":99,', ""));
});

annotation("keeps the trailers that followed it", async () => {
  await using proxy = await startProxied(
    (_, response) => {
      response.writeHead(200, { "content-type": "application/json", trailer: "X-Sum" });
      response.write(ANSWER);
      response.addTrailers({ "X-Sum": "1" });
      response.end();
    },
    { findOrders: seven },
  );
  const { answer, body } = await ask(proxy, PATH);
  assert.is(body.toString(), ORDERED);
  assert.is(answer.trailers["x-sum"], "1");
});

annotation("is expected on these paths, and on no others", () => {
  const client = "/_matrix/client";
  const room = `${client}/v3/rooms/!r%3Aa`;
  const found = (method: string, url: string) => annotatedRequest({ method, url });
  for (const path of [
    ...[`${client}/v3/sync`, `${client}/r0/sync?since=`, `${client}/v3/notifications`, `${client}/v3/events`],
    ...[
      `${client}/v3/initialSync`,
      `${room}/initialSync`,
      `${room}/messages?dir=b`,
      `${room}/context/$e`,
      `${room}/event/$e`,
    ],
    ...[
      `${client}/v1/rooms/!r%3Aa/relations/$e/m.thread`,
      `${client}/v1/rooms/!r%3Aa/threads`,
      `${room}/state`,
      `${room}/members`,
    ],
    ...[`${room}/state/m.room.name?format=event`, `${room}/state/m.room.name/?format=event`],
    `${client}/unstable/org.matrix.msc3856/rooms/!r%3Aa/threads`,
  ]) {
    assert.is(found("GET", path)?.kind, "events", path);
    assert.is(found("GET", path)?.room, path.includes("!r") ? "!r:a" : undefined, path);
    assert.is(found("GET", path)?.isIncremental, false, path);
    assert.is(found("PUT", path), undefined, path);
  }
  assert.is(found("GET", `${client}/v3/sync?timeout=0&since=s1`)?.isIncremental, true);
  assert.is(found("POST", `${client}/unstable/org.matrix.simplified_msc3575/sync?pos=1`)?.isIncremental, true);
  assert.is(found("POST", `${client}/unstable/org.matrix.simplified_msc3575/sync`)?.isIncremental, false);
  assert.is(found("POST", `${client}/v3/search`)?.kind, "events");
  assert.is(found("GET", `${client}/versions`)?.kind, "versions");
  assert.is(found("GET", `${client}/v3/rooms/%zz/messages`)?.room, undefined);
  for (const path of [
    ...[
      `${client}/v3/sync/`,
      `${client}/v3/login`,
      `${client}/v3/search`,
      `${room}/send/m.room.message/1`,
      `${room}/typing/@u`,
    ],
    ...[`${room}/state/m.room.name`, `${room}/state/m.room.name/x?format=content`, `/x${client}/v3/sync`, "/", ""],
    ...["/_matrix/federation/v1/event/$e", `${client}/v3/user/@u/account_data/sync`, `${client}/v3/rooms//messages`],
  ]) {
    assert.is(found("GET", path), undefined, path);
  }
});

annotation("of /versions says that there are orders", async () => {
  let answer = "";
  await using proxy = await startProxied((request, response) => json(answer)(request, response));
  const announced = '"org.matrix.msc4033":true';
  for (const [before, after] of [
    ['{"versions":["v1.1"]}', `{"unstable_features":{${announced}},"versions":["v1.1"]}`],
    ["{}", `{"unstable_features":{${announced}}}`],
    ['{"unstable_features":{}}', `{"unstable_features":{${announced}}}`],
    ['{"unstable_features":{"a":true},"b":{"c":[{}]}}', `{"unstable_features":{${announced},"a":true},"b":{"c":[{}]}}`],
    ['{"unstable_features":{"org.matrix.msc4033":false,"a":1}}', `{"unstable_features":{${announced},"a":1}}`],
    ["[]", "[]"],
    ["{", "{"],
  ] as const) {
    answer = before;
    assert.is((await ask(proxy, "/_matrix/client/versions")).body.toString(), after);
  }
});

annotation.run();
