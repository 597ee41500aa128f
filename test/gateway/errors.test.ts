/** Every error that a client can get, next to similar requests that are accepted. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { USER_REQUESTS_MAX, USER_REQUESTS_WINDOW_MS } from "../../src/limits.ts";
import { ALICE, BOB, enc, errorOf, type GatewayHarness, httpClient, startGateway } from "../support/gateway.ts";
import { responseTo } from "../support/raw-http.ts";

interface Case {
  readonly title: string;
  readonly method?: string;
  /** Below `/_matrix/client`, with `:room`, `:event`, `:reply` (in the thread of `:event`) filled in. */
  readonly path: string;
  readonly body?: unknown;
  readonly expect: readonly [status: number, errcode: string] | 200;
}

const RECEIPT = "/v3/rooms/:room/receipt/m.read/:event";
const MARKERS = "/v3/rooms/:room/read_markers";
const LONG_ID = `$${"x".repeat(255)}`;
const PARAM = [400, "M_INVALID_PARAM"] as const;
const BAD_JSON = [400, "M_BAD_JSON"] as const;
const NOT_JSON = [400, "M_NOT_JSON"] as const;

const posts: Case[] = [
  { title: "an empty object", path: RECEIPT, body: {}, expect: 200 },
  { title: "unknown keys", path: RECEIPT, body: { "com.example.key": 1 }, expect: 200 },
  { title: "no body", path: RECEIPT, expect: 200 },
  { title: "an empty body", path: RECEIPT, body: "", expect: 200 },
  { title: "a body of white space", path: RECEIPT, body: " ", expect: NOT_JSON },
  { title: "a body that isn't JSON", path: RECEIPT, body: "{nonsense", expect: NOT_JSON },
  { title: "a body that is not an object", path: RECEIPT, body: "[]", expect: BAD_JSON },
  { title: "a body that is null", path: RECEIPT, body: "null", expect: BAD_JSON },
  { title: "a body with a key named __proto__", path: RECEIPT, body: '{"__proto__":{}}', expect: BAD_JSON },
  { title: "thread_id main", path: RECEIPT, body: { thread_id: "main" }, expect: 200 },
  { title: "thread_id null", path: RECEIPT, body: { thread_id: null }, expect: PARAM },
  { title: "thread_id a number", path: RECEIPT, body: { thread_id: 1 }, expect: PARAM },
  { title: "thread_id empty", path: RECEIPT, body: { thread_id: "" }, expect: PARAM },
  { title: "thread_id neither main nor an event id", path: RECEIPT, body: { thread_id: "thread" }, expect: PARAM },
  {
    title: "thread_id of another thread than the event's",
    path: RECEIPT,
    body: { thread_id: "$other" },
    expect: PARAM,
  },
  {
    title: "thread_id main for an event of a thread",
    path: "/v3/rooms/:room/receipt/m.read/:reply",
    body: { thread_id: "main" },
    expect: PARAM,
  },
  {
    title: "thread_id with m.fully_read",
    path: "/v3/rooms/:room/receipt/m.fully_read/:event",
    body: { thread_id: "main" },
    expect: PARAM,
  },
  { title: "m.fully_read", path: "/v3/rooms/:room/receipt/m.fully_read/:event", body: {}, expect: 200 },
  { title: "m.read.private", path: "/v3/rooms/:room/receipt/m.read.private/:event", body: {}, expect: 200 },
  { title: "an unknown type", path: "/v3/rooms/:room/receipt/m.seen/:event", body: {}, expect: PARAM },
  { title: "an unknown event", path: `/v3/rooms/:room/receipt/m.read/${enc("$unknown")}`, body: {}, expect: 200 },
  {
    title: "an unknown event in a thread",
    path: `/v3/rooms/:room/receipt/m.read/${enc("$unknown")}`,
    body: { thread_id: "$root" },
    expect: 200,
  },
  { title: "an event id without a sigil", path: "/v3/rooms/:room/receipt/m.read/event", body: {}, expect: PARAM },
  {
    title: "an event id that is too long",
    path: `/v3/rooms/:room/receipt/m.read/${enc(LONG_ID)}`,
    body: {},
    expect: PARAM,
  },
  { title: "an event id with a space", path: "/v3/rooms/:room/receipt/m.read/%24a%20b", body: {}, expect: 200 },
  { title: "an event id with a NUL", path: "/v3/rooms/:room/receipt/m.read/%24a%00b", body: {}, expect: PARAM },
  { title: "an event id that is badly encoded", path: "/v3/rooms/:room/receipt/m.read/%zz", body: {}, expect: PARAM },
  { title: "a room id without a sigil", path: "/v3/rooms/room/receipt/m.read/:event", body: {}, expect: PARAM },
  {
    title: "a room that the user is not in",
    path: `/v3/rooms/${enc("!nowhere:a.org")}/receipt/m.read/:event`,
    body: {},
    expect: [403, "M_FORBIDDEN"],
  },
  {
    title: "all read markers at once",
    path: MARKERS,
    body: { "m.fully_read": ":event", "m.read": ":event", "m.read.private": ":event" },
    expect: 200,
  },
  { title: "one read marker", path: MARKERS, body: { "m.read.private": ":event" }, expect: 200 },
  { title: "no read marker", path: MARKERS, body: {}, expect: 200 },
  {
    title: "an unknown read marker next to a known one",
    path: MARKERS,
    body: { "m.seen": 1, "m.read": ":event" },
    expect: 200,
  },
  { title: "a read marker that is not an event id", path: MARKERS, body: { "m.read": 1 }, expect: PARAM },
  { title: "read markers without a body", path: MARKERS, expect: NOT_JSON },
  { title: "a filter", path: "/v3/user/:me/filter", body: { room: { timeline: { limit: 1 } } }, expect: 200 },
  { title: "a filter of the wrong shape", path: "/v3/user/:me/filter", body: { room: 5 }, expect: BAD_JSON },
  { title: "another user's filter", path: `/v3/user/${enc(ALICE)}/filter`, body: {}, expect: [403, "M_FORBIDDEN"] },
];

