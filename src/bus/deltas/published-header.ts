/** The header of a delta that says how far its partition was published when it was sent. */
import type { Position } from "../../../actors/entry.ts";
import { type Bus, type Headers, headersOf } from "../client/connection.ts";
import { messageAt, streamState } from "../client/jetstream.ts";
import { deltaStream } from "../contract/subjects.ts";

const PUBLISHED = "Tidemark-Published";

/** Says that every change of the partition through `position` had been published when the message was sent. */
export function publishedHeader(position: Position): Headers {
  return headersOf({ [PUBLISHED]: String(position) });
}

/** The position in such a header; 0 without one. */
export function publishedOf(headers: Headers | undefined): Position {
  const position = Number(headers?.get(PUBLISHED));
  return Number.isSafeInteger(position) && position > 0 ? position : 0;
}

/** The position through which a partition is known to be published, by its newest delta; 0 when there is none. */
export async function publishedThrough(nc: Bus, partition: number): Promise<Position> {
  const state = await streamState(nc, deltaStream(partition));
  return state === undefined ? 0 : publishedAt(nc, partition, state.last);
}

/** The same, by the delta with a sequence; 0 when there is none. */
export async function publishedAt(nc: Bus, partition: number, sequence: number): Promise<Position> {
  if (sequence === 0) return 0;
  return publishedOf((await messageAt(nc, deltaStream(partition), sequence))?.headers);
}
