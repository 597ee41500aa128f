/** `npm run asyncapi`: writes docs/asyncapi.yaml from the declarations of the contract. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { asyncApiDocument } from "./document.ts";
import { yamlOf } from "./yaml.ts";

await writeFile(join(import.meta.dirname, "../../docs/asyncapi.yaml"), yamlOf(asyncApiDocument()));
