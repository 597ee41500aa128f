/** The gateway without rooms: versions, CORS, tokens, and a drain. */
import { once } from "node:events";
import { createServer } from "node:http";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ALICE, BOB, errorOf, httpClient, startGateway } from "../support/gateway.ts";
import { type Body, startOn, startTidemark } from "../support/harness.ts";
import { responseTo } from "../support/raw-http.ts";

const api = suite("client API");

api("versions, capabilities, push rules and joined rooms are served", async () => {
  await using tidemark = await startGateway();
  const { bob } = tidemark;
  const { versions, unstable_features: features } = await httpClient(tidemark.url, "", "")
    .ask("GET", "/versions")
    .then(({ body }) => body);
  assert.equal(versions, ["r0.6.1", ...Array.from({ length: 9 }, (_, i) => `v1.${i + 1}`)]);
  assert.equal(features, { "org.matrix.msc4033": true });
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

api("a gateway alone serves health, and without tokens and a homeserver nothing else", async () => {
  await using bus = await startTidemark({ roles: ["worker"] });
  await using gateway = await startOn(bus, { roles: ["gateway"] });
  const status = async (path: string) => (await fetch(gateway.httpUrl + path)).status;
  assert.is(await status("/readyz"), 200);
  for (const path of ["/_matrix/client/v3/sync", "/_matrix/app/v1/transactions/1", "/inspect", "/nothing"]) {
    assert.is(await status(path), 404, path);
  }
});

api("every origin is allowed, and a preflight request needs no token", async () => {
  await using tidemark = await startGateway();
  for (const path of ["/v3/sync", "/v3/rooms/x/receipt/m.read/y", "/v3/nothing"]) {
    const response = await fetch(`${tidemark.url}/_matrix/client${path}`, { method: "OPTIONS" });
    assert.is(response.status, 204, path);
    assert.is(response.headers.get("access-control-allow-origin"), "*");
    assert.is(response.headers.get("access-control-allow-methods"), "GET, POST, PUT, DELETE, OPTIONS");
    assert.is(response.headers.get("access-control-allow-headers"), "X-Requested-With, Content-Type, Authorization");
  }
});

api("a homeserver is asked once per token", async () => {
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
    await using tidemark = await startGateway({ homeserver: `http://127.0.0.1:${port}` });
    const whoami = (token: string) => httpClient(tidemark.url, token, "").ask("GET", "/v3/account/whoami");
    for (let i = 0; i < 3; i++) {
      assert.equal((await whoami("good")).body, { user_id: ALICE, device_id: "HS", is_guest: false });
      assert.equal(errorOf(await whoami("bad")), [401, "M_UNKNOWN_TOKEN"]);
    }
    assert.equal(asked, ["Bearer good", "Bearer bad"]);
    assert.equal(errorOf(await whoami("broken")), [503, "M_UNKNOWN"]);
    assert.is((await whoami(tidemark.bob.token)).body.user_id, BOB, "the file has priority");
  } finally {
    homeserver.close();
  }
});

api("a drain answers waiting requests before their timeout", async () => {
  await using tidemark = await startGateway();
  const { alice, bob } = tidemark;
  await tidemark.room(alice, bob);
  const [a, b] = [await alice.sync(), await bob.sync()];
  const waiting = [
    alice.sync({ since: a.next_batch, timeout: 60_000 }),
    bob.sync({ since: b.next_batch, timeout: 60_000 }),
  ];
  const raw = responseTo(
    tidemark.url,
    `GET /_matrix/client/v3/sync?timeout=60000&since=${a.next_batch} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${alice.token}\r\n\r\n`,
  );
  await bob.get("/v3/joined_rooms");
  await tidemark.stop();
  assert.match(await raw, /^HTTP\/1.1 200 .*\r\nconnection: close\r\n/is, "keep-alive ends");
  for (const body of await Promise.all(waiting)) assert.equal(body.rooms, { join: {}, invite: {}, leave: {} });
});

api.run();
