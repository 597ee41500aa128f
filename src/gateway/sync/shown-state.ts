/**
 * State events of a room's section in `/sync`, as JSON. A large room has very many, and they are only passed on: of one that a
 * client gets as the workers serve it, the text stays as it came.
 */

import type { MatrixEvent } from "../../matrix/event.ts";
import type { EventId, RoomId } from "../../matrix/ids.ts";
import { clientJson } from "../client-event.ts";
import { type Filter, passes, roomPasses } from "../filter.ts";
import type { Device } from "../tokens.ts";

/** The device that syncs, and its filter. */
export interface Viewer {
  readonly device: Device;
  readonly filter: Filter;
}

export interface ShownState {
  readonly id: EventId;
  readonly type: string;
  readonly stateKey: string | undefined;
  readonly json: string;
}

/** Those that pass the filter, as the device is sent them. `events`: as JSON, or read. */
export function shownState(
  events: readonly (string | MatrixEvent)[],
  room: RoomId,
  { device, filter }: Viewer,
): ShownState[] {
  const wanted = filter.room?.state;
  if (!roomPasses(wanted, room)) return [];
  return events.flatMap((as) => {
    const event: MatrixEvent = typeof as === "string" ? JSON.parse(as) : as;
    if (!passes(wanted, event)) return [];
    const { event_id: id, type, state_key: stateKey } = event;
    return { id, type, stateKey, json: clientJson(event, device, as) };
  });
}

/** The last event of each type and state key. Two maps: to join both into one text costs more than all else. */
export function latestOf(events: readonly ShownState[]): ShownState[] {
  const byType = new Map<string, Map<string | undefined, ShownState>>();
  for (const event of events) {
    const ofType = byType.get(event.type);
    if (ofType === undefined) byType.set(event.type, new Map([[event.stateKey, event]]));
    else ofType.set(event.stateKey, event);
  }
  return [...byType.values()].flatMap((ofType) => [...ofType.values()]);
}
