/** What the bucket `tidemark_archive` has for each partition, as JSON. `src/archive/manifest-chain.ts` has the rules. */
import * as z from "zod";

const V = 1;
const number = z.int().min(1);

export const ARCHIVE_ROW = z.object({
  v: z.literal(V),
  lineage: z.string().describe("Of the log that the manifests are about."),
  reserved: z.int().min(0).describe("The greatest number that a manifest has, or was to have."),
  current: z
    .object({ number, name: z.string(), digest: z.string().describe("SHA-256 of the manifest, in hex.") })
    .nullable()
    .describe("The manifest that counts, by its object. null before the first."),
});

export type ArchiveRow = Readonly<Omit<z.infer<typeof ARCHIVE_ROW>, "v">>;

export const archiveKey = (partition: number) => `partition.${partition}`;

export function encodeArchiveRow(row: ArchiveRow): string {
  return JSON.stringify({ v: V, ...row });
}

/** undefined for a text that is no row of this version. */
export function parseArchiveRow(text: string): ArchiveRow | undefined {
  try {
    return ARCHIVE_ROW.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
