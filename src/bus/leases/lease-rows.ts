/** The rows of the bucket `tidemark_leases`, whose rules are in `leases.ts`. */
import type { Position } from "../../../actors/entry.ts";
import type { Row } from "../client/kv.ts";

export const V = 1;

/** What a worker reports about itself with its heartbeat. */
export interface WorkerReport {
  /** Partitions that it owns or could own at once. */
  readonly warm: readonly number[];
  /** Partitions that it can't serve. */
  readonly failed: readonly number[];
  /** By partition: the sequence through which it has folded. */
  readonly folded: Readonly<Record<number, number>>;
}

/** `worker.<id>` */
export interface WorkerRow extends WorkerReport {
  readonly v: typeof V;
  readonly session: string;
}

/** `partition.<n>`, while somebody owns it. */
export interface LeaseRow {
  readonly v: typeof V;
  readonly worker: string;
  readonly session: string;
}

/** `partition.<n>`, deleted: what its owner leaves to the next one, because no other message is sure to arrive in time. */
export interface ReleaseRow {
  readonly v: typeof V;
  readonly published: Position;
}

const WORKER = "worker.";
const PARTITION = "partition.";

export const workerKey = (worker: string) => WORKER + worker;
export const partitionKey = (partition: number) => PARTITION + partition;

/** A row with its content, by what its key stands for; undefined for another key. */
export type ParsedRow =
  | { readonly kind: "worker"; readonly worker: string; readonly content: WorkerRow | undefined }
  | {
      readonly kind: "partition";
      readonly partition: number;
      /** undefined when nobody owns it. */
      readonly content: LeaseRow | undefined;
      /** After a release: the position through which the partition had been published. */
      readonly published: Position | undefined;
    };

export function parseRow({ key, deleted, text }: Row): ParsedRow | undefined {
  const content: unknown = text === "" ? undefined : JSON.parse(text);
  if (key.startsWith(WORKER)) {
    return { kind: "worker", worker: key.slice(WORKER.length), content: deleted ? undefined : (content as WorkerRow) };
  }
  if (!/^partition\.\d+$/.test(key)) return undefined;
  const partition = Number(key.slice(PARTITION.length));
  if (!deleted) return { kind: "partition", partition, content: content as LeaseRow, published: undefined };
  const published = (content as ReleaseRow | undefined)?.published;
  return { kind: "partition", partition, content: undefined, published };
}
