/**
 * A broker without accounts: whoever may ask JetStream for anything can have its answer stored on Tidemark's own subjects
 * (docs/adr/0017-accounts.md). What is stored so is not believed: everybody is served as before, also after a restart.
 */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ROLES } from "../../src/start.ts";
import { type Client, type GatewayHarness, startGateway, syncUntil } from "../support/gateway.ts";
import { type Body, eventually, LIMIT_MS, rejects, token } from "../support/harness.ts";

const PARTITIONS = [0, 1];

/** Where the answers go, but for the partition count. */
const TARGETS = PARTITIONS.flatMap((partition) => [
  `tidemark.log.${partition}.!x:a`,
  `tidemark.log.${partition}.start`,
  `tidemark.log.${partition}.no-room`,
  `tidemark.client.${partition}.!y:a.events`,
  `tidemark.client.${partition}.!y:a.receipts`,
  `tidemark.client.${partition}.!y:a.else`,
  `tidemark.user.${partition}.%40bob:a%2Eorg.receipts`,
  `tidemark.federation.${partition}.b`,
  `tidemark.rejected.${partition}.!x:a`,
  `tidemark.owner.${partition}.!x:a`,
  `tidemark.published.${partition}`,
  `$KV.tidemark_leases.partition.${partition}`,
  `$KV.tidemark_leases.partition.${partition}.else`,
  `$KV.tidemark_leases.worker.x${partition}`,
  `$KV.tidemark_published.partition.${partition}`,
  `$KV.tidemark_archive.partition.${partition}`,
]).concat("$KV.tidemark_keys.sync", "$KV.tidemark_transactions.x", "$KV.tidemark_federation.b", "$KV.tidemark.else");

/** Answers of the broker: an object with what is in a stream, a message, an error, and one without a body. */
const QUESTIONS: readonly (readonly [subject: string, body: string])[] = [
  ["$JS.API.STREAM.INFO.TIDEMARK_FEDERATION_0", ""],
  ["$JS.API.STREAM.MSG.GET.TIDEMARK_LOG_0", '{"seq":1}'],
  ["$JS.API.STREAM.INFO.NONE", ""],
  ["$JS.API.DIRECT.GET.TIDEMARK_LOG_0", '{"seq":1000000}'],
];

async function answerTo({ bus }: GatewayHarness, targets: readonly string[]): Promise<void> {
  for (const reply of targets) {
    for (const [subject, body] of QUESTIONS) bus.nc.publish(subject, body, { reply });
  }
  await bus.nc.flush();
  // The broker answers in the order of the questions.
  await bus.nc.request(QUESTIONS[0]![0], "", { timeout: LIMIT_MS });
}

/** A message and its receipt reach another client, in a room of each partition, once the partitions are owned again. */
async function assertServes(rooms: readonly string[], from: Client, to: Client): Promise<void> {
  const isServed = async () => (await to.ask("GET", "/v3/sync")).status === 200;
  await eventually(isServed, "the partitions are served");
  for (const room of rooms) {
    const { next_batch: since } = await to.sync();
    const event = await from.say(room, "still there?");
    await to.read(room, event, {}, "m.read.private");
    await from.read(room, event);
    const isThere = ({ rooms }: Body) => {
      const section = rooms.join[room];
      return section?.ephemeral.events.some(({ content }: Body) => content[event]?.["m.read"]?.[from.user]);
    };
    const { all } = await syncUntil(to, since, isThere);
    const shown = all.flatMap(({ rooms }) => rooms.join[room]?.timeline.events ?? []);
    assert.is(shown.filter(({ event_id }: Body) => event_id === event).length, 1);
  }
  assert.is((await fetch(`${from.url}/readyz`)).status, 200);
}

/** Makes rooms until each partition has one. */
async function roomPerPartition({ bus, room, alice, bob }: GatewayHarness): Promise<string[]> {
  const rooms = new Map<number, string>();
  while (rooms.size < PARTITIONS.length) {
    const made = await room(alice, bob);
    for (const partition of PARTITIONS) {
      const filter = { subjects_filter: `tidemark.log.${partition}.${token(made)}` };
      const { state } = await bus.jsm.streams.info(`TIDEMARK_LOG_${partition}`, filter);
      if (Object.keys(state.subjects ?? {}).length > 0) rooms.set(partition, made);
    }
  }
  return [...rooms.values()];
}

const account = suite("one account");

account("what the broker answers to Tidemark's subjects stops nobody, nor a restart", async () => {
  await using tidemark = await startGateway();
  const { alice, bob } = tidemark;
  const rooms = await roomPerPartition(tidemark);
  await answerTo(tidemark, TARGETS);
  const log = await tidemark.bus.jsm.streams.info("TIDEMARK_LOG_0", { subjects_filter: ">" });
  assert.ok(log.state.subjects?.["tidemark.log.0.!x:a"], "the trick works");
  await assertServes(rooms, alice, bob);
  await tidemark.stop();

  const { httpUrl } = await tidemark.another(ROLES);
  await assertServes(rooms, tidemark.client("alice-1", httpUrl), tidemark.client("bob-1", httpUrl));
  await tidemark.stop();
});

account("an answer that replaces the partition count is refused, and nobody counts anew", async () => {
  await using tidemark = await startGateway();
  const { alice, bob } = tidemark;
  const rooms = await roomPerPartition(tidemark);
  await answerTo(tidemark, ["$KV.tidemark.partitions", "$KV.tidemark.federation_shards"]);
  await assertServes(rooms, alice, bob);
  await tidemark.stop();
  await rejects(tidemark.another(ROLES), "BUS_MISMATCH");
  const counts = await tidemark.bus.nc.jetstream().views.kv("tidemark");
  await counts.put("partitions", "2");
  await counts.put("federation_shards", "4");
  const { httpUrl } = await tidemark.another(ROLES);
  await assertServes(rooms, tidemark.client("alice-1", httpUrl), tidemark.client("bob-1", httpUrl));
  await tidemark.stop();
});

account.run();
