/**
 * The session that was recorded on Synapse 1.160 (`test/fixtures/synapse-session`), and the state of its database at
 * the end.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

const DIR = join(import.meta.dirname, "../fixtures/synapse-session");

export interface PushedReceipts {
  readonly type: string;
  readonly room_id: string;
  readonly content: Record<string, Record<string, Record<string, { readonly ts: number }>>>;
}

export interface Transaction {
  readonly path: string;
  readonly body: {
    readonly events: readonly (Record<string, unknown> & { readonly event_id: string; readonly room_id: string })[];
    readonly ephemeral: readonly PushedReceipts[];
    readonly "de.sorunome.msc2409.ephemeral": readonly PushedReceipts[];
  };
}

/** A `POST …/receipt/…` that Synapse answered with 200. Unlike pushed receipts, it has the thread. */
export interface ClientReceipt {
  readonly room_id: string;
  readonly user_id: string;
  readonly receipt_type: string;
  readonly event_id: string;
  readonly thread_id?: string;
  readonly ts: number;
}

export type SessionLine = { readonly transaction: Transaction } | { readonly receipt: ClientReceipt };

interface Expected {
  readonly rooms: readonly string[];
  readonly users: readonly string[];
  readonly events_in_stream_order: readonly { readonly room_id: string; readonly event_id: string }[];
  readonly receipts: readonly Omit<ClientReceipt, "ts">[];
  readonly fully_read: readonly { user_id: string; room_id: string; content: { event_id: string } }[];
}

export const session: readonly SessionLine[] = readFileSync(join(DIR, "session.ndjson"), "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => JSON.parse(line) as SessionLine);

export const expected = JSON.parse(readFileSync(join(DIR, "expected.json"), "utf8")) as Expected;

/** A marker as text, for comparison. */
export function markerKey(marker: Omit<ClientReceipt, "ts">): string {
  const { room_id, user_id, receipt_type, thread_id, event_id } = marker;
  return `${room_id} ${user_id} ${receipt_type} ${thread_id ?? "-"} → ${event_id}`;
}

/** The markers of Synapse's database, `m.fully_read` included, sorted. */
export const expectedMarkers: readonly string[] = [
  ...expected.receipts.map(markerKey),
  ...expected.fully_read.map(({ user_id, room_id, content }) =>
    markerKey({ room_id, user_id, receipt_type: "m.fully_read", event_id: content.event_id }),
  ),
].sort();

/** Moves every transaction `by` lines later: homeservers push late under load. */
export function delayed(lines: readonly SessionLine[], by: number): SessionLine[] {
  return lines
    .map((line, i) => ({ line, at: "transaction" in line ? i + by + 0.5 : i }))
    .sort((a, b) => a.at - b.at)
    .map(({ line }) => line);
}
