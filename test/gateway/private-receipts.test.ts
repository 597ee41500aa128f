/** That the search for private receipts of others sees every answer, and finds what it looks for. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ALICE, BOB, httpClient, startGateway } from "../support/gateway.ts";
import { ownTokens, privateReceiptsOfOthers, takeLeaks } from "../support/private-receipts.ts";
import { responseTo } from "../support/raw-http.ts";

const PRIVATE = { $1: { "m.read.private": { [BOB]: { ts: 1 } } } };
const EPHEMERAL = { rooms: { join: { "!r": { ephemeral: { events: [{ type: "m.receipt", content: PRIVATE }] } } } } };

const search = suite("search for private receipts");

search("finds those of others, however deep, and none of the own", () => {
  assert.equal(privateReceiptsOfOthers(EPHEMERAL, ALICE), [BOB]);
  assert.equal(privateReceiptsOfOthers([[EPHEMERAL], EPHEMERAL], undefined), [BOB, BOB]);
  assert.equal(privateReceiptsOfOthers(EPHEMERAL, BOB), []);
  assert.equal(privateReceiptsOfOthers({ "m.read.private": "text", other: null }, ALICE), []);
});

search("sees what a leaking server answers, to whatever client", async () => {
  const server = createServer((_, response) => response.end(JSON.stringify(EPHEMERAL))).listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  ownTokens({ "alice-leak": { user_id: ALICE }, "bob-leak": { user_id: BOB } });
  takeLeaks();
  try {
    let failure: unknown;
    await httpClient(url, "alice-leak", ALICE)
      .get("/v3/sync")
      .catch((error: unknown) => {
        failure = error;
      });
    assert.match(String(failure), "private receipts of others");
    await httpClient(url, "bob-leak", BOB).get("/v3/sync");
    await responseTo(url, "GET /_matrix/client/v3/sync?access_token=alice-leak HTTP/1.0\r\n\r\n");
    await fetch(`${url}/_matrix/client/v3/sync`);
    const { leaks, searched } = takeLeaks();
    assert.equal([leaks.length, searched], [3, 4], "Alice's twice, and that of nobody");
    assert.match(leaks[0]!, `GET /_matrix/client/v3/sync: ${BOB}`);
  } finally {
    server.close();
  }
});

search("sees every answer of a gateway, also long polls", async () => {
  await using tidemark = await startGateway();
  const { alice, bob, bob2 } = tidemark;
  const room = await tidemark.room(alice, bob);
  const event = await alice.say(room, "hello");
  const { next_batch: since } = await bob2.sync();
  takeLeaks();
  const polling = bob2.sync({ since, timeout: 30_000 });
  await bob.read(room, event, {}, "m.read.private");
  assert.match(JSON.stringify(await polling), "m.read.private");
  assert.equal(takeLeaks(), { leaks: [], searched: 2 });
});

search.run();
