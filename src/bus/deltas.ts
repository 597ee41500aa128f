/** The delta stream of a partition: what its messages say about how far the partition was published. */
import { headers, type MsgHdrs } from "nats";
import type { Position } from "../../actors/entry.ts";
import { type Bus, isNotFound, translate } from "./connection.ts";
import { deltaStream } from "./subjects.ts";

const PUBLISHED = "Tidemark-Published";

/** Marks a message: when it was sent, every change of the partition through this position had been published. */
export function publishedHeader(position: Position): MsgHdrs {
  const marked = headers();
  marked.set(PUBLISHED, String(position));
  return marked;
}

/** Through which position a partition is known to be published: as its newest delta says; 0 when there is none. */
export async function publishedThrough(nc: Bus, partition: number): Promise<Position> {
  const stream = deltaStream(partition);
  try {
    const jsm = await nc.jetstreamManager({ checkAPI: false });
    const { state } = await jsm.streams.info(stream);
    if (state.messages === 0) return 0;
    const newest = await jsm.streams.getMessage(stream, { seq: state.last_seq });
    const position = Number(newest.header.get(PUBLISHED));
    return Number.isSafeInteger(position) && position > 0 ? position : 0;
  } catch (error) {
    if (isNotFound(error)) return 0;
    throw translate(error, `read what partition ${partition} published`);
  }
}
