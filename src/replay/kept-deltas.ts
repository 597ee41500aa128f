/**
 * Which changes of a log its delta stream must still have, whatever any clock says now: those beyond the position through which the
 * partition was published when the stream's first delta was sent.
 *
 *     log      ──────────┤ published ├── on their way ──┤ everything from here on must be in the stream
 *     deltas   … deleted │ first delta …
 *
 * A few changes beyond that position were published before that delta: rooms don't wait for each other, nor for receipts to other
 * servers. So once the stream has deleted deltas, a minute more of the log is left out, by the log's own clock. A stream that never had a
 * delta must have what an owner of an unmarked log publishes (`src/worker/unmarked-log.ts`).
 */
import { sequenceOf } from "../../actors/entry.ts";
import type { Bus } from "../bus/client/connection.ts";
import { streamState } from "../bus/client/jetstream.ts";
import { deltaStream } from "../bus/contract/subjects.ts";
import { headersAt, publishedOf } from "../bus/deltas/published-header.ts";
import { logEnd, recordAt } from "../bus/log/log.ts";
import { DELTAS_AGE_MS } from "../limits.ts";
import type { Kept } from "./published-deltas.ts";

const ON_THEIR_WAY_MS = 60_000;
const NOTHING: Kept = { beyond: Number.POSITIVE_INFINITY, at: 0 };

export async function keptDeltas(nc: Bus, partition: number): Promise<Kept> {
  const { first, last, messages } = (await streamState(nc, deltaStream(partition))) ?? {
    first: 0,
    last: 0,
    messages: 0,
  };
  if (last === 0) {
    const newest = await recordAt(nc, partition, (await logEnd(nc, partition)).sequence);
    return newest === undefined ? NOTHING : { beyond: 0, at: newest.record.at - DELTAS_AGE_MS };
  }
  // Without a header: it was deleted in the meantime.
  const headers = messages === 0 ? undefined : await headersAt(nc, partition, first);
  if (headers === undefined) return NOTHING;
  const beyond = publishedOf(headers);
  if (first === 1) return { beyond, at: 0 };
  const published = await recordAt(nc, partition, Math.max(1, sequenceOf(beyond)));
  return { beyond, at: (published?.record.at ?? 0) + ON_THEIR_WAY_MS };
}
