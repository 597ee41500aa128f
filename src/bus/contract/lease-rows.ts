/**
 * What workers tell each other in the bucket `tidemark_leases`, as JSON. `../leases/leases.ts` has the rules.
 *
 *     worker.<id>      the heartbeat of a worker
 *     partition.<n>    the lease of a partition while somebody owns it; deleted with a release
 */
import * as z from "zod";
import { position } from "./fields.ts";

const V = 1;
const v = z.literal(V);
const partitions = z.array(z.int().min(0));
const session = z.string();
const fold = z.int().min(0).describe("The version of the fold. A worker with an older one never claims the partition.");
const lineage = z.string().describe("Of the partition's log.");

/** What is wrong at a process, for whoever reads its row or its answer. */
export const reportedCondition = z.object({ reason: z.string(), where: z.string(), since: z.number() });

const report = z.object({
  warm: partitions.describe("Partitions that the worker owns or could own at once."),
  failed: partitions.describe("Partitions that it can't serve."),
  folded: z.record(z.string(), z.int()).describe("By partition: the sequence through which it has folded."),
  records: z.int().min(1).describe("The newest version of records that it reads."),
  degraded: z
    .array(reportedCondition)
    .exactOptional()
    .describe("What is wrong at it, since when (Unix time in ms). Absent when nothing is."),
});

export const LEASE_ROWS = {
  worker: z.object({ v, session, fold, ...report.shape }),
  lease: z.object({ v, worker: z.string(), session, lineage, fold }),
  /** What an owner leaves to the next one, because no other message is sure to arrive in time. */
  release: z.object({ v, published: position, lineage, fold }),
};

/** What a worker reports about itself with its heartbeat. */
export type WorkerReport = Readonly<z.infer<typeof report>>;

/** What a row says, its version aside. */
type Content<Kind extends keyof typeof LEASE_ROWS> = Readonly<Omit<z.infer<(typeof LEASE_ROWS)[Kind]>, "v">>;
export type WorkerRow = Content<"worker">;
export type LeaseRow = Content<"lease">;
export type ReleaseRow = Content<"release">;

const WORKER = "worker.";
const PARTITION = "partition.";

export const workerKey = (worker: string) => WORKER + worker;
export const partitionKey = (partition: number) => PARTITION + partition;

/** A row of the bucket, as it is stored. */
interface StoredRow {
  readonly key: string;
  readonly deleted: boolean;
  readonly text: string;
}

/** A row with its content, by what its key stands for. Content that is no such row counts as missing. */
export type ParsedRow =
  | { readonly kind: "worker"; readonly worker: string; readonly content: WorkerRow | undefined }
  | {
      readonly kind: "partition";
      readonly partition: number;
      /** undefined when nobody owns it. */
      readonly content: LeaseRow | undefined;
      /** What the last owner left. undefined while there is an owner, and when it left nothing. */
      readonly release: ReleaseRow | undefined;
    };

export function encodeRow<Kind extends keyof typeof LEASE_ROWS>(_kind: Kind, content: Content<Kind>): string {
  return JSON.stringify({ v: V, ...content });
}

/** undefined for a key that stands for nothing. */
export function parseRow({ key, deleted, text }: StoredRow): ParsedRow | undefined {
  if (key.startsWith(WORKER)) {
    return { kind: "worker", worker: key.slice(WORKER.length), content: deleted ? undefined : parse("worker", text) };
  }
  if (!/^partition\.\d+$/.test(key)) return undefined;
  const partition = Number(key.slice(PARTITION.length));
  return deleted
    ? { kind: "partition", partition, content: undefined, release: parse("release", text) }
    : { kind: "partition", partition, content: parse("lease", text), release: undefined };
}

/** Somebody else may have written the row. */
function parse<Kind extends keyof typeof LEASE_ROWS>(kind: Kind, text: string): Content<Kind> | undefined {
  try {
    return LEASE_ROWS[kind].safeParse(JSON.parse(text)).data as Content<Kind> | undefined;
  } catch {
    return undefined;
  }
}
