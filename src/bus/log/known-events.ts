/** Which of a room's events the log has: for an import, which brings older ones. */
import { LIVE, type LogRecord, RECEIPT, STATE } from "../../../actors/entry.ts";
import type { EventId, RoomId } from "../../matrix/ids.ts";
import type { Bus } from "../client/connection.ts";
import { logEnd } from "./log.ts";
import { scanLog } from "./log-scan.ts";

/** The event with the smallest order, from which history goes further back; undefined when the room has no event. */
export async function oldestKnownEvent(nc: Bus, partition: number, room: RoomId): Promise<EventId | undefined> {
  const oldest = new OldestEvent();
  const { sequence } = await logEnd(nc, partition, room);
  if (sequence > 0) await scanLog(nc, { partition, room, until: sequence }, ({ record }) => oldest.add(record));
  return oldest.id;
}

/**
 * F1, F2: finds the smallest order. A live event has it only if it is the first event of its room, an older event always: each goes
 * below all that are known. Of an event that was stored more than once, only the first copy counts.
 */
class OldestEvent {
  id: EventId | undefined;
  readonly #known = new Set<EventId>();

  add({ entries }: LogRecord): void {
    for (const entry of entries) {
      if (entry === null || entry[0] === RECEIPT || entry[0] === STATE) continue;
      const { event_id: id } = entry[1];
      if (this.#known.has(id)) continue;
      this.#known.add(id);
      if (entry[0] !== LIVE || this.id === undefined) this.id = id;
    }
  }
}
