/** What a partition's archive consists of at one time: an object that never changes (docs/design.md#manifests). */
import { createHash, randomUUID } from "node:crypto";
import * as z from "zod";
import { PARTITIONS_MAX } from "../limits.ts";
import { isObjectName, type ObjectName, objectName } from "./object-store.ts";

const V = 1;

const name = z.custom<ObjectName>((value) => typeof value === "string" && isObjectName(value));
const digest = z.string().regex(/^[0-9a-f]{64}$/);
const sequence = z.int().min(1);

const segmentPlace = z.object({
  name,
  bytes: z.int().min(1),
  index: z.object({ bytes: z.int().min(1), digest }),
  first: sequence,
  last: sequence,
  entries: z.int().min(0),
});

const manifest = z.object({
  v: z.literal(V),
  number: z.int().min(1),
  partition: z.int().min(0),
  /** How many there are. */
  partitions: z.int().min(1).max(PARTITIONS_MAX),
  base: z.int().min(0),
  lineage: z.string(),
  parent: z.string().nullable(),
  /** The manifest that this one was built on. */
  previous: z.object({ number: z.int().min(1), digest }).nullable(),
  /** In log order, each beginning where the one before ends. */
  segments: z.array(segmentPlace).refine(follow, { error: "segments don't follow each other" }),
});

/** A segment as a manifest names it. */
export type ArchivedSegment = Readonly<z.infer<typeof segmentPlace>>;
export type Manifest = Readonly<Omit<z.infer<typeof manifest>, "v">>;

function follow(segments: readonly { readonly first: number; readonly last: number }[]): boolean {
  return segments.every(({ first, last }, i) => first <= last && (i === 0 || first === segments[i - 1]!.last + 1));
}

export interface EncodedManifest {
  readonly bytes: Uint8Array;
  readonly digest: string;
}

/** Throws if it is none: only Tidemark makes manifests, so that is a mistake in it. */
export function encodeManifest(content: Manifest): EncodedManifest {
  const bytes = Buffer.from(JSON.stringify(manifest.parse({ v: V, ...content })));
  return { bytes, digest: digestOfManifest(bytes) };
}

export function digestOfManifest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** undefined for what is no manifest of this version. */
export function parseManifest(bytes: Uint8Array): Manifest | undefined {
  try {
    const { v: _, ...content } = manifest.parse(JSON.parse(Buffer.from(bytes).toString()));
    return content;
  } catch {
    return undefined;
  }
}

/** Whose objects they are. */
export interface ArchivedLog {
  readonly partition: number;
  readonly lineage: string;
}

const NUMBER_DIGITS = 12;

/** Where a partition's objects are: `<lineage>/<partition>/…`, for a lineage that no name may have by a digest of it. */
function folderOf({ partition, lineage }: ArchivedLog): string {
  const isName = isObjectName(lineage) && !lineage.includes("/");
  const folder = isName ? lineage : createHash("sha256").update(lineage).digest("hex");
  return `${folder}/${partition}/`;
}

/** A name that nobody else chooses. */
export function newSegmentName(log: ArchivedLog): ObjectName {
  return objectName(`${folderOf(log)}segments/${randomUUID()}`);
}

export function newManifestName(log: ArchivedLog, number: number): ObjectName {
  return objectName(`${manifestsOf(log)}${String(number).padStart(NUMBER_DIGITS, "0")}-${randomUUID()}`);
}

/** The beginning of all names of a log's manifests. */
export function manifestsOf(log: ArchivedLog): string {
  return `${folderOf(log)}manifests/`;
}
