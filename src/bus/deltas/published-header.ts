/**
 * The headers of a delta.
 *
 *     Tidemark-Published   how far the partition was published when the message was sent
 *     Tidemark-Lineage     of the log that the message is of. A reader that sees another one than before begins again
 *     Tidemark-Fold        the version of the fold whose outcome it is
 */
import type { Position } from "../../../actors/entry.ts";
import { type Bus, type Headers, headersOf } from "../client/connection.ts";
import { messageAt, streamState } from "../client/jetstream.ts";
import { deltaStream } from "../contract/subjects.ts";

const PUBLISHED = "Tidemark-Published";
const LINEAGE = "Tidemark-Lineage";
const FOLD = "Tidemark-Fold";

export interface DeltaHeaders {
  /** Every change of the partition through this position had been published when the message was sent. */
  readonly published: Position;
  readonly lineage: string;
  readonly fold: number;
}

export function deltaHeaders({ published, lineage, fold }: DeltaHeaders): Headers {
  return headersOf({ [PUBLISHED]: String(published), [LINEAGE]: lineage, [FOLD]: String(fold) });
}

/** The lineage in such headers; empty without one. */
export function lineageOf(headers: Headers | undefined): string {
  return headers?.get(LINEAGE) ?? "";
}

/** The published position in such headers; 0 without one. */
export function publishedOf(headers: Headers | undefined): Position {
  const position = Number(headers?.get(PUBLISHED));
  return Number.isSafeInteger(position) && position > 0 ? position : 0;
}

/** The position through which a log is known to be published, by its newest delta; 0 when there is none. */
export async function publishedThrough(nc: Bus, partition: number, lineage: string): Promise<Position> {
  const state = await streamState(nc, deltaStream(partition));
  const headers = state === undefined ? undefined : await headersAt(nc, partition, state.last);
  return lineageOf(headers) === lineage ? publishedOf(headers) : 0;
}

/** The headers of the delta with a sequence, if the stream has it. */
export async function headersAt(nc: Bus, partition: number, sequence: number): Promise<Headers | undefined> {
  return sequence === 0 ? undefined : (await messageAt(nc, deltaStream(partition), sequence))?.headers;
}
