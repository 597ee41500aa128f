/** Folds the recorded session without a bus. */
import {
  BACKFILLED,
  type Entry,
  LIVE,
  type Position,
  positionOf,
  RECEIPT,
  UNKNOWN_THREAD,
} from "../../actors/entry.ts";
import { fold } from "../../actors/room/fold.ts";
import type { Outcome } from "../../actors/room/outcome.ts";
import { Room } from "../../actors/room/room.ts";
import { type MatrixEvent, matrixEvent } from "../../src/matrix/event.ts";
import type { EventId, RoomId, ThreadId, UserId } from "../../src/matrix/ids.ts";
import type { ReceiptType } from "../../src/matrix/receipt-types.ts";
import { type ClientReceipt, markerKey, type PushedReceipts, type SessionLine } from "./synapse-session.ts";

/** An event as a homeserver sends it. */
export function event(id: string, extra: Partial<Record<string, unknown>> = {}): MatrixEvent {
  return matrixEvent.parse({
    event_id: id,
    type: "m.room.message",
    sender: "@sender:here.example",
    origin_server_ts: 1,
    content: { body: id },
    ...extra,
  });
}

interface ReceiptFields {
  readonly user?: string;
  readonly type?: string;
  /** null: unthreaded. */
  readonly thread?: string | null;
  readonly ts?: number;
  readonly origin?: string | null;
}

export function receipt(eventId: string, fields: ReceiptFields = {}): Entry {
  const { user = "@reader:here.example", type = "m.read", thread = null, ts = 1, origin = null } = fields;
  return [RECEIPT, user as UserId, type as ReceiptType, eventId as EventId, thread as ThreadId, ts, origin as never];
}

export const ofUnknownThread = (eventId: string, fields: ReceiptFields = {}) =>
  receipt(eventId, { ...fields, thread: UNKNOWN_THREAD });

export class FoldedRooms {
  readonly rooms = new Map<string, Room>();
  #position: Position = positionOf(1, 0);

  live(room: string, body: MatrixEvent): Outcome {
    return this.fold(room, [LIVE, body]);
  }

  backfilled(room: string, body: MatrixEvent): Outcome {
    return this.fold(room, [BACKFILLED, body]);
  }

  fold(id: string, entry: Entry): Outcome {
    return fold(this.room(id), this.#position++, entry);
  }

  room(id: string): Room {
    let room = this.rooms.get(id);
    if (room === undefined) {
      room = new Room(id as RoomId, 0);
      this.rooms.set(id, room);
    }
    return room;
  }

  /** The markers of all rooms: those of known thread, or the inferred ones. */
  markers(ofKnownThread: boolean): string[] {
    const keys: string[] = [];
    for (const room of this.rooms.values()) {
      for (const { user, type, thread, event, inferred } of room.markers) {
        if ((inferred === undefined) !== ofKnownThread) continue;
        const marker = { room_id: room.id, user_id: user, receipt_type: type, event_id: event };
        keys.push(markerKey(thread === null ? marker : { ...marker, thread_id: thread }));
      }
    }
    return keys.sort();
  }
}

/** Folds a session. The receipts that were pushed are folded as receipts of unknown thread. */
export function foldSession(lines: readonly SessionLine[]): FoldedRooms {
  const rooms = new FoldedRooms();
  for (const line of lines) {
    if ("receipt" in line) foldReceipt(rooms, line.receipt);
    else {
      for (const body of line.transaction.body.events) rooms.live(body.room_id, matrixEvent.parse(body));
      for (const pushed of line.transaction.body.ephemeral) foldPushed(rooms, pushed);
    }
  }
  return rooms;
}

function foldReceipt(rooms: FoldedRooms, line: ClientReceipt): void {
  const { room_id, user_id: user, receipt_type: type, event_id, thread_id: thread = null, ts } = line;
  rooms.fold(room_id, receipt(event_id, { user, type, thread, ts }));
}

function foldPushed(rooms: FoldedRooms, { type, room_id, content }: PushedReceipts): void {
  if (type !== "m.receipt") return;
  for (const [eventId, types] of Object.entries(content)) {
    for (const [receiptType, users] of Object.entries(types)) {
      for (const [user, { ts }] of Object.entries(users)) {
        rooms.fold(room_id, ofUnknownThread(eventId, { user, type: receiptType, ts }));
      }
    }
  }
}
