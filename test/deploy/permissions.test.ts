/** The permissions of each user of `nats.conf`: what its role needs is allowed, and what it must not do is refused. */
import { setTimeout as delay } from "node:timers/promises";
import type { NatsConnection } from "nats";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { LIMIT_MS } from "../support/harness.ts";
import { type NatsCluster, startNatsCluster, type User } from "../support/nats-cluster.ts";

const ROOM = "!room:a";

/** A subject of the log. `nats.conf` has wildcards for partition and room, so one subject stands for all. */
const LOG = `tidemark.log.0.${ROOM}`;
const DESTRUCTIVE = ["DELETE", "PURGE", "UPDATE", "MSG.DELETE", "SNAPSHOT", "RESTORE", "LEADER.STEPDOWN"].map(
  (verb) => `$JS.API.STREAM.${verb}.TIDEMARK_LOG_0`,
);
const READ_LOG = [
  "$JS.API.STREAM.MSG.GET.TIDEMARK_LOG_0",
  "$JS.API.DIRECT.GET.TIDEMARK_LOG_0",
  "$JS.API.CONSUMER.CREATE.TIDEMARK_LOG_0.mine",
  "$JS.API.CONSUMER.DURABLE.CREATE.TIDEMARK_LOG_0.mine",
  "$JS.API.CONSUMER.MSG.NEXT.TIDEMARK_LOG_0.theirs",
];
const MAKE = [
  "$JS.API.STREAM.CREATE.MINE",
  "$KV.tidemark.partitions",
  "$KV.tidemark_leases.partition.0",
  "$KV.tidemark_published.partition.0",
  "$KV.tidemark_archive.partition.0",
];
const TRANSACTIONS = ["$KV.tidemark_transactions.x", "$JS.API.STREAM.MSG.GET.KV_tidemark_transactions"];
const KEYS = ["$KV.tidemark_keys.x", "$JS.API.STREAM.MSG.GET.KV_tidemark_keys"];
/** What the accounts of readers import for their mirrors, and Tidemark's account for the workers that make them. */
const MIRRORS = [
  "TIDEMARK.JS.API.CONSUMER.CREATE.TIDEMARK_DELTAS_0",
  "TIDEMARK.DELIVER.EDGE.x",
  "EDGE.JS.API.STREAM.CREATE.MINE",
  "FEDERATION.JS.API.STREAM.DELETE.TIDEMARK_FEDERATION_0",
];
const CURSORS = ["$KV.tidemark_federation.b", "$JS.API.STREAM.MSG.GET.KV_tidemark_federation"];
const DELTAS = [`tidemark.client.0.${ROOM}.receipts`, "tidemark.user.0.%40a:a.receipts", "tidemark.federation.0.b"];
const INBOXES: readonly User[] = ["homeserver", "ingress", "worker", "frontend", "gateway", "federation"];

/** Of the system account: who is connected, and a server's end. */
const SYSTEM = ["$SYS.REQ.SERVER.PING", "$SYS.REQ.ACCOUNT.TIDEMARK.CONNZ", "$SYS.REQ.SERVER.X.RELOAD"];
/** An operator's question to all processes. */
const STATUS = "tidemark.status";
const OTHERS_CONSUMERS = ["DELETE", "PAUSE"].map((verb) => `$JS.API.CONSUMER.${verb}.TIDEMARK_DELTAS_0.theirs`);

/** Allowed only for the roles of Tidemark itself. */
const LOG_AND_STREAMS = [LOG, ...DELTAS, ...READ_LOG, ...DESTRUCTIVE, ...MAKE, ...MIRRORS];

interface Rights {
  readonly publishes: readonly string[];
  readonly publishesNot: readonly string[];
  readonly subscribes: readonly string[];
  readonly subscribesNot: readonly string[];
}

const READER_NOT = {
  publishesNot: [...LOG_AND_STREAMS, ...OTHERS_CONSUMERS, "tidemark.owner.0.x", "tidemark.published.0"],
  subscribesNot: [
    "tidemark.in.>",
    "tidemark.log.>",
    "tidemark.federation.>",
    "tidemark.query.*",
    "tidemark.rejected.>",
  ],
};

