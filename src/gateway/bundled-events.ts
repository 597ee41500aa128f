/**
 * Events with what belongs to them in `unsigned["m.relations"]` (Matrix specification, "Aggregations of child events"): the
 * thread that an event is the root of, and its newest edit.
 */
import type { Answer } from "../bus/contract/questions.ts";
import type { Frontend } from "../frontend/frontend.ts";
import type { MatrixEvent } from "../matrix/event.ts";
import type { EventId, RoomId } from "../matrix/ids.ts";
import { relationOf } from "../matrix/relations.ts";
import { clientEvent } from "./client-event.ts";
import type { Device } from "./tokens.ts";

type Aggregations = Answer<"aggregations">["aggregations"];

export class BundledEvents {
  readonly #frontend: Frontend;

  constructor(frontend: Frontend) {
    this.#frontend = frontend;
  }

  /** Returns the events in the format of the client-server API, in the same order. */
  async of(room: RoomId, events: readonly MatrixEvent[], device: Device): Promise<MatrixEvent[]> {
    const found = await this.#ask(room, [...new Set(events.map(({ event_id: id }) => id))], device);
    const shown = (event: MatrixEvent) => clientEvent(event, device, room);
    return events.map((event) => {
      const { thread, replace } = found[event.event_id] ?? {};
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
      };
      const client = shown(event);
      return Object.keys(relations).length === 0
        ? client
        : { ...client, unsigned: { ...client.unsigned, "m.relations": relations } };
    });
  }

  async #ask(room: RoomId, ids: readonly EventId[], { user }: Device): Promise<Aggregations> {
    const found: Aggregations = {};
    for (let rest = ids; rest.length > 0; ) {
      const question = { op: "aggregations" as const, event_ids: [...rest], viewer: user };
      const { aggregations, next } = await this.#frontend.query(room, question);
      Object.assign(found, aggregations);
      rest = next === undefined ? [] : rest.slice(rest.indexOf(next));
    }
    return found;
  }
}
