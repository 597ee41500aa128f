/** Fields that several messages of the contract have. */
import * as z from "zod";
import { eventId } from "../../matrix/ids.ts";

export const position = z
  .int({ error: "must be an integer" })
  .min(0, { error: "must not be negative" })
  .describe("Where an entry stands in its partition's log. Greater is later. Compare positions of one room only.");

export const order = z
  .int({ error: "must be an order" })
  .describe("MSC4033's order of an event. A negative one is read by everybody.");

export const fullyRead = z
  .object({ event_id: eventId, order: order.min(0) })
  .meta({ id: "FullyRead", description: "Where a user's `m.fully_read` marker is. `order` is at least 0." });

export type FullyRead = z.infer<typeof fullyRead>;
