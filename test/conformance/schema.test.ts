/** The files of the test vectors: that others can read them, and that they say something about every rule. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { vectorFile, vectorSchema } from "../../scripts/conformance/vectors.ts";
import { eventsIn, VECTORS, vectorsOf, vectorTexts } from "../support/vectors.ts";

/** What clients see of a room follows from these; the others are about what a server takes. */
const CLIENT_RULES = ["F2", "F3", "F7", "F8", "F11", "F12", "F13"];

const texts = await vectorTexts();
const server = await vectorsOf("server");
const client = await vectorsOf("client");

const files = suite("the files of the vectors");

files("have the schema that is declared", async () => {
  const written = await readFile(join(VECTORS, "schema.json"), "utf8");
  assert.equal(JSON.parse(written), JSON.parse(JSON.stringify(vectorSchema())), "npm run conformance writes it");
});

files("are accepted by it, and each stands in the folder of its half", () => {
  assert.ok(texts.length > 5);
  for (const [path, text] of texts) {
    const { success, data, error } = vectorFile.safeParse(JSON.parse(text));
    assert.is(success, true, `${path}: ${error?.message}`);
    assert.is(path.split("/", 1)[0], data?.half, path);
  }
});

files("are refused with an unknown field, a wrong name of a rule, or without a source", () => {
  const [, text] = texts[0]!;
  for (const change of [{ more: 1 }, { rules: ["F14"] }, { rules: [] }, { source: "mine" }, { name: "With Spaces" }]) {
    const file = JSON.parse(text);
    Object.assign(file.vectors[0], change);
    assert.is(vectorFile.safeParse(file).success, false, JSON.stringify(change));
  }
});

files("are all described on the page", async () => {
  const page = await readFile(join(VECTORS, "README.md"), "utf8");
  for (const [path] of texts) assert.ok(page.includes(`](${path})`), path);
});

const vectors = suite("the vectors");

vectors("have names of their own", () => {
  const names = [...server, ...client].map(({ name }) => name);
  assert.is(new Set(names).size, names.length);
});

vectors("of servers are about every rule of the fold, those of clients about what clients see", () => {
  const rulesOf = (half: readonly { readonly rules: readonly string[] }[]) =>
    new Set(half.flatMap(({ rules }) => rules));
  for (let rule = 1; rule <= 13; rule++) assert.ok(rulesOf(server).has(`F${rule}`), `F${rule}`);
  for (const rule of CLIENT_RULES) assert.ok(rulesOf(client).has(rule), rule);
});

vectors("expect something", () => {
  const empty = server.filter(({ steps }) => steps.every(({ expect }) => expect === undefined));
  assert.equal(
    empty.map(({ name }) => name),
    [],
  );
});

vectors("expect it of events that they give", () => {
  const named = (value: Readonly<Record<string, object>> | undefined) =>
    Object.values(value ?? {}).flatMap((events) => Object.keys(events));
  for (const { name, steps } of server) {
    const given = new Set(
      steps.flatMap((step) => ("state" in step ? step.state : eventsIn(step))).map((e) => e.event_id),
    );
    for (const { expect = {} } of steps) {
      const orders = Object.values(expect.orders ?? {}).flatMap((ids = []) => ids);
      const receipts = (expect.receipts ?? []).map(({ event_id: id }) => id);
      const events = [...orders, ...receipts, ...named(expect.read), ...Object.keys(expect.threads ?? {})];
      for (const event of events) assert.ok(given.has(event), `${name}: ${event}`);
    }
  }
  for (const { name, given, expect } of client) {
    const known = new Set(given.flatMap((each) => ("event" in each ? [each.event.event_id] : [])));
    for (const event of [...named(expect.read), ...Object.keys(expect.threads ?? {})]) {
      assert.ok(known.has(event), `${name}: ${event}`);
    }
  }
});

vectors("that follow from the proposal don't compare what it leaves open", () => {
  const open = server.filter(({ source, steps }) =>
    steps.some(({ expect: { orders = {}, unread, threads, fully_read } = {} }) => {
      if (source === "tidemark") return false;
      return Boolean(unread ?? threads ?? fully_read ?? orders.ascending ?? orders.consecutive ?? orders.none);
    }),
  );
  assert.equal(
    open.map(({ name }) => name),
    [],
  );
});

vectors("that follow from the proposal give what any homeserver gets", () => {
  const steps = server.flatMap(({ name, source, needs = [], steps }) =>
    source === "tidemark" ? [] : steps.map((step) => ({ name, needs, step })),
  );
  for (const { name, needs, step } of steps) {
    assert.not("state" in step, name);
    if ("event" in step && step.arrives !== "live")
      assert.equal([step.arrives, ...needs], ["backfill", "negative-orders"], name);
    if ("receipt" in step)
      assert.equal([step.receipt.accepted, step.receipt.thread_known], [undefined, undefined], name);
  }
});

files.run();
vectors.run();
