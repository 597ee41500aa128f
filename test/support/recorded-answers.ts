/** What a live Synapse once answered, one file for each room version (`test/synapse/record-answers.ts`). */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

const FOLDER = join(import.meta.dirname, "../fixtures/synapse-answers");

export interface RecordedAnswers {
  /** The version of Synapse. */
  readonly synapse: string;
  readonly roomVersion: string;
  /** Of every event in the answers, by its id. */
  readonly orders: Readonly<Record<string, number>>;
  readonly answers: readonly {
    readonly kind: string;
    readonly method: string;
    /** With the query, as it was asked for. */
    readonly path: string;
    readonly status: number;
    readonly text: string;
  }[];
}

export async function recordedAnswers(roomVersion: string): Promise<RecordedAnswers> {
  return JSON.parse(await readFile(join(FOLDER, `room-v${roomVersion}.json`), "utf8"));
}
