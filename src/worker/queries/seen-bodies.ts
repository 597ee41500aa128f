/**
 * Bodies of events as a viewer may see them. What is redacted is so for everybody, but the redaction is shown only to those who see
 * it: it may have come after the viewer's leave (docs/design.md#who-sees-what).
 */
import type { Room } from "../../../actors/room/room.ts";
import { Visibility } from "../../../actors/room/visibility.ts";
import type { MatrixEvent } from "../../matrix/event.ts";
import type { UserId } from "../../matrix/ids.ts";
import type { Bodies } from "./bodies.ts";

export type ReadBodies = Pick<Bodies, "at" | "one" | "state">;

export function seenBodies(bodies: ReadBodies, viewer: UserId): ReadBodies {
  const seen = <Event extends MatrixEvent>(room: Room, event: Event): Event => {
    const because = event.unsigned?.redacted_because as MatrixEvent | undefined;
    const order = because === undefined ? undefined : room.events.get(because.event_id)?.order;
    if (order === undefined || new Visibility(room, viewer).sees(order)) return event;
    const { redacted_because: _, ...unsigned } = event.unsigned!;
    return { ...event, unsigned };
  };
  return {
    at: async (room, positions) => (await bodies.at(room, positions)).map((event) => seen(room, event)),
    state: async (room, places) =>
      (await bodies.state(room, places)).map((event) => (typeof event === "string" ? event : seen(room, event))),
    one: async (room, id) => {
      const event = await bodies.one(room, id);
      return event === null ? null : seen(room, event);
    },
  };
}
