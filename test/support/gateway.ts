/**
 * Tidemark with its gateway for a test, and clients that use only HTTP.
 *
 *     await using tidemark = await startGateway();
 *     const room = await tidemark.room(tidemark.alice, tidemark.bob);
 *     await tidemark.bob.post(`/v3/rooms/${enc(room)}/receipt/m.read/${enc(event)}`, {});
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pino } from "pino";
import * as assert from "uvu/assert";
import { type Role, start, type Tidemark } from "../../src/start.ts";
import { type Body, type BusHarness, LIMIT_MS, servedOn, startBus } from "./harness.ts";
import { assertNoLeaks, ownTokens, privateReceiptsOfOthers } from "./private-receipts.ts";

export const ALICE = "@alice:a.org";
export const BOB = "@bob:a.org";
export const CAROL = "@carol:a.org";

/** Access tokens. Bob has two devices. */
const TOKENS = {
  "alice-1": { user_id: ALICE, device_id: "A1" },
  "bob-1": { user_id: BOB, device_id: "B1" },
  "bob-2": { user_id: BOB, device_id: "B2" },
  "carol-1": { user_id: CAROL, device_id: "C1" },
};

export const enc = encodeURIComponent;

export interface Answer {
  readonly status: number;
  readonly body: Body;
  readonly headers: Headers;
  readonly text: string;
}

