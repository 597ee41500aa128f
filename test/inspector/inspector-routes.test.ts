/** The HTTP routes of the inspector. */
import { type OutgoingHttpHeaders, request } from "node:http";
import { text } from "node:stream/consumers";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { WRONG_SECRETS_MAX } from "../../src/limits.ts";
import { runCli } from "../support/cli-process.ts";
import { BASE, message, receipt, startTidemark } from "../support/harness.ts";
import { ADMIN_TOKEN, startInspected } from "../support/inspector.ts";

const ROOM = "!a:a.org";
const BOB = "@bob:a.org";
const bearer = { authorization: `Bearer ${ADMIN_TOKEN}` };

const path = (question: object) =>
  `/inspect/api/rooms/${encodeURIComponent(ROOM)}?q=${encodeURIComponent(JSON.stringify(question))}`;

/** A request with any Host header, which `fetch` does not allow. */
function statusAs(url: string, headers: Record<string, string>): Promise<number> {
  return new Promise((resolve, reject) => {
    request(url, { headers }, (response) => {
      response.resume();
      resolve(response.statusCode!);
    })
      .on("error", reject)
      .end();
  });
}

const inspector = suite("inspector routes");

inspector("do not exist without --inspect", async () => {
  await using tidemark = await startTidemark();
  for (const path of ["/inspect", "/inspect/", "/inspect/api/rooms"]) {
    assert.is((await fetch(tidemark.httpUrl + path)).status, 404);
  }
});

inspector("reveal nothing without the admin token", async () => {
  await using tidemark = await startInspected();
  await tidemark.sent("event", ROOM, message("$1"));
  for (const headers of [
    {},
    { authorization: "Bearer wrong" },
    { authorization: ADMIN_TOKEN },
    { cookie: `tidemark_inspect=${"0".repeat(64)}` },
  ]) {
    for (const path of ["/inspect/api/rooms", `/inspect/api/rooms/${encodeURIComponent(ROOM)}/follow`]) {
      const response = await fetch(tidemark.httpUrl + path, { headers: headers as Record<string, string> });
      assert.is(response.status, 401);
      assert.not.match(await response.text(), "!a:a.org");
    }
  }
  assert.is((await fetch(`${tidemark.httpUrl}/inspect/api/rooms`, { headers: bearer })).status, 200);
});

inspector("exchange the token for a session cookie that does not contain it", async () => {
  await using tidemark = await startInspected();
  const login = (token: unknown) =>
    fetch(`${tidemark.httpUrl}/inspect/api/session`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ token }),
    });
  for (const wrong of ["wrong", "", null, 7, { a: 1 }]) {
    const response = await login(wrong);
    assert.is(response.status, 401);
    assert.is(response.headers.get("set-cookie"), null);
  }
  const cookie = (await login(ADMIN_TOKEN)).headers.get("set-cookie")!;
  assert.match(cookie, /^tidemark_inspect=[0-9a-f]{64}; Path=\/inspect; HttpOnly; SameSite=Strict$/);
  const headers = { cookie: cookie.split(";")[0]! };
  assert.is((await fetch(`${tidemark.httpUrl}/inspect/api/rooms`, { headers })).status, 200);
});

inspector("send the session cookie over TLS alone wherever the client speaks TLS, whatever proxies write", async () => {
  await using tidemark = await startInspected();
  const cookieFor = (headers: OutgoingHttpHeaders) =>
    new Promise<string>((resolve, reject) => {
      const options = { method: "POST", headers: { "content-type": "application/json", ...headers } };
      request(`${tidemark.httpUrl}/inspect/api/session`, options, async (response) => {
        assert.is(response.statusCode, 200, await text(response));
        const cookies = response.headers["set-cookie"] ?? [];
        assert.is(cookies.length, 1);
        resolve(cookies[0]!);
      })
        .on("error", reject)
        .end(JSON.stringify({ token: ADMIN_TOKEN }));
    });
  const plain = await cookieFor({});
  assert.match(plain, /^tidemark_inspect=[0-9a-f]{64}; Path=\/inspect; HttpOnly; SameSite=Strict$/);
  // Of several values the first is of the proxy to which the client speaks. They come as a list, or as a line each.
  for (const proto of [
    "https",
    "HTTPS",
    " https ",
    "https,http",
    "https , http",
    ["https", "http"],
    ["https", "https"],
  ]) {
    assert.is(await cookieFor({ "x-forwarded-proto": proto }), `${plain}; Secure`, String(proto));
  }
  for (const proto of ["", "http", "http, https", "httpsx", "ws", ["http", "https"]]) {
    assert.is(await cookieFor({ "x-forwarded-proto": proto }), plain, String(proto));
  }
});

