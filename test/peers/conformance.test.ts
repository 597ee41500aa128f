/** conformance/schema.json, with another project's validator of JSON Schema: what it says of the files, and of wrong ones. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { VECTORS, vectorTexts } from "../support/vectors.ts";

const schema = JSON.parse(await readFile(join(VECTORS, "schema.json"), "utf8"));
const validate = new Ajv2020({ allErrors: true }).compile(schema);

const conformance = suite("conformance/schema.json");

conformance("accepts all files of vectors", async () => {
  for (const [path, text] of await vectorTexts()) {
    assert.ok(validate(JSON.parse(text)), `${path}: ${JSON.stringify(validate.errors?.slice(0, 3))}`);
  }
});

conformance("refuses a file with an unknown field, without steps, or with a wrong kind of value", async () => {
  const texts = await vectorTexts();
  const [, text] = texts.find(([path]) => path.startsWith("server/"))!;
  for (const change of [{ more: 1 }, { steps: [] }, { source: "mine" }, { joined: ["bob"] }]) {
    const file = JSON.parse(text);
    Object.assign(file.vectors[0], change);
    assert.not(validate(file), JSON.stringify(change));
  }
});

conformance.run();
