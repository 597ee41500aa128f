/** Fields that several messages of the contract have. */
import * as z from "zod";
import { eventId } from "../../matrix/ids.ts";

export const position = z.int({ error: "must be an integer" }).min(0, { error: "must not be negative" });

/** MSC4033's order of an event. It is negative for an event that came by backfill. */
export const order = z.int({ error: "must be an order" });

/** Where a user's `m.fully_read` marker is. */
export const fullyRead = z.object({
  event_id: eventId,
  /** As in a receipt: at least 0 (F8). */
  order,
});

export type FullyRead = z.infer<typeof fullyRead>;
