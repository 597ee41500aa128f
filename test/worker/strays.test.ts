/** What the log has and is no record, or no entry. Only ingress may write there, but a mistake must not stop a partition. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { encode } from "../../src/bus/contract/codec.ts";
import { live } from "../support/entries.ts";
import { BASE, message, startTidemark, token } from "../support/harness.ts";

const ROOM = "!strays:a.org";

const strays = suite("strays");

// I23, E23
strays("are noted, counted and passed over, and their neighbours are ordered, also after a restart", async () => {
  await using tidemark = await startTidemark({ partitions: 1 });
  const ordersOf = async (...ids: string[]) =>
    Object.values((await tidemark.query(ROOM, { op: "orders", event_ids: ids })).orders);
  await tidemark.sent("event", ROOM, message("$1"));
  const js = tidemark.nc.jetstream();
  const subject = `tidemark.log.0.${token(ROOM)}`;
  await js.publish("tidemark.log.0.x", encode([1, 1, [live("$0")]]));
  for (const stray of [
    Buffer.from("text"),
    encode("text"),
    encode([1, "now", []]),
    encode([1, 1, []]),
    encode([1, 1, [[2, "@u:a.org"]]]),
    new Uint8Array(),
  ]) {
    await js.publish(subject, stray);
  }
  await js.publish(subject, encode([1, 5, [live("$2"), [99, "no entry"], live("$3")]]));
  await tidemark.sent("event", ROOM, message("$4"));
  assert.equal(await ordersOf("$1", "$2", "$3", "$4"), [BASE + 1, BASE + 2, BASE + 3, BASE + 4]);
  const noted = (await tidemark.metrics()).split("\n").find((line) => line.includes('outcome="noted"'));
  assert.match(noted!, / 8$/, noted);
  await tidemark.restart();
  assert.equal(await ordersOf("$1", "$2", "$3", "$4"), [BASE + 1, BASE + 2, BASE + 3, BASE + 4]);
});

strays.run();
