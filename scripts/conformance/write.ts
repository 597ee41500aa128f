/** `npm run conformance`: writes conformance/schema.json from the declarations. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { vectorSchema } from "./vectors.ts";

const path = join(import.meta.dirname, "../../conformance/schema.json");
await writeFile(path, `${JSON.stringify(vectorSchema(), undefined, 2)}\n`);
