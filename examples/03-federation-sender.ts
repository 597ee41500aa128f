/** A federation sender that prints what a real one would sign and send: the receipts for every other server in a room. */
import { openFederation } from "../src/federation-sender/index.ts"; // In your project: "tidemark-frontend/federation".

const federation = await openFederation({ nats: process.argv[2] ?? "nats://127.0.0.1:4222" });

async function serve(server: string): Promise<void> {
  const destination = await federation.destination(server);
  for (;;) {
    const transaction = await destination.next();
    if (transaction === undefined) return;
    const body = { origin: "example.org", origin_server_ts: Date.now(), pdus: [], edus: transaction.edus };
    process.stdout.write(`PUT https://${server}/_matrix/federation/v1/send/${transaction.id}\n`);
    process.stdout.write(`${JSON.stringify(body, undefined, 2)}\n`);
    // If the server doesn't accept it, wait, and call next() again: it repeats what was not acknowledged.
    await transaction.acknowledge();
  }
}

for await (const server of federation.destinations()) void serve(server);
