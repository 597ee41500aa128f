/** docs/asyncapi.yaml is what the declarations of the contract generate. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type * as z from "zod";
import { asyncApiDocument } from "../../../scripts/asyncapi/document.ts";
import { yamlOf } from "../../../scripts/asyncapi/yaml.ts";
import { DELTA_HEADERS_EXAMPLE, deltaHeaders } from "../../../src/bus/contract/delta-headers.ts";
import { MESSAGES } from "../../../src/bus/contract/messages.ts";
import { QUESTIONS } from "../../../src/bus/contract/questions.ts";
import { REQUESTS } from "../../../src/bus/contract/requests.ts";

const FILE = join(import.meta.dirname, "../../../docs/asyncapi.yaml");

const description = suite("docs/asyncapi.yaml");

description("says what the contract declares", async () => {
  const written = await readFile(FILE, "utf8");
  assert.ok(written === yamlOf(asyncApiDocument()), 'docs/asyncapi.yaml is not up to date: run "npm run asyncapi"');
});

description("has examples that the contract accepts, unchanged", () => {
  const accepts = (name: string, schema: z.ZodType, example: unknown) =>
    assert.equal(schema.parse(example), example, name);
  for (const [kind, { body, examples }] of Object.entries(REQUESTS)) {
    assert.ok(examples.length > 0);
    for (const example of examples) accepts(kind, body, example);
  }
  for (const [op, { question, answer, examples }] of Object.entries(QUESTIONS)) {
    accepts(op, question, examples.question);
    accepts(op, answer, examples.answer);
  }
  for (const [kind, { schema, example }] of Object.entries(MESSAGES)) accepts(kind, schema, example);
  accepts("headers", deltaHeaders, DELTA_HEADERS_EXAMPLE);
});

description.run();
