/** docs/asyncapi.yaml, checked with other projects' tools: AsyncAPI's parser, and a JSON Schema validator. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Parser } from "@asyncapi/parser";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { parse } from "yaml";
import { deliver } from "../../examples/demo/homeserver.ts";
import { readExpected, readSession } from "../../examples/demo/session.ts";
import { ask } from "../../examples/demo/verdict.ts";
import { connectBus } from "../../src/bus/client/connection.ts";
import { eventually, message, receipt, startTidemark } from "../support/harness.ts";
import { DescribedMessages, type Description } from "./described-messages.ts";

const FILE = join(import.meta.dirname, "../../docs/asyncapi.yaml");
const RECORDING = join(import.meta.dirname, "../fixtures/synapse-session");
const PARTITIONS = 8;

/** A severity of the parser; lower is worse. */
const WARNING = 1;

const text = await readFile(FILE, "utf8");
const description: Description = parse(text);

const asyncapi = suite("docs/asyncapi.yaml");

asyncapi("is parsed by AsyncAPI's own parser without an error or a warning", async () => {
  const { document, diagnostics } = await new Parser().parse(text);
  const faults = diagnostics.filter(({ severity }) => severity <= WARNING);
  assert.equal(
    faults.map(({ message, path }) => `${path.join(".")}: ${message}`),
    [],
  );
  assert.is(document?.version(), "3.0.0");
  const operations = document?.operations().all() ?? [];
  assert.ok(operations.length > 0);
  assert.equal(
    operations
      .filter((operation) => operation.isReceive() && operation.reply() === undefined)
      .map((operation) => operation.id()),
    [],
    "every request and every query has a reply",
  );
});

asyncapi("has examples that its schemas accept", () => {
  const messages = new DescribedMessages(description);
  for (const [name, { examples }] of Object.entries(description.components.messages)) {
    assert.ok(examples.length > 0, name);
    for (const { payload } of examples) assert.ok(messages.accepts(name, payload), name);
  }
});

asyncapi("has schemas that refuse invalid messages", () => {
  const messages = new DescribedMessages(description);
  const receipt = { user_id: "@a:a.org", receipt_type: "m.read", event_id: "$1" };
  assert.ok(messages.accepts("receiptRequest", receipt));
  assert.not(messages.accepts("receiptRequest", { ...receipt, user_id: "a" }));
  assert.not(messages.accepts("receiptRequest", { ...receipt, receipt_type: "m.unread" }));
  assert.not(messages.accepts("receiptRequest", { ...receipt, ts: "now" }));
  assert.not(messages.accepts("receiptRequest", [receipt, {}]));
  assert.not(messages.accepts("ordersQuestion", { op: "order", event_ids: [] }));
  assert.not(messages.accepts("events", { v: 2, room_id: "!r:a.org", position: 1, previous: 0, events: [] }));
});

asyncapi("describes every message that the demo sends and receives", async () => {
  await using tidemark = await startTidemark({ partitions: PARTITIONS });
  const messages = new DescribedMessages(description);
  tidemark.nc.subscribe(">", {
    callback: (error, { subject, data, reply }) => {
      if (error === null) messages.see(subject, data, reply);
    },
  });
  await tidemark.nc.flush();
  const session = await readSession(RECORDING, 0);
  const expected = await readExpected(RECORDING);
  const nc = await connectBus({ url: tidemark.url, name: "the demo" });
  try {
    const last = await deliver(nc, { deliveries: session.deliveries, partitions: PARTITIONS, onReply: () => {} });
    await ask(nc, { session, expected, last });
    // The session has no receipt that is rejected.
    await tidemark.sent("event", "!rejecting:bench.test", message("$1"));
    await tidemark.sent("receipt", "!rejecting:bench.test", receipt("@a:bench.test", "$1", { thread_id: "$2" }));
  } finally {
    await nc.close();
  }
  await eventually(async () => (messages.counts.rejected ?? 0) > 0, "a rejection is published");
  await tidemark.nc.flush();
  assert.equal(messages.faults.slice(0, 5), []);
  const {
    stored,
    eventRequest,
    receiptRequest,
    snapshotAnswer,
    snapshotQuestion,
    ordersAnswer,
    ordersQuestion,
    ...published
  } = messages.counts;
  assert.is(stored, session.deliveries.length + 2, "with the event and the receipt of this test");
  assert.is(eventRequest! + receiptRequest!, stored);
  assert.is(snapshotAnswer, snapshotQuestion);
  assert.is(ordersAnswer, ordersQuestion);
  assert.equal(Object.keys(published).sort(), ["events", "private", "receipts", "rejected"]);
});

asyncapi.run();
