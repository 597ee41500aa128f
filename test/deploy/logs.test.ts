/** What the roles log at level `info`, for valid and invalid traffic: enough to see what happens, and no user id. */
import { join } from "node:path";
import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { serverName } from "../../src/matrix/ids.ts";
import { ROLES, type Role, start, type Tidemark } from "../../src/start.ts";
import { member } from "../support/federation.ts";
import { type BusHarness, decoded, eventually, message, pack, receipt, startBus, token } from "../support/harness.ts";
import { push, REGISTRATION } from "../support/pushing-homeserver.ts";

const ROOM = "!room:a.org";
/** Matches every user id below. */
const USERS = /secretuser/;
const [ME, YOU, THEM] = ["@secretuser1:a.org", "@secretuser2:a.org", "@secretuser3:b.org"] as const;

interface Logged extends AsyncDisposable {
  readonly lines: readonly string[];
  run(name: string, roles?: readonly Role[]): Promise<Tidemark>;
}

function startLogged(bus: BusHarness): Logged {
  const lines: string[] = [];
  const running: Tidemark[] = [];
  return {
    lines,
    run: async (name, roles = ROLES) => {
      const tidemark = await start({
        nats: bus.url,
        data: join(bus.dir, name),
        http: { host: "127.0.0.1", port: 0 },
        roles: new Set(roles),
        partitions: 2,
        registration: REGISTRATION,
        federation: { serverNames: [serverName.parse("a.org")], windowMs: 0 },
        log: pino({ level: "info" }, { write: (line) => lines.push(line) }),
      });
      running.push(tidemark);
      return tidemark;
    },
    [Symbol.asyncDispose]: async () => {
      for (const tidemark of running) await tidemark.stop();
    },
  };
}

const isServed = (bus: BusHarness) =>
  bus.nc.request(`tidemark.query.${token(ROOM)}`, pack({ op: "orders", event_ids: [] }), { timeout: 500 }).then(
    ({ data }) => decoded(data).ok,
    () => false,
  );

const says = ({ lines }: Logged, text: string) => lines.some((line) => line.includes(text));

/** Sends each kind of entry, valid and invalid, from each kind of sender. */
async function traffic(bus: BusHarness, gateway: Tidemark): Promise<void> {
  await bus.sent("state", ROOM, [member(ME), member(YOU), member(THEM)]);
  await bus.sent("event", ROOM, [message("$1", { sender: ME }), message("$1", { sender: ME })]);
  for (const type of ["m.read", "m.read.private", "m.fully_read"]) {
    await bus.sent("receipt", ROOM, receipt(ME, "$1", { receipt_type: type }));
  }
  for (let i = 0; i < 20; i++) await bus.sent("receipt", ROOM, receipt(YOU, `$unknown${i}`));
  await bus.sent("receipt", ROOM, receipt(ME, "$1", { thread_id: "$wrong" }));
  await bus.send("receipt", ROOM, receipt(`${ME} `, "$1", { receipt_type: "m.other" }));
  await bus.send("receipt", ROOM, [receipt(ME, "no event"), { user_id: ME, nothing: YOU }]);
  await bus.send("event", ROOM, { ...message("$2", { sender: ME }), origin_server_ts: ME });
  await bus.send("edu", "b.org", {
    [ROOM]: {
      "m.read": {
        [THEM]: { event_ids: ["$1"], data: { ts: 1 } },
        [ME]: { event_ids: ["$1"], data: { ts: 1 } },
        "@secretuser4:b.org": { event_ids: ["$1"], data: { ts: 1 } },
      },
    },
  });
  bus.nc.publish("tidemark.in.receipt.@secretuser1:a", "{");
  bus.nc.publish(`tidemark.in.receipt.${token(ROOM)}`, pack(receipt(ME, "$1")), { reply: `tidemark.log.0.${ME}` });
  await bus.request("tidemark.query.%40secretuser1:a", pack({ op: "unread", user_id: ME }));
  await bus.request(`tidemark.query.${token(ME)}`, pack({ op: "unread", user_id: ME, [YOU]: THEM }));
  await bus.query(ROOM, { op: "read", user_id: `${ME} `, event_ids: [ME] });
  for (const [i, body] of [
    { events: [{ ...message("$3", { sender: ME }), room_id: ROOM }, { sender: YOU }, ME] },
    { events: [{ ...message("$4", { sender: ME, origin_server_ts: ME }), room_id: ROOM }] },
    {
      ephemeral: [{ type: "m.receipt", room_id: ROOM, content: { $1: { "m.read": { [ME]: ME, [YOU]: { ts: 2 } } } } }],
    },
    { events: ME },
    `{"${ME}`,
  ].entries()) {
    await push(gateway, i + 1, body);
  }
}

const logs = suite("logs at level info");

logs("name no user in valid or invalid traffic, a failover, a broker restart or an unreadable record", async () => {
  await using bus = await startBus();
  await using logged = startLogged(bus);
  const first = await logged.run("first");
  const second = await logged.run("second", ["worker"]);
  await traffic(bus, first);

  // Another worker has all leases for a moment.
  const leases = await bus.nc.jetstream().views.kv("tidemark_leases");
  for (const partition of [0, 1]) {
    await leases.put(
      `partition.${partition}`,
      JSON.stringify({ v: 1, worker: "other", session: "other", lineage: "", fold: 0 }),
    );
  }
  await eventually(() => says(logged, "the lease of a partition ran out"), "a lease is lost");
  await leases.delete("partition.0");
  await leases.delete("partition.1");
  await eventually(() => isServed(bus), "the room is served again");
  await second.stop();
  await bus.restartBroker();
  await eventually(() => says(logged, "the broker is reached again"), "a reconnect");
  await eventually(() => isServed(bus), "the room is served again");
  await traffic(bus, first);

  await bus.nc.jetstream().publish(`tidemark.log.0.${token(ROOM)}`, JSON.stringify({ [ME]: YOU }));
  await eventually(() => says(logged, "the log has what is no entry"), "the stray is passed over");
  await bus.nc.jetstream().publish(`tidemark.log.0.${token(ROOM)}`, pack([99, 1, [ME, YOU]]));
  await eventually(() => says(logged, "a partition has failed"), "the record can't be read");
  assert.ok(says(logged, "parts of transactions are not stored"), "malformed parts are logged");
  assert.equal(
    logged.lines.filter((line) => USERS.test(line)),
    [],
  );
});

logs.run();
