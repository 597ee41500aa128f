import type { EventId, ThreadId, UserId } from "../src/matrix/ids.ts";
import type { Order } from "./entry.ts";

/** What is kept of an event for ever. Its body stays in the log, at the position that its order tells. */
export interface EventInfo {
  /** Markers point at the event with this very string, so that a room has one copy of it and not one a marker. */
  readonly id: EventId;
  readonly order: Order;
  /** F3. Settled when the event was folded. */
  readonly thread: ThreadId;
  readonly sender: UserId;
  /** F13, until the event is redacted (F11). */
  counts: boolean;
  /** The redaction, once there was one. */
  redaction?: EventId;
}
