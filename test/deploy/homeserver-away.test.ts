/** A homeserver that was away for a while: what clients and an operator see, as docs/operations.md#the-homeserver-was-away says. */
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Role, start } from "../../src/start.ts";
import { BASE, type Body, eventually, message, metricsOf, servedOn, startBus } from "../support/harness.ts";
import { logged } from "../support/logged.ts";
import { startMarkedHomeserver } from "../support/marked-homeserver.ts";
import { push, REGISTRATION } from "../support/pushing-homeserver.ts";

const ROOM = "!room:a.org";
const ALICE = "@alice:a.org";

const away = suite("a homeserver that was away");

away("is answered for with 502, makes nothing unready, and is caught up with by itself", async () => {
  await using bus = await startBus();
  await using homeserver = await startMarkedHomeserver();
  const { log, lines } = logged();
  const running = await start({
    ...servedOn(bus),
    data: join(bus.dir, "proxy"),
    metrics: { host: "127.0.0.1", port: 0 },
    roles: new Set<Role>(["ingress", "worker", "proxy"]),
    homeserver: homeserver.url,
    registration: REGISTRATION,
    imports: 0,
    log,
  });
  await using _running = { [Symbol.asyncDispose]: running.stop };
  const says = (words: string) => lines.some(({ msg }) => msg === words);
  const request = async () => {
    const headers = { authorization: `Bearer ${ALICE}` };
    return (await fetch(`${running.httpUrl}/_matrix/client/v3/sync?since=c`, { headers })).status;
  };
  const figure = async (name: string) => {
    const [, value] = (await metricsOf(running))
      .split("\n")
      .find((line) => line.startsWith(`${name} `))!
      .split(" ");
    return Number(value);
  };
  const READ = 'tidemark_proxy_marker_syncs_total{outcome="read"}';
  const markerOf = async () => {
    const { receipts }: Body = await bus.query(ROOM, { op: "snapshot" });
    return Object.keys(receipts).find((id) => receipts[id]["m.read"]?.[ALICE] !== undefined);
  };
  const transaction = (id: string) => ({ events: [{ ...message(id), room_id: ROOM }] });

  assert.is((await push(running, 1, transaction("$1"))).status, 200);
  assert.is(await request(), 200);
  await eventually(async () => (await figure(READ)) >= 1, "her markers were read");

  const before = await figure(READ);
  await homeserver.stop();
  // The first may still meet a connection that was cut off; the second finds nobody who listens.
  for (let i = 0; i < 2; i++) assert.is(await request(), 502);
  assert.ok((await figure("tidemark_proxy_failed_total")) >= 1);
  assert.ok(says("a request to the homeserver failed"));
  for (const path of ["/healthz", "/readyz"]) assert.is((await fetch(running.httpUrl + path)).status, 200);
  assert.is((await bus.query(ROOM, { op: "orders", event_ids: ["$1"] })).orders.$1, BASE + 1, "Tidemark is served");
  homeserver.set({ user: ALICE, room: ROOM, type: "m.read", event: "$2" });

  await homeserver.start();
  assert.is((await push(running, 2, transaction("$2"))).status, 200);
  assert.is(await request(), 200);
  await eventually(() => says("the homeserver can be reached again"), "the log says so");
  await eventually(async () => (await markerOf()) === "$2", "what she read meanwhile is known");
  assert.ok((await figure(READ)) > before);
  assert.is((await bus.query(ROOM, { op: "orders", event_ids: ["$2"] })).orders.$2, BASE + 2);
});

away.run();
