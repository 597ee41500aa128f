import { pino } from "pino";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { start } from "../../src/start.ts";
import {
  eventually,
  message,
  receipt,
  servedOn,
  startOn,
  startTidemark,
  type TidemarkHarness,
} from "../support/harness.ts";

const ROOM = "!metrics-room:a.org";

/** Returns samples by name and labels, as written in the response. */
async function samples(tidemark: TidemarkHarness): Promise<Map<string, number>> {
  const lines = (await tidemark.metrics()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ")))]),
  );
}

const metrics = suite("metrics");

metrics("count accepted and refused requests, outcomes, deltas, and the states of partitions", async () => {
  await using tidemark = await startTidemark({ partitions: 2 });
  await tidemark.sent("event", ROOM, [message("$1"), message("$2")]);
  await tidemark.sent("receipt", ROOM, receipt("@metrics-user:a.org", "$2"));
  await tidemark.sent("receipt", ROOM, receipt("@metrics-user:a.org", "$unknown"));
  await tidemark.send("event", ROOM, { no: "event" });
  const partition = tidemark.partitionOf(ROOM);
  await eventually(
    async () => (await samples(tidemark)).get(`tidemark_held_receipts{partition="${partition}"}`) === 1,
    "the last receipt is held",
  );

  const found = await samples(tidemark);
  assert.is(found.get("tidemark_ingress_record_entries_sum"), 4);
  assert.is(found.get("tidemark_ingress_append_seconds_count"), found.get("tidemark_ingress_record_entries_count"));
  assert.is(found.get('tidemark_ingress_refused_total{errcode="M_INVALID_PARAM"}'), 1);
  assert.is(found.get('tidemark_folded_total{outcome="ordered"}'), 2);
  assert.is(found.get('tidemark_folded_total{outcome="advanced"}'), 1);
  assert.is(found.get('tidemark_folded_total{outcome="held"}'), 1);
  assert.is(found.get(`tidemark_lag_records{partition="${partition}"}`), 0);
  assert.is(found.get(`tidemark_rooms_active{partition="${partition}"}`), 1);
  assert.is(found.get(`tidemark_partition_state{partition="${partition}",state="live"}`), 1);
  assert.is(found.get(`tidemark_partition_state{partition="${partition}",state="failed"}`), 0);
  assert.is(found.get("tidemark_partitions_failed"), 0);
  const leases = ["claimed", "handed_over", "lost"].map((change) => `tidemark_lease_changes_total{change="${change}"}`);
  assert.equal(
    leases.map((name) => found.get(name)),
    [2, 0, 0],
  );
  assert.is(found.get("tidemark_bus_reconnects_total"), 0);
  await eventually(
    async () => ((await samples(tidemark)).get("tidemark_published_total") ?? 0) >= 2,
    "deltas are published",
  );
});

metrics("of how long things take count requests, questions, deltas, answers and checkpoints", async () => {
  await using tidemark = await startTidemark({ partitions: 1 });
  await tidemark.sent("event", ROOM, [message("$1"), message("$2")]);
  await tidemark.sent("receipt", ROOM, receipt("@metrics-user:a.org", "$2"));
  await tidemark.query(ROOM, { op: "orders", event_ids: ["$1"] });
  await tidemark.query(ROOM, { op: "none" });
  await fetch(`${tidemark.httpUrl}/_matrix/client/versions`);
  await fetch(`${tidemark.httpUrl}/nothing`);
  const counts = async () => {
    const found = await samples(tidemark);
    return (name: string) => found.get(`tidemark_${name}`) ?? Number.NaN;
  };
  await eventually(async () => {
    const count = await counts();
    return count("append_to_delta_seconds_count") >= 1 && count("checkpoint_seconds_count") >= 1;
  }, "deltas are published, and a checkpoint is written");
  const count = await counts();
  assert.is(count("ingress_request_seconds_count"), count("ingress_record_entries_count"));
  assert.ok(count("query_seconds_count") >= 2);
  assert.is(
    count('query_refused_total{errcode="M_BAD_JSON"}') || count('query_refused_total{errcode="M_INVALID_PARAM"}'),
    1,
  );
  assert.ok(count('http_answers_total{status="4xx"}') >= 1);
  assert.ok(count('http_request_seconds_count{kind="other"}') >= 1);
  assert.is(count("bus_connected"), 1);
  assert.ok(count('store_bytes{partition="0"}') > 0);
  assert.is(count('federation_waiting{partition="0"}'), 0);
  await eventually(async () => (await counts())('unpublished_seconds{partition="0"}') === 0, "nothing waits");
});

metrics("name no room, user or server", async () => {
  await using tidemark = await startTidemark();
  await tidemark.sent("event", ROOM, message("$1"));
  await tidemark.sent("receipt", ROOM, receipt("@metrics-user:a.org", "$1"));
  const text = await tidemark.metrics();
  assert.not.match(text, /metrics-room|metrics-user|a\.org/);
});

metrics("have an address of their own, and are not where clients ask", async () => {
  await using tidemark = await startTidemark();
  for (const path of ["/metrics", "/metrics/", "//metrics"]) {
    assert.is((await fetch(`${tidemark.httpUrl}${path}`)).status, 404, path);
  }
  const without = await start({ ...servedOn(tidemark), roles: new Set(["gateway"]), log: pino({ level: "silent" }) });
  assert.is(without.metricsUrl, undefined);
  await without.stop();
  const gateway = await startOn(tidemark, { roles: ["gateway"] });
  const { status, headers } = await fetch(`${gateway.metricsUrl}/metrics`);
  await gateway.stop();
  assert.is(status, 200);
  assert.match(headers.get("content-type")!, /^text\/plain; version=0\.0\.4/);
});

metrics("count a reconnect after a restart of the broker", async () => {
  await using tidemark = await startTidemark();
  await tidemark.restartBroker();
  await eventually(async () => (await samples(tidemark)).get("tidemark_bus_reconnects_total")! > 0, "reconnected");
});

metrics.run();
