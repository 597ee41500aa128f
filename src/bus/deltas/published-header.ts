/** Writes and reads the headers of a delta (`src/bus/contract/delta-headers.ts`). */
import type { Position } from "../../../actors/entry.ts";
import { type Bus, type Headers, headersOf } from "../client/connection.ts";
import { messageAt, streamState } from "../client/jetstream.ts";
import type { DeltaHeaders } from "../contract/delta-headers.ts";
import { deltaStream } from "../contract/subjects.ts";

const PUBLISHED = "Tidemark-Published" satisfies keyof DeltaHeaders;
const LINEAGE = "Tidemark-Lineage" satisfies keyof DeltaHeaders;

interface Said {
  readonly published: Position;
  readonly lineage: string;
  readonly fold: number;
}

export function deltaHeaders({ published, lineage, fold }: Said): Headers {
  const headers: DeltaHeaders = {
    "Tidemark-Published": String(published),
    "Tidemark-Lineage": lineage,
    "Tidemark-Fold": String(fold),
  };
  return headersOf(headers);
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