const gets: Case[] = [
  { title: "two tokens", path: "/v3/sync?since=t1.1.1&since=t1.1.1", expect: PARAM },
  { title: "a timeout that is not a number", path: "/v3/sync?timeout=soon", expect: PARAM },
  { title: "a negative timeout", path: "/v3/sync?timeout=-1", expect: PARAM },
  { title: "full_state that is neither true nor false", path: "/v3/sync?full_state=1", expect: PARAM },
  { title: "a filter that is neither JSON nor known", path: "/v3/sync?filter=12", expect: PARAM },
  { title: "a filter that isn't JSON", path: "/v3/sync?filter=%7Bx", expect: PARAM },
  { title: "an inline filter of the wrong shape", path: `/v3/sync?filter=${enc('{"room":[]}')}`, expect: BAD_JSON },
  { title: "an unknown filter", path: "/v3/user/:me/filter/12", expect: [404, "M_NOT_FOUND"] },
  { title: "messages without a direction", path: "/v3/rooms/:room/messages", expect: PARAM },
  { title: "messages with an unknown direction", path: "/v3/rooms/:room/messages?dir=up", expect: PARAM },
  { title: "messages from a malformed token", path: "/v3/rooms/:room/messages?dir=b&from=x", expect: PARAM },
  {
    title: "messages with a limit that is not a number",
    path: "/v3/rooms/:room/messages?dir=b&limit=x",
    expect: PARAM,
  },
  {
    title: "messages of a room that the user is not in",
    path: `/v3/rooms/${enc("!nowhere:a.org")}/messages?dir=b`,
    expect: [403, "M_FORBIDDEN"],
  },
  { title: "an unknown event", path: `/v3/rooms/:room/event/${enc("$x")}`, expect: [404, "M_NOT_FOUND"] },
  {
    title: "relations of an unknown event",
    path: `/v1/rooms/:room/relations/${enc("$x")}`,
    expect: [404, "M_NOT_FOUND"],
  },
  { title: "an unknown path", path: "/v3/nothing", expect: [404, "M_UNRECOGNIZED"] },
  { title: "another method", method: "DELETE", path: "/v3/sync", expect: [404, "M_UNRECOGNIZED"] },
];

