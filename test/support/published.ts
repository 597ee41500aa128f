/** What tests of published messages share: a room, its subjects, and when a change is published. */
import { type Body, type TidemarkHarness, token } from "./harness.ts";

export const ROOM = "!publishing:a.org";
export const BOB = "@bob:a.org";

/** Every subject that Tidemark publishes on. */
export const PUBLISHED = ["client", "user", "federation", "rejected"].map((kind) => `tidemark.${kind}.>`);

export function subjects(tidemark: TidemarkHarness, room = ROOM) {
  const partition = tidemark.partitionOf(room);
  return {
    events: `tidemark.client.${partition}.${token(room)}.events`,
    receipts: `tidemark.client.${partition}.${token(room)}.receipts`,
    user: (user: string) => `tidemark.user.${partition}.${token(user)}.receipts`,
    rejected: `tidemark.rejected.${partition}.${token(room)}`,
  };
}

/** Sends an event and waits until it is published, so that the next change has a delta of its own. */
export async function settled(tidemark: TidemarkHarness, event: Record<string, unknown>): Promise<void> {
  const events = tidemark.subscribe(subjects(tidemark).events);
  await tidemark.sent("event", ROOM, event);
  await events.next(({ events }) => events.some((other: Body) => other.event_id === event.event_id));
}

export function shows(event: string, user: string) {
  return (body: Body) => body.event?.content[event]?.["m.read"]?.[user] !== undefined;
}
