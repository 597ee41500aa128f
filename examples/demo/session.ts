/**
 * The recording: the requests of a homeserver and its clients, in order of arrival, and the content of the homeserver's
 * database at the end. `test/fixtures/synapse-session/README.md` describes both files.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import type { SentItem } from "../../src/bus/contract/requests.ts";
import { storedEvent, timestamp } from "../../src/matrix/event.ts";
import { eventId, type RoomId, roomId, threadId, type UserId, userId } from "../../src/matrix/ids.ts";
import { receiptType } from "../../src/matrix/receipt.ts";

const event = storedEvent.loose().extend({ room_id: roomId });
const receipt = z.looseObject({
  room_id: roomId,
  user_id: userId,
  receipt_type: receiptType,
  event_id: eventId,
  thread_id: threadId.optional(),
  ts: timestamp,
});

/** The ephemeral part of a transaction is ignored: Synapse omits `thread_id` there. */
const line = z.union([
  z.object({ transaction: z.object({ body: z.object({ events: z.array(event) }) }) }),
  z.object({ receipt }),
]);
type Line = z.infer<typeof line>;

const expected = z.object({
  users: z.array(userId),
  events_in_stream_order: z.array(z.object({ room_id: roomId, event_id: eventId })),
  receipts: z.array(
    z.object({
      room_id: roomId,
      user_id: userId,
      receipt_type: receiptType,
      thread_id: threadId.nullable(),
      event_id: eventId,
    }),
  ),
  fully_read: z.array(z.object({ room_id: roomId, user_id: userId, content: z.object({ event_id: eventId }) })),
});

/** The homeserver's database at the end of the recording. */
export type Expected = z.infer<typeof expected>;

/** One request to Tidemark: the events of one room in a transaction, or a receipt. */
export type Delivery =
  | { readonly kind: "event"; readonly room: RoomId; readonly items: readonly z.infer<typeof event>[] }
  | { readonly kind: "receipt"; readonly room: RoomId; readonly items: readonly SentItem<"receipt">[] };

export interface Session {
  /** In order of arrival. */
  readonly deliveries: readonly Delivery[];
  readonly events: readonly z.infer<typeof event>[];
  readonly receipts: number;
  readonly rooms: ReadonlySet<RoomId>;
  readonly users: ReadonlySet<UserId>;
}

export async function readExpected(folder: string): Promise<Expected> {
  return expected.parse(JSON.parse(await readFile(join(folder, "expected.json"), "utf8")));
}

/** Reads the recording. Every transaction is delivered `late` lines later than recorded. */
export async function readSession(folder: string, late: number): Promise<Session> {
  const text = await readFile(join(folder, "session.ndjson"), "utf8");
  const lines = text
    .split("\n")
    .filter((json) => json !== "")
    .map(parsed);
  const deliveries = delayed(lines, late).flatMap(deliveriesOf);
  const events = lines.flatMap((line) => ("transaction" in line ? line.transaction.body.events : []));
  const receipts = lines.flatMap((line) => ("receipt" in line ? [line.receipt] : []));
  return {
    deliveries,
    events,
    receipts: receipts.length,
    rooms: new Set(deliveries.map(({ room }) => room)),
    users: new Set(receipts.map(({ user_id }) => user_id)),
  };
}

function parsed(json: string, index: number): Line {
  try {
    return line.parse(JSON.parse(json));
  } catch (cause) {
    throw new Error(`line ${index + 1} of the recording is neither a transaction nor a receipt`, { cause });
  }
}

/** Moves every transaction after the line that is `late` lines further down. */
function delayed(lines: readonly Line[], late: number): Line[] {
  const out: Line[] = [];
  lines.forEach((line, i) => {
    if ("receipt" in line) out.push(line);
    const due = lines[i - late];
    if (due !== undefined && "transaction" in due) out.push(due);
  });
  const left = lines.slice(Math.max(0, lines.length - late));
  return out.concat(left.filter((line) => "transaction" in line));
}

/** A transaction may have events of several rooms; a request has one room. */
function deliveriesOf(line: Line): Delivery[] {
  if ("receipt" in line) {
    const { room_id: room, ...receipt } = line.receipt;
    return [{ kind: "receipt", room, items: [receipt] }];
  }
  const rooms = new Map<RoomId, z.infer<typeof event>[]>();
  for (const event of line.transaction.body.events) {
    const items = rooms.get(event.room_id);
    if (items === undefined) rooms.set(event.room_id, [event]);
    else items.push(event);
  }
  return [...rooms].map(([room, items]) => ({ kind: "event", room, items }));
}