const RIGHTS: Record<Exclude<User, "admin" | "system">, Rights> = {
  homeserver: {
    publishes: [
      `tidemark.in.event.${ROOM}`,
      `tidemark.in.history.${ROOM}`,
      `tidemark.in.backfill.${ROOM}`,
      "tidemark.in.edu.a",
    ],
    publishesNot: [...LOG_AND_STREAMS, ...TRANSACTIONS, ...CURSORS, "$JS.API.INFO", `tidemark.query.${ROOM}`],
    subscribes: [],
    subscribesNot: ["tidemark.in.>", "tidemark.log.>", "tidemark.client.>", "tidemark.user.>", "tidemark.federation.>"],
  },
  ingress: {
    publishes: [LOG, `tidemark.query.${ROOM}`, "$JS.API.INFO", "$JS.API.STREAM.INFO.KV_tidemark"],
    publishesNot: [
      ...DELTAS,
      ...READ_LOG,
      ...DESTRUCTIVE,
      ...MAKE,
      ...MIRRORS,
      ...TRANSACTIONS,
      ...KEYS,
      ...CURSORS,
      `tidemark.in.event.${ROOM}`,
    ],
    subscribes: ["tidemark.in.event.* tidemark-ingress", STATUS],
    // Outside of the queue group it would process every request a second time.
    subscribesNot: [
      "tidemark.in.event.*",
      "tidemark.log.>",
      "tidemark.client.>",
      "tidemark.user.>",
      "tidemark.query.*",
    ],
  },
  worker: {
    publishes: [
      ...DELTAS,
      "$JS.API.STREAM.CREATE.TIDEMARK_LOG_0",
      "$JS.API.CONSUMER.CREATE.TIDEMARK_LOG_0.mine",
      "EDGE.JS.API.STREAM.CREATE.TIDEMARK_DELTAS_0",
    ],
    publishesNot: [
      LOG,
      ...DESTRUCTIVE,
      "$KV.tidemark_transactions.x",
      "$KV.tidemark_federation.b",
      "$KV.tidemark_keys.x",
      "EDGE.JS.API.STREAM.PURGE.TIDEMARK_DELTAS_0",
      "EDGE.JS.API.STREAM.MSG.GET.KV_tidemark_keys",
      `tidemark.in.event.${ROOM}`,
      `tidemark.query.${ROOM}`,
    ],
    subscribes: ["tidemark.query.* tidemark-query", "tidemark.owner.0.*", STATUS],
    subscribesNot: ["tidemark.in.>", "tidemark.log.>", "tidemark.client.>", "tidemark.user.>", "tidemark.federation.>"],
  },
  frontend: {
    publishes: [`tidemark.in.receipt.${ROOM}`, `tidemark.query.${ROOM}`, "$JS.API.CONSUMER.CREATE.TIDEMARK_DELTAS_7.x"],
    publishesNot: [
      ...READER_NOT.publishesNot,
      ...TRANSACTIONS,
      ...KEYS,
      "$JS.API.CONSUMER.CREATE.KV_tidemark_keys.x",
      "$JS.API.DIRECT.GET.KV_tidemark_keys",
      ...CURSORS,
      `tidemark.in.event.${ROOM}`,
      "tidemark.in.edu.a",
      "$JS.API.STREAM.PURGE.TIDEMARK_DELTAS_0",
      "$JS.API.STREAM.MSG.DELETE.TIDEMARK_DELTAS_0",
      "$JS.API.STREAM.MSG.GET.TIDEMARK_FEDERATION_0",
      // More than eight partitions need more lines (docs/operations.md).
      "$JS.API.CONSUMER.CREATE.TIDEMARK_DELTAS_8.x",
    ],
    subscribes: ["tidemark.client.>", "tidemark.user.*.%40a:a.receipts"],
    subscribesNot: [...READER_NOT.subscribesNot, STATUS],
  },
  gateway: {
    publishes: [
      `tidemark.in.event.${ROOM}`,
      `tidemark.query.${ROOM}`,
      "$JS.API.CONSUMER.CREATE.TIDEMARK_DELTAS_0.x",
      ...TRANSACTIONS,
      ...KEYS,
    ],
    publishesNot: [...READER_NOT.publishesNot, ...CURSORS, "$JS.API.STREAM.PURGE.KV_tidemark_transactions"],
    subscribes: ["tidemark.client.>", "tidemark.user.>", STATUS],
    subscribesNot: READER_NOT.subscribesNot,
  },
  federation: {
    publishes: [
      ...CURSORS,
      "$JS.API.STREAM.MSG.GET.KV_tidemark",
      "$JS.API.STREAM.MSG.GET.TIDEMARK_FEDERATION_0",
      "$JS.API.CONSUMER.MSG.NEXT.TIDEMARK_FEDERATION_3.sender",
      "$JS.ACK.TIDEMARK_FEDERATION_3.sender.1.1.1.1.1",
    ],
    publishesNot: [
      ...LOG_AND_STREAMS,
      `tidemark.in.receipt.${ROOM}`,
      `tidemark.query.${ROOM}`,
      ...TRANSACTIONS,
      ...KEYS,
      // It would deliver to any subject that its creator chooses.
      "$JS.API.CONSUMER.CREATE.TIDEMARK_FEDERATION_3.mine",
      "$JS.API.CONSUMER.DURABLE.CREATE.TIDEMARK_FEDERATION_3.mine",
      "$JS.API.STREAM.MSG.GET.TIDEMARK_DELTAS_0",
      "$JS.API.STREAM.MSG.GET.KV_tidemark_leases",
    ],
    subscribes: ["tidemark.federation.0.b"],
    subscribesNot: [
      STATUS,
      "tidemark.in.>",
      "tidemark.log.>",
      "tidemark.client.>",
      "tidemark.user.>",
      "tidemark.query.*",
    ],
  },
};

