/**
 * `tidemark/federation`: the library of a federation sender (docs/homeservers.md#receipts-for-other-servers).
 *
 *     const federation = await openFederation({ nats: "nats://127.0.0.1:4222" });
 *     for await (const server of federation.destinations()) void serve(await federation.destination(server));
 *
 *     async function serve(destination) {
 *       for (let transaction; (transaction = await destination.next()); ) {
 *         if (await put(destination.server, transaction.id, transaction.edus)) await transaction.acknowledge();
 *         else await backoff(); // the next transaction repeats what was not acknowledged
 *       }
 *     }
 */
export { type ErrorCode, TidemarkError } from "../errors.ts";
export type { ReceiptEdu } from "../matrix/receipt-edu.ts";
export type { Destination, Transaction } from "./destination.ts";
export { type Federation, type FederationOptions, openFederation } from "./federation-client.ts";
