/**
 * What is known of the pushes of each homeserver, for `tidemark status`: rows of the bucket of transactions, by a digest of the
 * homeserver's token.
 *
 *     pushed.<homeserver>    whose pushes they are; the row is as old as the last push, or up to `REPORT_MS` older
 *     stalled.<homeserver>   since a proxy saw that they stall; empty when it saw that they flow again
 *
 * The newer of the two rows says what is. Nothing depends on these rows, and a failed write is passed over.
 */
import * as z from "zod";
import { IntervalGate } from "../interval-gate.ts";
import type { Bus } from "./client/connection.ts";
import { Bucket, type Row } from "./client/kv.ts";
import { TRANSACTIONS_BUCKET } from "./contract/subjects.ts";
import { homeserverKey } from "./delivered-transactions.ts";
import { edgeApi } from "./outside-accounts.ts";

/** How often a push is reported at most. */
const REPORT_MS = 5_000;

const PUSHED = "pushed";
const STALLED = "stalled";
const YES = "yes";

/** Who pushes. */
export interface Pusher {
  readonly id: string;
  readonly hsToken: string;
  readonly serverNames: readonly string[];
}

export interface PushReport {
  /** Of the registration. */
  readonly id: string;
  readonly serverNames: readonly string[];
  /** When the last push was stored, Unix time in ms. */
  readonly pushedAt: number;
  /** Since when its pushes stall, Unix time in ms; null while they flow. */
  readonly stalledAt: number | null;
}

const pusher = z.object({ id: z.string(), server_names: z.array(z.string()) });

export class PushReporter {
  readonly #bucket: Bucket;
  readonly #key: string;
  readonly #text: string;
  readonly #gate = new IntervalGate(REPORT_MS);

  constructor(nc: Bus, { id, hsToken, serverNames }: Pusher) {
    this.#bucket = new Bucket(nc, TRANSACTIONS_BUCKET);
    this.#key = homeserverKey(hsToken);
    this.#text = JSON.stringify({ id, server_names: serverNames });
  }

  pushed(): void {
    if (this.#gate.pass()) this.#put(PUSHED, this.#text);
  }

  stalled(isStalled: boolean): void {
    this.#put(STALLED, isStalled ? YES : "");
  }

  #put(kind: string, text: string): void {
    this.#bucket.put(`${kind}.${this.#key}`, text).catch(() => {});
  }
}

/** Returns the reports of all homeservers that have pushed in the last days. Throws `BUS_UNAVAILABLE`. */
export async function pushReports(nc: Bus): Promise<PushReport[]> {
  const bucket = new Bucket(nc, TRANSACTIONS_BUCKET, await edgeApi(nc));
  const stalls = new Map((await bucket.rows(`${STALLED}.*`)).map((row) => [homeserverOf(row), row]));
  const pushed = await bucket.rows(`${PUSHED}.*`);
  return pushed.flatMap((row) => {
    const { success, data } = pusher.safeParse(parsed(row.text));
    if (!success) return [];
    const stall = stalls.get(homeserverOf(row));
    const isStalled = stall !== undefined && stall.text === YES && stall.revision > row.revision;
    return [{ id: data.id, serverNames: data.server_names, pushedAt: row.at, stalledAt: isStalled ? stall.at : null }];
  });
}

function homeserverOf({ key }: Row): string {
  return key.slice(key.indexOf(".") + 1);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
