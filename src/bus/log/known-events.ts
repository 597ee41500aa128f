/** Which of a room's events the log has: for an import, which brings older ones. */
import { BACKFILLED, LIVE, type LogRecord, type Order, positionOf } from "../../../actors/entry.ts";
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

/** F1, F2: finds the smallest order. Of an event that was stored more than once, only the first copy counts. */
class OldestEvent {
  id: EventId | undefined;
  #order: Order = Number.POSITIVE_INFINITY;
  readonly #known = new Set<EventId>();

  add({ sequence, entries }: LogRecord): void {
    entries.forEach((entry, index) => {
      if (entry[0] !== LIVE && entry[0] !== BACKFILLED) return;
      const { event_id: id } = entry[1];
      if (this.#known.has(id)) return;
      this.#known.add(id);
      const position = positionOf(sequence, index);
      const order = entry[0] === LIVE ? position : -position;
      if (order > this.#order) return;
      this.#order = order;
      this.id = id;
    });
  }
}
