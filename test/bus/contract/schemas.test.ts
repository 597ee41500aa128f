/**
 * The shapes of all messages of the bus. Older versions, and front-ends in other languages, rely on them, so they
 * change only together with the hashes below.
 */
import { createHash } from "node:crypto";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type * as z from "zod";
import { type Json, jsonSchemaOf } from "../../../scripts/asyncapi/json-schema.ts";
import { ARCHIVE_ROW } from "../../../src/bus/contract/archive-row.ts";
import { deltaHeaders } from "../../../src/bus/contract/delta-headers.ts";
import { instanceReport } from "../../../src/bus/contract/instance.ts";
import { LEASE_ROWS } from "../../../src/bus/contract/lease-rows.ts";
import { MARK_ROW } from "../../../src/bus/contract/mark-row.ts";
import { MESSAGES } from "../../../src/bus/contract/messages.ts";
import { QUESTIONS } from "../../../src/bus/contract/questions.ts";
import { appended, eduReply, refusal } from "../../../src/bus/contract/replies.ts";
import { REQUESTS } from "../../../src/bus/contract/requests.ts";

const HASHES: Readonly<Record<string, string>> = {
  reply: "0c09273a5f4ce579",
  "reply edu": "cfca38447e102a7f",
  refusal: "77b956f572ad39be",
  "mark row": "a7e33b49da421a40",
  "archive row": "b1cd4a498310b27e",
  "delta headers": "9619687b4a9dcb79",
  instance: "a396521668d0ed95",
  "request event": "61a7b187ba87654b",
  "request history": "378605c1aaafb0dc",
  "request backfill": "378605c1aaafb0dc",
  "request state": "9481bede342a5139",
  "request receipt": "000251b5ebb28755",
  "request edu": "6e627e0ac302c7b7",
  "question snapshot": "1bb712a14cbd27f9",
  "answer snapshot": "60f13fa7754ba528",
  "question orders": "f9bcb2c2f6ed4bf2",
  "answer orders": "355070354e577c1c",
  "question told": "7387a471dae03f13",
  "answer told": "1bec268b70299c2f",
  "question event": "3c72e5bb408ebb2e",
  "answer event": "7df07c6502cb29d2",
  "question read": "cdb105be79c84459",
  "answer read": "0a0e1ab219009d2a",
  "question unread": "6b1ba9396cfd0983",
  "answer unread": "92c0117800f67200",
  "question threads": "0657f7eac6ed6c98",
  "answer threads": "d0872622ac94f015",
  "question state": "129608f0d079ce8d",
  "answer state": "3401c794d36054bb",
  "question state_json": "2fa0e7b4e4ee9b4b",
  "answer state_json": "04be20ee519932c2",
  "question events": "2e4f7829ca77f788",
  "answer events": "0aa1c1d1f939c1dc",
  "question aggregations": "2b481b8a60cfd172",
  "answer aggregations": "0c952ff79a9414cb",
  "question roots": "8beb99cfcc614072",
  "answer roots": "0aa1c1d1f939c1dc",
  "question summary": "f217b029b554e4ea",
  "answer summary": "6ea1eeb593067804",
  "question rooms": "f013b6039a4b2bd0",
  "answer rooms": "26a4a240e5b53d10",
  "question changed": "45b9aa9713b781ce",
  "answer changed": "c3320d055de22178",
  "message events": "bc9884208a9f02db",
  "message receipts": "abf77eb11c729688",
  "message private": "24580496c990487f",
  "message federation": "106292b55a5a2333",
  "message rejected": "5dab55031718a385",
  "message published": "c4a85f66cd130f96",
  "lease row worker": "6061993ac2fb4247",
  "lease row lease": "c13e3da2136a5cbe",
  "lease row release": "f227624381b4fdf4",
};

/** Keys that do not affect the shape. */
const PROSE = new Set(["title", "description", "examples"]);

function shapes(): Map<string, z.ZodType> {
  const found = new Map<string, z.ZodType>([
    ["reply", appended],
    ["reply edu", eduReply],
    ["refusal", refusal],
    ["mark row", MARK_ROW],
    ["archive row", ARCHIVE_ROW],
    ["delta headers", deltaHeaders],
    ["instance", instanceReport],
  ]);
  for (const [kind, { body }] of Object.entries(REQUESTS)) found.set(`request ${kind}`, body);
  for (const [op, { question, answer }] of Object.entries(QUESTIONS)) {
    found.set(`question ${op}`, question).set(`answer ${op}`, answer);
  }
  for (const [kind, { schema }] of Object.entries(MESSAGES)) found.set(`message ${kind}`, schema);
  for (const [kind, schema] of Object.entries(LEASE_ROWS)) found.set(`lease row ${kind}`, schema);
  return found;
}

/**
 * Returns the same text for the same shape, whatever the order of its keys. `names`: the keys are names of properties.
 */
function canonical(value: Json, names = false): string {
  if (Array.isArray(value)) return `[${value.map((item) => canonical(item)).join()}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const keys = Object.keys(value)
    .filter((key) => names || !PROSE.has(key))
    .sort();
  const areNames = (key: string) => !names && (key === "properties" || key === "definitions");
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(value[key]!, areNames(key))}`).join()}}`;
}

function hashOf(schema: z.ZodType): string {
  const { schema: shape, definitions } = jsonSchemaOf(schema);
  return createHash("sha256")
    .update(canonical({ ...shape, definitions }))
    .digest("hex")
    .slice(0, 16);
}

const schemas = suite("the shapes of the contract");

schemas("change only together with their hashes", () => {
  const found = Object.fromEntries(Array.from(shapes(), ([name, schema]) => [name, hashOf(schema)]));
  const names = new Set([...Object.keys(found), ...Object.keys(HASHES)]);
  const changed = [...names].filter((name) => found[name] !== HASHES[name]);
  const lines = Object.entries(found).map(([name, hash]) => `  "${name}": "${hash}",`);
  assert.ok(
    changed.length === 0,
    `These shapes changed: ${changed.join(", ")}.
Is that intended? Others depend on them: workers of another version during an upgrade, and front-ends in other languages.
Until the first release a shape may change under v: 1. If it is to change, put the hashes below into HASHES of this file,
run "npm run asyncapi", and describe the change in docs/bus.md and CHANGELOG.md.
${lines.join("\n")}`,
  );
});

schemas("have hashes that change with everything except prose", () => {
  const schema = (properties: Json, more = {}): Json => ({ type: "object", properties, ...more });
  const one = canonical(schema({ a: { type: "string" }, title: { type: "integer" } }));
  assert.is(
    canonical(schema({ title: { type: "integer" }, a: { type: "string", description: "x" } }, { title: "y" })),
    one,
  );
  assert.is.not(canonical(schema({ a: { type: "string" } })), one);
  assert.is.not(canonical(schema({ a: { type: "string" }, title: { type: "integer" } }, { required: ["a"] })), one);
});

schemas.run();
