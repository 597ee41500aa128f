/** Logs as an archiver sees them: messages, with what the fold made of each entry. */
import type { Entry } from "../../actors/entry.ts";
import { foldRecord } from "../../actors/room/fold.ts";
import { Room } from "../../actors/room/room.ts";
import type { ArchivedMessage } from "../../src/archive/segment/block-writer.ts";
import { type EntryNote, NO_ENTRY, noteOf } from "../../src/archive/segment/entry-note.ts";
import { encodeRecord, encodeStart } from "../../src/bus/contract/record.ts";
import { logStartSubject, logSubject } from "../../src/bus/contract/subjects.ts";
import { recordIn } from "../../src/bus/log/log.ts";
import { matrixEvent } from "../../src/matrix/event.ts";
import type { RoomId } from "../../src/matrix/ids.ts";
import { session } from "./synapse-session.ts";

export const PARTITION = 3;
const BASE = 1_838_382_202_600_448;

/** Makes a log, message by message. */
export class ArchivedLog {
  readonly messages: ArchivedMessage[] = [];
  readonly #rooms = new Map<RoomId, Room>();
  #sequence = 0;

  /** Messages that were lost, for instance to another log. */
  skip(count: number): void {
    this.#sequence += count;
  }

  start(at: number): void {
    const start = { base: BASE, lineage: "lineage", parent: null };
    this.message(logStartSubject(PARTITION), encodeStart(at, start), at);
  }

  record(room: RoomId, at: number, entries: readonly Entry[]): void {
    this.message(logSubject(PARTITION, room), encodeRecord(at, entries), at);
  }

  message(subject: string, data: Uint8Array, storedAt: number): void {
    const sequence = ++this.#sequence;
    const placed = recordIn(PARTITION, { subject, sequence, at: storedAt, data, headers: undefined });
    const notes: EntryNote[] = placed.record.entries.map(() => NO_ENTRY);
    if (placed.room !== undefined) {
      const room = this.#rooms.get(placed.room) ?? new Room(placed.room, BASE);
      this.#rooms.set(placed.room, room);
      foldRecord(room, placed.record, (_, folded) => {
        notes[folded.position % 1024] = noteOf(room, folded);
      });
    }
    this.messages.push({ placed, subject, storedAt, data, notes });
  }
}

/** The recorded session, as ingress would have stored it while nothing else came. */
export function archivedSession({ events = true, receipts = true } = {}): readonly ArchivedMessage[] {
  const log = new ArchivedLog();
  log.start(1);
  for (const line of session) {
    if ("receipt" in line) {
      const { room_id, user_id, receipt_type, event_id, thread_id = null, ts } = line.receipt;
      const entry = [2, user_id, receipt_type, event_id, thread_id, ts, null, true] as unknown as Entry;
      if (receipts) log.record(room_id as RoomId, ts + 3, [entry]);
      continue;
    }
    for (const body of line.transaction.body.events) {
      const event = matrixEvent.parse(body);
      if (events) log.record(body.room_id as RoomId, event.origin_server_ts + 40, [[0, event]]);
    }
  }
  return log.messages;
}
