/**
 * What a file of test vectors may say (conformance/README.md): the schema of it, and its type. conformance/schema.json is written from it.
 */
import * as z from "zod";

const text = z.string().min(1);
/** Defined once in the JSON Schema, under this name. */
const defined = <T extends z.ZodType>(id: string, schema: T, description: string): T =>
  schema.meta({ id, description });

const eventId = defined(
  "eventId",
  z.string().regex(/^\$./),
  "The vector's name for an event. A server's own ids may be others.",
);
const userId = defined(
  "userId",
  z.string().regex(/^@./),
  "The vector's name for a user. A server's own ids may be others.",
);
const thread = defined(
  "thread",
  z.union([z.literal("main"), eventId]),
  "`main`, or the event at the root of a thread.",
);
const shownType = z.enum(["m.read", "m.read.private"]);
const order = defined(
  "order",
  z.number(),
  "MSC4033's order. Another server may give any number: negative, equal, or a fraction.",
);
const content = z.record(z.string(), z.unknown());

const named = {
  name: z
    .string()
    .regex(/^[a-z0-9-]+$/)
    .describe("The same in no two vectors."),
  title: text.describe("What must be true, in a sentence."),
  source: z
    .enum(["msc4033", "tidemark"])
    .describe(
      "`msc4033`: it follows from the proposal. `tidemark`: a rule of Tidemark, which another server or client need not share.",
    ),
  rules: z
    .array(z.string().regex(/^(?:F(?:[1-9]|1[0-3])|docs\/design\.md#[a-z-]+)$/))
    .min(1)
    .describe("The rules of docs/design.md#the-fold that say so in Tidemark, or a section of that page."),
  note: text.optional().describe("What else a reader should know."),
};

const event = defined(
  "event",
  z.strictObject({
    event_id: eventId,
    type: text,
    sender: userId,
    origin_server_ts: z.int(),
    content,
    state_key: z.string().optional(),
    redacts: eventId.optional(),
    unsigned: content.optional(),
  }),
  "A room event, as the client-server API has it.",
);

const receipt = defined(
  "receipt",
  z.strictObject({
    user_id: userId,
    receipt_type: z.enum([...shownType.options, "m.fully_read"]),
    event_id: eventId,
    thread_id: thread.optional().describe("Without it the receipt is unthreaded."),
    ts: z.int(),
    origin: text
      .optional()
      .describe("The server from which it came over federation. Without it, a local client sent it."),
    accepted: z
      .literal(true)
      .optional()
      .describe("A homeserver has accepted it, and passes it on to the server under test."),
    thread_known: z
      .literal(false)
      .optional()
      .describe("Who passes it on doesn't know whether it has a thread, as an application service doesn't."),
  }),
  "A receipt, as the server gets it.",
);

const shownReceipt = defined(
  "shownReceipt",
  z.strictObject({
    event_id: eventId,
    receipt_type: shownType,
    user_id: userId,
    thread_id: thread.optional(),
    order: z
      .union([z.literal("event"), z.literal(0)])
      .describe("`event`: the order that its event has. 0 where that is negative."),
    ts: z.int().optional().describe("Compared where it is given."),
  }),
  "A receipt, as a client is shown it.",
);

const byUser = <T extends z.ZodType>(value: T) => z.record(userId, value);
const unread = defined(
  "unread",
  z.strictObject({ total: z.int(), main: z.int(), threads: z.record(eventId, z.int()) }),
  "In the whole room, in the main timeline, and in each thread that has something unread.",
);

const orders = defined(
  "orders",
  z.strictObject({
    not_descending: z.array(eventId).optional().describe("Each order is at least the one before."),
    ascending: z.array(eventId).optional().describe("Each order is greater than the one before."),
    consecutive: z.array(eventId).optional().describe("Each order is one more than the one before."),
    negative: z.array(eventId).optional(),
    positive: z.array(eventId).optional(),
    none: z.array(eventId).optional().describe("These have no order."),
  }),
  "Relations between orders. The numbers themselves are the server's own.",
);

const read = <T extends z.ZodType>(value: T) => byUser(z.record(eventId, value)).describe("By user, then by event.");
const threads = z.record(eventId, thread).describe("The thread of each event.");
const counts = byUser(unread).describe("By user: how many events are unread, as F13 counts them.");

const serverCheck = defined(
  "serverCheck",
  z.strictObject({
    orders: orders.optional(),
    receipts: z
      .array(shownReceipt)
      .optional()
      .describe(
        "All receipts that a client is shown that begins now: public ones to everybody, private ones to their user.",
      ),
    fully_read: byUser(eventId).optional().describe("By user: where the own `m.fully_read` marker is."),
    read: read(z.boolean()).optional(),
    unread: counts.optional(),
    threads: threads.optional(),
  }),
  "What is compared after the step. What is not named is not compared.",
);

const step = {
  outcome: text.optional().describe("What Tidemark calls what became of it. Only Tidemark compares it."),
  expect: serverCheck.optional(),
};

const serverStep = z.union([
  z.strictObject({
    event,
    arrives: z
      .enum(["live", "history", "backfill"])
      .describe(
        "`live`: it is the newest that came. `history`, `backfill`: it is older than all that came so, and in `history` it may be unread.",
      ),
    ...step,
  }),
  z.strictObject({
    state: z.array(event).min(1).describe("The room's current state, without the events themselves."),
    ...step,
  }),
  z.strictObject({ receipt, ...step }),
]);

const serverVector = z.strictObject({
  ...named,
  needs: z
    .array(z.enum(["negative-orders"]))
    .optional()
    .describe(
      "`negative-orders`: leave it out for a server that gives the backfilled events of the vector no negative orders.",
    ),
  joined: z.array(userId).describe("The users who are joined before the first step."),
  steps: z.array(serverStep).min(1),
});

const clientReceipt = z.strictObject({
  ts: z.int(),
  order: order.optional(),
  "org.matrix.msc4033.order": order.optional(),
  thread_id: thread.optional(),
});

const given = z.union([
  z.strictObject({ event }),
  z.strictObject({
    receipts: z
      .record(eventId, z.partialRecord(shownType, byUser(clientReceipt)))
      .describe("The content of an `m.receipt` event."),
  }),
  z.strictObject({
    fully_read: z
      .strictObject({ user_id: userId, event_id: eventId, order })
      .describe("The user's `m.fully_read`, with the order of its event."),
  }),
]);

const clientVector = z.strictObject({
  ...named,
  given: z.array(given).min(1),
  expect: z
    .strictObject({
      read: read(z.boolean().nullable()).optional().describe("By user, then by event. null: the client can't tell."),
      unread: counts.optional(),
      threads: threads.optional(),
    })
    .describe("What is compared at the end. What is not named is not compared."),
});

const file = <H extends "server" | "client", V extends z.ZodType>(half: H, vector: V) =>
  z.strictObject({
    $schema: z.literal("../schema.json"),
    half: z.literal(half),
    about: text,
    vectors: z.array(vector).min(1),
  });

export const vectorFile = z.discriminatedUnion("half", [file("server", serverVector), file("client", clientVector)]);

export type VectorFile = z.infer<typeof vectorFile>;
export type ServerVector = z.infer<typeof serverVector>;
export type ServerStep = z.infer<typeof serverStep>;
export type ServerCheck = z.infer<typeof serverCheck>;
export type ShownReceipt = z.infer<typeof shownReceipt>;
export type ClientVector = z.infer<typeof clientVector>;

/** conformance/schema.json, for validators of JSON Schema 2020-12. */
export function vectorSchema(): object {
  return { title: "Test vectors of Tidemark", ...z.toJSONSchema(vectorFile) };
}
