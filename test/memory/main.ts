/**
 * `npm run test:memory -- [--minutes 20] [--receipts 1000] [--events 50] [--clients 200]`: the memory of a gateway with a
 * heap of 512 MiB, under load. The last line of output is `1 passed, 0 failed`, or the reverse with exit status 1.
 */
import { parseArgs } from "node:util";
import { ensureBroker } from "../../src/bus/broker/install.ts";
import { buildProgram } from "../support/build.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "20" },
    receipts: { type: "string", default: "1000" },
    events: { type: "string", default: "50" },
    clients: { type: "string", default: "200" },
  },
});
const print = (line: string) => process.stdout.write(`${line}\n`);

process.env.TIDEMARK_NATS_SERVER = (await ensureBroker({ log: print })).path;
using directory = temporaryDirectory();
await buildProgram(directory.path);
process.env.TIDEMARK_TEST_BUILD = directory.path;
// It reads at its start where the program is.
const { measureGateway } = await import("./gateway-memory.ts");
const { minutes, receipts, events, clients } = values;
const faults = await measureGateway({
  durationMs: Number(minutes) * 60_000,
  receiptsPerSecond: Number(receipts),
  eventsPerSecond: Number(events),
  clients: Number(clients),
  print,
});
for (const fault of faults) print(`FAILED: ${fault}`);
print(faults.length === 0 ? "1 passed, 0 failed" : "0 passed, 1 failed");
process.exit(faults.length === 0 ? 0 : 1);
