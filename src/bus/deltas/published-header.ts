/** The delta stream of a partition: what its messages say about how far the partition was published. */
import { headers, type JetStreamManager, type MsgHdrs } from "nats";
import type { Position } from "../../../actors/entry.ts";
import { type Bus, isNotFound, translate } from "../client/connection.ts";
import { deltaStream } from "../contract/subjects.ts";

const PUBLISHED = "Tidemark-Published";

/** Marks a message: when it was sent, every change of the partition through this position had been published. */
export function publishedHeader(position: Position): MsgHdrs {
  const marked = headers();
  marked.set(PUBLISHED, String(position));
  return marked;
}

/** What such a header says; 0 when there is none. */
export function publishedOf(marked: MsgHdrs | undefined): Position {
  const position = Number(marked?.get(PUBLISHED));
  return Number.isSafeInteger(position) && position > 0 ? position : 0;
}

/** Through which position a partition is known to be published: as its newest delta says; 0 when there is none. */
export async function publishedThrough(nc: Bus, partition: number): Promise<Position> {
  try {
    const jsm = await nc.jetstreamManager({ checkAPI: false });
    return await publishedAt(jsm, partition, (await jsm.streams.info(deltaStream(partition))).state.last_seq);
  } catch (error) {
    if (isNotFound(error)) return 0;
    throw translate(error, `read what partition ${partition} published`);
  }
}

/** The same, as the delta of a sequence says. */
export async function publishedAt(jsm: JetStreamManager, partition: number, sequence: number): Promise<Position> {
  if (sequence === 0) return 0;
  try {
    return publishedOf((await jsm.streams.getMessage(deltaStream(partition), { seq: sequence })).header);
  } catch (error) {
    if (isNotFound(error)) return 0;
    throw error;
  }
}
