/** The memory of a gateway whose clients all read at once a room that takes much more of it than it has bytes. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { RawClient } from "../../bench/gateway/raw-client.ts";
import { runCli, startArgs } from "../support/cli-process.ts";
import { member } from "../support/federation.ts";
import { message, startBus, startOn } from "../support/harness.ts";

const ROOM = "!busy:a.org";
const CLIENTS = 24;
/** As many as a timeline shows. */
const EVENTS = 10;
/** Each is one byte of MessagePack, three of JSON, and decoded some sixty bytes. */
const VALUES_PER_EVENT = 20_000;
/** All timelines, decoded, take more. */
const HEAP_MIB = 192;

const user = (n: number) => `@u${n}:a.org`;

const busy = suite("busy clients");

busy("of a room whose events take sixty times their bytes are answered, and the gateway lives", async () => {
  await using bus = await startBus();
  await using _tidemark = await startOn(bus, { roles: ["ingress", "worker"] });
  const all = Array.from({ length: CLIENTS }, (_, n) => n);
  const users = join(bus.dir, "users.json");
  await writeFile(users, JSON.stringify(Object.fromEntries(all.map((n) => [`token${n}`, { user_id: user(n) }]))));
  await using gateway = runCli(startArgs(bus, "--roles", "gateway", "--users", users), {
    NODE_OPTIONS: `--max-old-space-size=${HEAP_MIB}`,
  });
  const { http } = await gateway.ready;
  await bus.sent(
    "state",
    ROOM,
    all.map((n) => member(user(n))),
  );
  const content = { list: Array.from({ length: VALUES_PER_EVENT }, () => ({})) };
  for (let n = 0; n < EVENTS; n++) await bus.sent("event", ROOM, message(`$${n}`, { sender: user(0), content }));
  const answers = all.map(async (n) => {
    const client = await RawClient.open(http, `token${n}`);
    const { status, body } = await client.ask("GET", "/v3/sync");
    client.close();
    return [status, Array.from(body.matchAll(/"event_id":"(\$\d+)"/g), ([, id]) => id)];
  });
  const timeline = Array.from({ length: EVENTS }, (_, n) => `$${n}`);
  for (const answer of await Promise.all(answers)) assert.equal(answer, [200, timeline]);
  assert.is((await fetch(`${http}/readyz`)).status, 200);
});

busy.run();
