/** What the bucket `tidemark_published` has for each partition, as JSON. `../deltas/published-mark.ts` has the rules. */
import * as z from "zod";
import { position } from "./fields.ts";

const V = 1;

export const MARK_ROW = z.object({
  v: z.literal(V),
  published: position.describe("Everything of the partition through this position is published."),
  lineage: z.string().describe("Of the log whose positions these are."),
});

export type MarkRow = Readonly<Omit<z.infer<typeof MARK_ROW>, "v">>;

export const markKey = (partition: number) => `partition.${partition}`;

export function encodeMark(row: MarkRow): string {
  return JSON.stringify({ v: V, ...row });
}

/** undefined for a text that is no mark of this version. */
export function parseMark(text: string): MarkRow | undefined {
  try {
    return MARK_ROW.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
