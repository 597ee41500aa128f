/**
 * `npm run synapse -- [--server-name <name>] [--port 8008] [--registration <file>]...`: a Synapse to try Tidemark with, from Debian's
 * packages (`test/support/synapse-program.ts`). Anybody can register. It runs until a signal, and keeps nothing.
 */
import { once } from "node:events";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { startSynapse } from "../test/support/live-synapse.ts";
import { ensureSynapse } from "../test/support/synapse-program.ts";

const { values } = parseArgs({
  options: {
    "server-name": { type: "string", default: "example.org" },
    port: { type: "string", default: "8008" },
    registration: { type: "string", multiple: true, default: [] },
  },
});

try {
  await ensureSynapse((line) => void process.stderr.write(`${line}\n`));
  await using synapse = await startSynapse({
    serverName: values["server-name"],
    port: Number(values.port),
    registrations: values.registration.map((path) => resolve(path)),
  });
  process.stdout.write(`Synapse ${synapse.version}, ${synapse.serverName}, ready at ${synapse.url}\n`);
  await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
