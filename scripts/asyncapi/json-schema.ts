/**
 * Schemas of the contract as JSON Schema (draft 7, which AsyncAPI takes without being told).
 *
 * What has an id is defined once, in `definitions`, and referred to. Integers have the format int64 rather than zod's
 * bounds of a safe integer.
 */
import * as z from "zod";

export type Json = null | boolean | number | string | Json[] | JsonObject;
export interface JsonObject {
  [key: string]: Json;
}

/** Where `$ref` points: `#/definitions/<id>`. */
const DEFINITIONS = "#/definitions/";

interface JsonSchema {
  readonly schema: JsonObject;
  /** By id: what the schema refers to. */
  readonly definitions: JsonObject;
}

/** `at`: what stands before an id in a reference. */
export function jsonSchemaOf(schema: z.ZodType, at = DEFINITIONS): JsonSchema {
  const {
    $schema: _,
    definitions = {},
    ...rest
  } = z.toJSONSchema(schema, {
    // Readers accept keys that they don't know, and so do the schemas.
    io: "input",
    target: "draft-7",
    // `meta` describes these.
    unrepresentable: "any",
  });
  const plain = (value: unknown): JsonObject => simplified(JSON.parse(JSON.stringify(value)), at);
  return { schema: plain(rest), definitions: plain(definitions) };
}

function simplified(value: JsonObject, at: string): JsonObject {
  const result: JsonObject = {};
  for (const [key, inner] of Object.entries(value)) {
    if (isSafeBound(inner) || isAnyName(key, inner)) continue;
    if (key === "$ref" && typeof inner === "string") result[key] = at + inner.slice(DEFINITIONS.length);
    else result[key] = simplifiedAny(inner, at);
  }
  if (value.type === "integer") result.format = "int64";
  return onlyReference(result) ?? result;
}

function simplifiedAny(value: Json, at: string): Json {
  if (Array.isArray(value)) return value.map((item) => simplifiedAny(item, at));
  return isObject(value) ? simplified(value, at) : value;
}

/** `{ allOf: [{ $ref }] }` is how zod refers to what is optional. */
function onlyReference({ allOf, ...others }: JsonObject): JsonObject | undefined {
  if (!Array.isArray(allOf) || allOf.length !== 1 || Object.keys(others).length > 0) return undefined;
  const [only] = allOf;
  return isObject(only) ? only : undefined;
}

function isSafeBound(value: Json): boolean {
  return typeof value === "number" && Math.abs(value) === Number.MAX_SAFE_INTEGER;
}

/** Keys are always strings. */
function isAnyName(key: string, value: Json): boolean {
  return key === "propertyNames" && isObject(value) && value.type === "string" && Object.keys(value).length === 1;
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
