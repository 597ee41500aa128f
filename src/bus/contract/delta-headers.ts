/**
 * The headers of deltas (docs/design.md#what-is-published). A header's value is text, whatever it says.
 */
import * as z from "zod";

export const deltaHeaders = z
  .object({
    "Tidemark-Published": z
      .string()
      .regex(/^\d+$/)
      .describe("A position. Every change of the partition through it had been published when the message was sent."),
    "Tidemark-Lineage": z
      .string()
      .describe(
        "Names the log that the message is of. If it is another one than before, drop what you have, and begin again.",
      ),
    "Tidemark-Fold": z.string().regex(/^\d+$/).describe("The version of the fold whose outcome the message is."),
  })
  .meta({ id: "DeltaHeaders", description: "Headers of a message of a client or user subject." });

export type DeltaHeaders = z.infer<typeof deltaHeaders>;

export const DELTA_HEADERS_EXAMPLE: DeltaHeaders = {
  "Tidemark-Published": "16384",
  "Tidemark-Lineage": "Vb2yXnWkR0qcs0rIrTz3pQ",
  "Tidemark-Fold": "2",
};
