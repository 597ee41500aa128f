/** Reads what a partition's delta stream still has: for verify. */
import type { Bus } from "../client/connection.ts";
import { streamState } from "../client/jetstream.ts";
import { scanStream } from "../client/stream-scan.ts";
import { decode } from "../contract/codec.ts";
import { deltaStream } from "../contract/subjects.ts";

/** One delta, as it was published. */
export interface ScannedDelta {
  readonly sequence: number;
  readonly subject: string;
  readonly body: unknown;
}

/** Calls back with every delta from a sequence on. Returns the newest sequence; 0 when there is no such stream. */
export async function scanDeltas(
  nc: Bus,
  { partition, from }: { readonly partition: number; readonly from: number },
  onDelta: (delta: ScannedDelta) => void,
): Promise<number> {
  const stream = deltaStream(partition);
  const { messages, last } = (await streamState(nc, stream)) ?? { messages: 0, last: 0 };
  if (messages === 0 || last < from) return last;
  await scanStream(nc, { stream, from, until: last }, ({ sequence, subject, data }) =>
    onDelta({ sequence, subject, body: decode(data) }),
  );
  return last;
}