inspector("check no further token after ten wrong ones, and a session goes on", async () => {
  await using tidemark = await startInspected();
  const login = (token: string, headers: Record<string, string> = {}) =>
    fetch(`${tidemark.httpUrl}/inspect/api/session`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify({ token }),
    });
  const rooms = (headers: Record<string, string>) => fetch(`${tidemark.httpUrl}/inspect/api/rooms`, { headers });
  const cookie = (await login(ADMIN_TOKEN, { "x-forwarded-proto": "https" })).headers.get("set-cookie")!;
  assert.match(cookie, /; SameSite=Strict; Secure$/, "behind TLS, the cookie is never sent without");
  for (let i = 0; i < WRONG_SECRETS_MAX; i++) {
    assert.is(i % 2 ? (await login(`${i}`)).status : (await rooms({ authorization: `Bearer ${i}` })).status, 401);
  }
  const refused = await login(ADMIN_TOKEN);
  assert.is(refused.status, 429);
  assert.ok(Number(refused.headers.get("retry-after")) > 0);
  assert.is((await rooms(bearer)).status, 429);
  assert.is((await rooms({ cookie: cookie.split(";")[0]! })).status, 200);
});

inspector("on loopback answer this machine by its own names only", async () => {
  await using tidemark = await startInspected("loopback");
  const url = `${tidemark.httpUrl}/inspect/api/rooms`;
  assert.is((await fetch(url)).status, 200);
  assert.is(await statusAs(url, { host: "localhost:8008" }), 200);
  assert.is(await statusAs(url, { host: "evil.example" }), 401);
  assert.is(await statusAs(url, { host: "localhost.evil.example" }), 401);
});

inspector("serve the page cached, compressed, and to itself only", async () => {
  await using tidemark = await startInspected();
  const get = (path: string) =>
    fetch(`${tidemark.httpUrl}${path}`, { headers: { "accept-encoding": "br" }, redirect: "manual" });
  assert.is((await get("/inspect")).headers.get("location"), "/inspect/");
  const html = await get("/inspect/");
  assert.is(html.headers.get("cache-control"), "no-cache");
  assert.match(html.headers.get("content-security-policy")!, "default-src 'none'; script-src 'self'");
  assert.not.match(html.headers.get("content-security-policy")!, /unsafe|https?:/);
  const assets = Array.from((await html.text()).matchAll(/"\.\/(assets\/[^"]+)"/g), (match) => match[1]!);
  assert.ok(assets.length >= 3);
  for (const asset of assets) {
    const response = await get(`/inspect/${asset}`);
    assert.is(response.status, 200, asset);
    assert.is(response.headers.get("content-encoding"), "br", asset);
    assert.is(response.headers.get("cache-control"), "public, max-age=31536000, immutable");
    assert.is(response.headers.get("x-content-type-options"), "nosniff");
    await response.arrayBuffer();
  }
  assert.is((await get("/inspect/../package.json")).status, 404);
});