async function answers(tidemark: GatewayHarness, cases: readonly Case[], defaultMethod: string): Promise<void> {
  const room = await tidemark.room(tidemark.alice, tidemark.bob);
  const event = await tidemark.alice.say(room, "hello");
  const reply = await tidemark.alice.say(room, "in a thread", event);
  const fill = (text: string, as: (id: string) => string) =>
    text
      .replace(":room", as(room))
      .replace(":reply", as(reply))
      .replaceAll(":event", as(event))
      .replace(":me", as(BOB));
  for (const { title, method = defaultMethod, path, body, expect } of cases) {
    const json = body === undefined || typeof body === "string" ? body : fill(JSON.stringify(body), (id) => id);
    const answer = await tidemark.bob.ask(method, fill(path, enc), json);
    if (expect === 200) assert.is(answer.status, 200, `${title}: ${answer.text}`);
    else assert.equal(errorOf(answer), [...expect], `${title}: ${answer.text}`);
    assert.is(answer.headers.get("access-control-allow-origin"), "*", `${title}: CORS`);
    assert.not.match(answer.text, /\.ts|node_modules|at \w+ \(/, `${title}: no stack`);
  }
}

const errors = suite("errors");

errors("POST requests are answered as specified", async () => {
  await using tidemark = await startGateway();
  await answers(tidemark, posts, "POST");
});

errors("GET requests are answered as specified", async () => {
  await using tidemark = await startGateway();
  await answers(tidemark, gets, "GET");
});

errors("a missing or unknown token is refused first, and the token may be in the query", async () => {
  await using tidemark = await startGateway();
  const nobody = httpClient(tidemark.url, "", "");
  const unknown = httpClient(tidemark.url, "unknown", "");
  const paths = ["/v3/sync", "/v3/account/whoami", "/v3/joined_rooms", "/v3/rooms/x/messages", "/v3/capabilities"];
  for (const path of paths) {
    assert.equal(errorOf(await nobody.ask("GET", path)), [401, "M_MISSING_TOKEN"], path);
    assert.equal(errorOf(await unknown.ask("GET", path)), [401, "M_UNKNOWN_TOKEN"], path);
  }
  assert.equal(errorOf(await nobody.ask("POST", "/v3/rooms/x/receipt/m.read/y")), [401, "M_MISSING_TOKEN"]);
  const own = await nobody.ask("GET", `/v3/account/whoami?access_token=${tidemark.bob.token}`);
  assert.equal(own.body, { user_id: BOB, device_id: "B1", is_guest: false });
});

errors("without --standalone no room can be created or written to", async () => {
  await using tidemark = await startGateway({ standalone: false });
  const room = enc("!r:a.org");
  for (const [method, path] of [
    ["POST", "/v3/createRoom"],
    ["POST", `/v3/join/${room}`],
    ["POST", `/v3/rooms/${room}/leave`],
    ["POST", `/v3/rooms/${room}/invite`],
    ["PUT", `/v3/rooms/${room}/send/m.room.message/1`],
    ["PUT", `/v3/rooms/${room}/state/m.room.name/`],
    ["PUT", `/v3/rooms/${room}/redact/x/1`],
  ] as const) {
    assert.equal(errorOf(await tidemark.bob.ask(method, path, {})), [404, "M_UNRECOGNIZED"], path);
  }
});

errors("a body or header that is too large is refused", async () => {
  await using tidemark = await startGateway();
  const big = { thread_id: "x".repeat(300_000) };
  assert.equal(errorOf(await tidemark.bob.ask("POST", "/v3/rooms/x/read_markers", big)), [413, "M_TOO_LARGE"]);
  const { status } = await fetch(`${tidemark.url}/_matrix/client/versions`, {
    headers: { "x-big": "x".repeat(40_000) },
  });
  assert.is(status, 431);
});

errors("too many requests of one user are refused, with the time to wait", async () => {
  await using tidemark = await startGateway();
  const head = `GET /_matrix/client/v3/account/whoami HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${tidemark.bob.token}\r\n`;
  const requests = `${`${head}\r\n`.repeat(USER_REQUESTS_MAX)}${head}Connection: close\r\n\r\n`;
  const text = await responseTo(tidemark.url, requests);
  const [answer, body] = text.slice(text.lastIndexOf("HTTP/1.1 ")).split("\r\n\r\n") as [string, string];
  assert.match(answer, /^HTTP\/1.1 429 /);
  const { retry_after_ms: retryAfterMs } = JSON.parse(body);
  assert.ok(retryAfterMs > 0 && retryAfterMs <= USER_REQUESTS_WINDOW_MS);
  assert.is(Number(/retry-after: (\d+)/.exec(answer)![1]), Math.ceil(retryAfterMs / 1_000));
  assert.is((await tidemark.alice.ask("GET", "/v3/account/whoami")).status, 200, "other users are not affected");
});

errors.run();
