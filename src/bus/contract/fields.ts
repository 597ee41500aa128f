/** Fields that several messages of the contract have, and the names in its examples. */
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

export const membershipAt = z.object({
  membership: z.string().describe("`join`, `leave`, `invite` …, as the member event says."),
  position: position.describe("The entry that changed it. One that changed only a display name does not."),
});

export type MembershipAt = z.infer<typeof membershipAt>;

export const EXAMPLE_EVENT_ID = "$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg";
export const EXAMPLE_EVENT = {
  event_id: EXAMPLE_EVENT_ID,
  type: "m.room.message",
  sender: "@alice:example.org",
  origin_server_ts: 1_700_000_000_000,
  content: { msgtype: "m.text", body: "The tide is coming in" },
  unsigned: { order: 17_408 },
};