inspector("answer the requests of the page, private receipts included, and no others", async () => {
  await using tidemark = await startInspected();
  await tidemark.sent(
    "event",
    ROOM,
    Array.from({ length: 40 }, (_, i) => message(`$${i}`)),
  );
  await tidemark.sent("receipt", ROOM, receipt(BOB, "$7", { receipt_type: "m.read.private" }));
  await tidemark.sent("receipt", ROOM, receipt(BOB, "$nowhere"));
  const ask = async (question: object) => {
    const response = await fetch(tidemark.httpUrl + path(question), { headers: bearer });
    return { status: response.status, body: (await response.json()) as Record<string, never> };
  };
  const answer = async (question: object) => (await ask(question)).body.answer as unknown as Record<string, never>;

  const summary = await answer({ op: "summary" });
  assert.equal([summary.entries, summary.events, summary.held, summary.lag], [42, 40, 1, 0]);
  assert.equal(summary.most, { user: BOB, unread: 32 });
  const state = (await answer({ op: "state" })) as unknown as { markers: object[]; held: { event: string }[] };
  assert.equal(state.markers, [
    { user: BOB, type: "m.read.private", thread: null, event: "$7", order: BASE + 8, position: 3072 },
  ]);
  assert.is(state.held[0]!.event, "$nowhere");
  const rows = (await answer({ op: "entries", direction: "until", limit: 5 })) as unknown as { steps: object[] };
  assert.is(rows.steps.length, 5);
  const chart = (await answer({ op: "chart", x: "position", points: 10 })) as unknown as {
    lanes: { events: { x: number[] } }[];
  };
  assert.ok(chart.lanes[0]!.events.x.length <= 11, "a window is thinned");
  assert.is((await answer({ op: "why", user: BOB, event: "$3" })).verdict, "read");
  assert.equal(
    await answer({ op: "why", user: BOB.slice(0, 3), event: "$3" }),
    await answer({ op: "why", user: BOB, event: "$3" }),
  );
  for (const [user, why] of [
    ["@grace", /^Neither read nor unread: nobody whose id begins with @grace has sent, read or been a member\.$/],
    ["@", /^Neither read nor unread: several users begin with @: @/],
  ] as const) {
    const nobody = await answer({ op: "why", user, event: "$3" });
    assert.is(nobody.verdict, "unknown");
    assert.match(nobody.answer as unknown as string, why);
  }

  assert.is((await ask({ op: "chart", x: "position", points: 1e9 })).status, 400);
  assert.is((await ask({ op: "entries", direction: "until", limit: 1e9 })).status, 400);
  assert.match((await ask({ op: "drop" })).body.error!, /^q: op/);
  const elsewhere = await fetch(tidemark.httpUrl + path({ op: "state" }).replace("a.org", "b.org"), {
    headers: bearer,
  });
  assert.is(elsewhere.status, 404);
});

inspector("notify followers that a room has grown, until Tidemark stops", async () => {
  const tidemark = await startInspected();
  await tidemark.sent("event", ROOM, message("$1"));
  const response = await fetch(`${tidemark.httpUrl}/inspect/api/rooms/${encodeURIComponent(ROOM)}/follow`, {
    headers: bearer,
  });
  assert.is(response.headers.get("content-type"), "text/event-stream");
  let text = "";
  let grown: (() => void) | undefined;
  const reading = (async () => {
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      grown?.();
    }
  })();
  const hasGrown = async (entries: number) => {
    while (!text.includes(`"entries":${entries}}`)) await new Promise<void>((resolve) => (grown = resolve));
  };
  await hasGrown(1);
  await tidemark.sent("receipt", ROOM, receipt(BOB, "$1"));
  await hasGrown(2);
  await tidemark[Symbol.asyncDispose]();
  await reading;
});

inspector("need a token that is long enough on the command line", async () => {
  for (const [args, message] of [
    [["--inspect"], /--inspect needs --admin-token/],
    [["--inspect", "--admin-token", "short"], /must have at least 16 characters/],
  ] as const) {
    await using child = runCli(["start", "--nats", "nats://127.0.0.1:1", ...args]);
    assert.is(await child.ended.catch(() => "failed"), 2);
    assert.match(child.stderr.join("\n"), message);
  }
});

inspector.run();
