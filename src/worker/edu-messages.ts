/**
 * Receipts for other servers → the messages of `tidemark.federation.<shard>.<server>` (docs/design.md#what-is-published).
 *
 * A dispatch may be thousands of EDUs: a user's threads, times the servers of a room. It is encoded in slices, so that no turn of
 * the event loop is long, and no more than a slice is in memory.
 */
import type { FederationBatch } from "../../actors/federation/lane.ts";
import type { Outgoing } from "../bus/client/acked-publisher.ts";
import { encodeMessage } from "../bus/contract/messages.ts";
import { federationSubject, shardOf } from "../bus/contract/subjects.ts";
import { packEdus } from "../matrix/receipt-edu.ts";

/** Receipts that are packed at once. */
const SLICE_RECEIPTS_MAX = 2_048;
/** A slice ends with the message that reaches one of these. */
export const SLICE_MESSAGES_MAX = 256;
export const SLICE_BYTES_MAX = 262_144;

/** Every destination of a batch gets the same EDUs. Each slice is encoded when it is asked for. */
export function* eduSlices(batches: readonly FederationBatch[], shards: number): Generator<Outgoing[]> {
  let slice: Outgoing[] = [];
  let bytes = 0;
  for (const { destinations, receipts } of batches) {
    for (let from = 0; from < receipts.length; from += SLICE_RECEIPTS_MAX) {
      for (const { edu } of packEdus(receipts.slice(from, from + SLICE_RECEIPTS_MAX))) {
        for (const destination of destinations) {
          const subject = federationSubject(shardOf(destination, shards), destination);
          const payload = encodeMessage("federation", { destination, edu });
          slice.push({ subject, payload });
          bytes += payload.length;
          if (slice.length < SLICE_MESSAGES_MAX && bytes < SLICE_BYTES_MAX) continue;
          yield slice;
          slice = [];
          bytes = 0;
        }
      }
    }
  }
  if (slice.length > 0) yield slice;
}