/** Collects what the server refuses to this connection. */
function refusals(nc: NatsConnection): Set<string> {
  const found = new Set<string>();
  void (async () => {
    for await (const { permissionContext } of nc.status()) {
      if (permissionContext !== undefined) found.add(`${permissionContext.operation} ${permissionContext.subject}`);
    }
  })();
  return found;
}

async function settled(nc: NatsConnection): Promise<void> {
  await nc.flush(); // The server answers in order.
  await delay(0); // An iterator's values come a turn later.
}

async function assertRights(cluster: NatsCluster, user: keyof typeof RIGHTS): Promise<void> {
  const nc = await cluster.connect(user);
  const refused = refusals(nc);
  const { publishes, subscribes, subscribesNot } = RIGHTS[user];
  const publishesNot = [...RIGHTS[user].publishesNot, ...SYSTEM, STATUS];
  const inboxes = INBOXES.filter((other) => other !== user).map((other) => `_INBOX_${other}.>`);
  const mayRead = [...subscribes, `_INBOX_${user}.>`];
  const mayNotRead = [...subscribesNot, ...inboxes, "_INBOX.>", ">", "*", "$SYS.>", "$JS.>", "$JS.EVENT.>", "$KV.>"];

  for (const subject of [...publishes, ...publishesNot]) nc.publish(subject, "{}");
  await settled(nc);
  for (const subject of publishes) assert.is(refused.has(`publish ${subject}`), false, `${user} → ${subject}`);
  for (const subject of publishesNot) assert.ok(refused.has(`publish ${subject}`), `${user} → ${subject}`);

  refused.clear();
  for (const subscription of [...mayRead, ...mayNotRead]) {
    const [subject = "", queue] = subscription.split(" ");
    nc.subscribe(subject, { ...(queue !== undefined && { queue }), callback: () => {} });
    await settled(nc);
    const isRefused = refused.delete(`subscription ${subject}`);
    assert.is(isRefused, mayNotRead.includes(subscription), `${user} ← ${subscription}`);
  }
  await nc.close();
}

const permissions = suite("permissions");

permissions("let each user do what its role needs, and nothing else", async () => {
  await using cluster = await startNatsCluster();
  for (const user of Object.keys(RIGHTS) as (keyof typeof RIGHTS)[]) await assertRights(cluster, user);
});

permissions("let nobody connect without a password or with a wrong one", async () => {
  await using cluster = await startNatsCluster();
  const refused = async (options: Record<string, unknown>) =>
    cluster.connect("worker", { maxReconnectAttempts: 0, timeout: LIMIT_MS, ...options }).then(
      async (nc) => {
        await nc.close();
        return "connected";
      },
      (error) => error.code,
    );
  assert.is(await refused({ pass: "wrong" }), "AUTHORIZATION_VIOLATION");
  assert.is(await refused({ user: undefined, pass: undefined }), "AUTHORIZATION_VIOLATION");
  assert.is(await refused({ user: "nobody" }), "AUTHORIZATION_VIOLATION");
});

permissions.run();