export interface Client {
  readonly user: string;
  readonly token: string;
  readonly url: string;
  /** Sends a request to a path below `/_matrix/client`. */
  ask(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  /** The same, but the answer must be 200. Resolves to its body. */
  get(path: string): Promise<Body>;
  post(path: string, body: unknown): Promise<Body>;
  put(path: string, body: unknown): Promise<Body>;
  sync(query?: Record<string, string | number>): Promise<Body>;
  /** Sends a message, in a thread if one is given. Resolves to the id of the event. */
  say(room: string, body: string, thread?: string): Promise<string>;
  read(room: string, event: string, more?: Record<string, unknown>, type?: string): Promise<Body>;
}

export interface GatewayHarness extends AsyncDisposable {
  readonly bus: BusHarness;
  readonly url: string;
  readonly alice: Client;
  readonly bob: Client;
  readonly bob2: Client;
  readonly carol: Client;
  /** Makes a room that these clients join. The first one creates it. */
  room(...members: Client[]): Promise<string>;
  client(token: keyof typeof TOKENS, url?: string): Client;
  /** Starts another gateway on the same broker. It is stopped with the harness. */
  another(roles?: readonly Role[]): Promise<Tidemark>;
  stop(): Promise<void>;
}

const GATEWAY_ROLES: readonly Role[] = ["ingress", "worker", "gateway"];

interface GatewayOptions {
  readonly standalone?: boolean;
  readonly homeserver?: string;
  /** Additional users. The token of each is their id. */
  readonly users?: readonly string[];
}

export async function startGateway({
  standalone = true,
  homeserver,
  users: others = [],
}: GatewayOptions = {}): Promise<GatewayHarness> {
  const bus = await startBus();
  const users = join(bus.dir, "users.json");
  const tokens = { ...TOKENS, ...Object.fromEntries(others.map((user) => [user, { user_id: user }])) };
  ownTokens(tokens);
  await writeFile(users, JSON.stringify(tokens));
  const running: Tidemark[] = [];
  const run = async (roles: readonly Role[]) => {
    const tidemark = await start({
      ...servedOn(bus),
      roles: new Set(roles),
      log: pino({ level: process.env.TIDEMARK_TEST_LOG ?? "silent" }, pino.destination(2)),
      users,
      standalone,
      ...(homeserver !== undefined && { homeserver }),
    });
    running.push(tidemark);
    return tidemark;
  };
  const stop = async () => {
    for (let last = running.pop(); last !== undefined; last = running.pop()) await last.stop();
  };
  try {
    const { httpUrl } = await run(GATEWAY_ROLES);
    const client = (token: keyof typeof TOKENS, url = httpUrl) => httpClient(url, token, TOKENS[token].user_id);
    return {
      bus,
      url: httpUrl,
      alice: client("alice-1"),
      bob: client("bob-1"),
      bob2: client("bob-2"),
      carol: client("carol-1"),
      client,
      room: async (maker, ...others) => {
        const { room_id: room } = await maker!.post("/v3/createRoom", { preset: "public_chat" });
        for (const other of others) await other.post(`/v3/join/${enc(room)}`, {});
        return room;
      },
      another: (roles = ["gateway"]) => run(roles),
      stop,
      [Symbol.asyncDispose]: async () => {
        await stop();
        await bus[Symbol.asyncDispose]();
        assertNoLeaks();
      },
    };
  } catch (error) {
    await stop();
    await bus[Symbol.asyncDispose]();
    throw error;
  }
}

/** The same, with a room that Alice has made and Bob has joined. */
export async function startChat(options?: GatewayOptions): Promise<GatewayHarness & { readonly chat: string }> {
  const tidemark = await startGateway(options);
  try {
    return { ...tidemark, chat: await tidemark.room(tidemark.alice, tidemark.bob) };
  } catch (error) {
    await tidemark[Symbol.asyncDispose]();
    throw error;
  }
}

let transactions = 0;

export function httpClient(url: string, token: string, user: string): Client {
  const ask: Client["ask"] = async (method, path, body, headers = {}) => {
    const response = await fetch(`${url}/_matrix/client${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, ...headers },
      signal: AbortSignal.timeout(LIMIT_MS),
      ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const answer = text === "" ? undefined : JSON.parse(text);
    assert.equal(privateReceiptsOfOthers(answer, user), [], `${method} ${path}: private receipts of others`);
    return {
      status: response.status,
      body: answer,
      headers: response.headers,
      text,
    };
  };
  const ok = async (method: string, path: string, body?: unknown) => {
    const answer = await ask(method, path, body);
    assert.is(answer.status, 200, `${method} ${path}: ${answer.text}`);
    return answer.body;
  };
  return {
    user,
    token,
    url,
    ask,
    get: (path) => ok("GET", path),
    post: (path, body) => ok("POST", path, body),
    put: (path, body) => ok("PUT", path, body),
    sync: (query = {}) => ok("GET", `/v3/sync?${new URLSearchParams(query as Record<string, string>)}`),
    say: async (room, body, thread) => {
      const relation = thread !== undefined && { "m.relates_to": { rel_type: "m.thread", event_id: thread } };
      const path = `/v3/rooms/${enc(room)}/send/m.room.message/t${transactions++}`;
      return (await ok("PUT", path, { msgtype: "m.text", body, ...relation })).event_id;
    },
    read: (room, event, more = {}, type = "m.read") =>
      ok("POST", `/v3/rooms/${enc(room)}/receipt/${type}/${enc(event)}`, more),
  };
}

/** Returns the status and error code of an answer. */
export function errorOf({ status, body }: Answer): [status: number, errcode: string] {
  assert.type(body.error, "string");
  return [status, body.errcode];
}

/** Repeats `/sync` from a token on, until the section of a room satisfies the predicate. */
export async function syncUntil(
  client: Client,
  since: string,
  seen: (body: Body) => unknown,
): Promise<{ body: Body; next: string; all: Body[] }> {
  const deadline = performance.now() + LIMIT_MS;
  const all: Body[] = [];
  for (let next = since; performance.now() < deadline; ) {
    const body = await client.sync({ since: next, timeout: 1_000 });
    next = body.next_batch;
    all.push(body);
    if (seen(body)) return { body, next, all };
  }
  throw new Error(`not seen within ${LIMIT_MS} ms: ${JSON.stringify(all).slice(0, 2_000)}`);
}
