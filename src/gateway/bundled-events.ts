/**
 * Events with what belongs to them in `unsigned["m.relations"]` (Matrix specification, "Aggregations of child events"): the
 * thread that an event is the root of, its newest edit, and references to it.
 */
import type { Aggregation, Answer } from "../bus/contract/questions.ts";
import type { Frontend } from "../frontend/frontend.ts";
import type { MatrixEvent } from "../matrix/event.ts";
import type { EventId, RoomId, UserId } from "../matrix/ids.ts";
import { relationOf } from "../matrix/relations.ts";
import { clientEvent } from "./client-event.ts";
import type { Device } from "./tokens.ts";

export type Aggregations = Answer<"aggregations">["aggregations"];

export class BundledEvents {
  readonly #frontend: Frontend;

  constructor(frontend: Frontend) {
    this.#frontend = frontend;
  }

  /** Returns the events in the format of the client-server API, in the same order. */
  async of(room: RoomId, events: readonly MatrixEvent[], device: Device): Promise<MatrixEvent[]> {
    const ids = [...new Set(events.map(({ event_id: id }) => id))];
    const found = await askAggregations(this.#frontend, room, { ids, viewer: device.user });
    return events.map((event) =>
      withRelations(clientEvent(event, device, room), found[event.event_id], { device, room }),
    );
  }
}

/** What belongs to events, as far as the viewer may see it. */
export async function askAggregations(
  frontend: Frontend,
  room: RoomId,
  { ids, viewer }: { readonly ids: readonly EventId[]; readonly viewer: UserId },
): Promise<Aggregations> {
  const found: Aggregations = {};
  for (let rest = ids; rest.length > 0; ) {
    const { aggregations, next } = await frontend.query(room, { op: "aggregations", event_ids: [...rest], viewer });
    Object.assign(found, aggregations);
    rest = next === undefined ? [] : rest.slice(rest.indexOf(next));
  }
  return found;
}

/** `event`: in the format of clients. The events that belong to it get it here, with the id of the room. */
export function withRelations(
  event: MatrixEvent,
  aggregation: Aggregation | undefined,
  { device, room }: { readonly device: Device; readonly room: RoomId },
): MatrixEvent {
  const { thread, replace, references } = aggregation ?? {};
  const shown = (related: MatrixEvent) => clientEvent(related, device, room);
  const relations = {
    ...(thread?.latest !== undefined && {
      "m.thread": {
        latest_event: shown(thread.latest),
        count: thread.count,
        current_user_participated: thread.participated,
      },
    }),
    // An edit can't be edited.
    ...(replace !== undefined && relationOf(event)?.relType !== "m.replace" && { "m.replace": shown(replace) }),
    ...(references !== undefined && { "m.reference": { chunk: references.map((id) => ({ event_id: id })) } }),
  };
  if (Object.keys(relations).length === 0) return event;
  return { ...event, unsigned: { ...event.unsigned, "m.relations": relations } };
}
