/**
 * Checks with a stream's leader what a consumer says about the stream.
 *
 * A consumer reads its own broker's copy of a stream. While a broker makes its copy (a replica was moved to it, or its disk was
 * replaced), that copy is shorter than the stream, or empty. A consumer that is opened there begins at the end of the copy,
 * before the sequence that it was asked for (brokers before 2.11), or skips what the copy lacks, or has nothing to deliver. Only
 * when the leader agrees, the stream itself is like that. Otherwise the consumer is replaced.
 */
import type { Bus } from "./connection.ts";
import { existingStream, messageAt, nextMessage } from "./jetstream.ts";

/** The sequence that must come next, and another one that was delivered instead. */
export interface Misplaced {
  readonly expected: number;
  readonly found: number;
}

/** Whether a message may not come now: it is older than the expected one or, in a stream without holes, newer. */
export function isMisplaced({ expected, found }: Misplaced, gapless: boolean): boolean {
  return found < expected || (gapless && found > expected);
}

/**
 * Whether the leader has the stream as it was delivered: without the expected message, or, when an older one was delivered,
 * without the one before it, which was there. Throws `BUS_UNAVAILABLE`, also when there is no such stream.
 */
export async function leaderAgrees(nc: Bus, stream: string, { expected, found }: Misplaced): Promise<boolean> {
  if (found > expected && (await messageAt(nc, stream, expected)) !== undefined) return false;
  const { last } = await existingStream(nc, stream);
  return found > expected ? last >= found : last < expected - 1;
}

/**
 * The sequence after a stream's last one, as its leader says, for a consumer `from` a sequence that has nothing to deliver; without
 * a limit for another one. One that is asked for more than the stream has begins at its end on brokers before 2.11, and waits
 * until the stream reaches that on later ones, although it may have been made again. Throws `BUS_UNAVAILABLE`.
 */
export async function streamEnd(
  nc: Bus,
  stream: string,
  { waiting, from }: { readonly waiting: number; readonly from: number },
): Promise<number> {
  if (waiting > 0 || from === 1) return Number.POSITIVE_INFINITY;
  return (await existingStream(nc, stream)).last + 1;
}

interface Part {
  readonly stream: string;
  /** Only messages of this subject. */
  readonly subject?: string;
  readonly from: number;
  readonly until: number;
}

/** Whether the leader, too, has no message in a part of a stream. Throws `BUS_UNAVAILABLE`. */
export async function leaderHasNone(nc: Bus, { stream, subject = ">", from, until }: Part): Promise<boolean> {
  const message = await nextMessage(nc, stream, { subject, from });
  return message === undefined || message.sequence > until;
}
