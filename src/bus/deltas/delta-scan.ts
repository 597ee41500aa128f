/** Reads what a partition's delta stream still has: for verify. */
import type { Bus } from "../client/connection.ts";
import { streamState } from "../client/jetstream.ts";
import { scanStream } from "../client/stream-scan.ts";
import { type Delta, decodeDelta } from "../contract/messages.ts";
import { deltaStream } from "../contract/subjects.ts";

/** Calls back with every delta from a sequence on. Returns the newest sequence; 0 when there is no such stream. */
export async function scanDeltas(
  nc: Bus,
  { partition, from }: { readonly partition: number; readonly from: number },
  onDelta: (delta: Delta, sequence: number) => void,
): Promise<number> {
  const stream = deltaStream(partition);
  const { messages, last } = (await streamState(nc, stream)) ?? { messages: 0, last: 0 };
  if (messages === 0 || last < from) return last;
  await scanStream(nc, { stream, from, until: last }, ({ sequence, subject, data }) => {
    const delta = decodeDelta(subject, data);
    if (delta !== undefined) onDelta(delta, sequence);
  });
  return last;
}
