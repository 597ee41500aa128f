import { stringify } from "yaml";
import type { JsonObject } from "./json-schema.ts";

const HEAD = `# The contract of the bus (https://www.asyncapi.com), generated from src/bus/contract: don't edit it, run "npm run asyncapi".\n`;

export function yamlOf(document: JsonObject): string {
  return HEAD + stringify(document, { lineWidth: 120, aliasDuplicateObjects: false, blockQuote: "literal" });
}
