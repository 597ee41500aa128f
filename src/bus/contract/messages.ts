/**
 * What Tidemark publishes (docs/design.md#what-is-published).
 *
 * A message is declared once, schema and type together. Whoever publishes builds a value of its type, and tests hold what
 * Tidemark writes against the schemas. Whoever reads gets one from `decodeMessage`, which validates nothing, or from `decodeDelta`,
 * which refuses what readers could not take (`delta-shape.ts`). A reader must accept keys that it doesn't know, and ignore messages of another `v`.
 */
import * as z from "zod";
import { orderedEvent, timestamp } from "../../matrix/event.ts";
import { eventId, roomId, serverName, threadId, userId } from "../../matrix/ids.ts";
import { receiptEvent, receiptType } from "../../matrix/receipt.ts";
import { receiptEdu } from "../../matrix/receipt-edu.ts";
import { decode, encodeWhole } from "./codec.ts";
import { deltaHeaders } from "./delta-headers.ts";
import { isDelta } from "./delta-shape.ts";
import { EXAMPLE_EVENT, EXAMPLE_EVENT_ID, fullyRead, membershipAt, position } from "./fields.ts";
import {
  clientEvents,
  clientReceipts,
  federationSubject,
  publishedSubject,
  rejectedSubject,
  userReceipts,
} from "./subjects.ts";

const V = 1;
const v = z.literal(V);

const previous = position.describe(
  "The `position` of the message before this one on its subject, 0 before the first. If it is greater than the last " +
    "`position` that you have, you missed something: ask for a snapshot.",
);

/** A receipt that was not accepted, by its fields' names. */
const rejectedReceipt = z.object({
  user_id: userId,
  receipt_type: receiptType,
  event_id: eventId,
  thread_id: threadId.exactOptional(),
  ts: timestamp,
  origin: serverName.exactOptional().describe("The server that sent it; absent for a local user's."),
});

const ROOM = "!tide:example.org";
const CONTENT = { [EXAMPLE_EVENT_ID]: { "m.read": { "@bob:example.org": { ts: 1_700_000_001_000, order: 17_408 } } } };

export const MESSAGES = {
  events: {
    subject: clientEvents,
    headers: deltaHeaders,
    schema: z.object({
      v,
      room_id: roomId,
      position,
      previous,
      kind: z
        .enum(["live", "history", "backfill", "state"])
        .describe(
          "How the events came. Only live ones are new in the room. `state`: no events, but members that a homeserver's " +
            "state says. Only `live` and `state` change who is in the room.",
        ),
      events: z.array(orderedEvent),
      members: z
        .record(userId, membershipAt)
        .exactOptional()
        .describe(
          "With `state`: users whose member events are new, by their ids. If you have the `position`, the membership is as it was.",
        ),
    }),
    summary:
      "Events of a room that Tidemark did not have, with their orders: live ones oldest first, history and backfill newest " +
      "first. A live member event is the last of its message: `position` is its own. Or members whom a room's `state` says.",
    example: {
      v: V,
      room_id: ROOM,
      position: 17_408,
      previous: 16_384,
      kind: "live",
      events: [EXAMPLE_EVENT],
    },
  },
  receipts: {
    subject: clientReceipts,
    headers: deltaHeaders,
    schema: z.object({
      v,
      room_id: roomId,
      position,
      previous,
      event: receiptEvent,
      erased: z
        .record(userId, z.array(eventId))
        .exactOptional()
        .describe(
          "Users who were erased from the room, with those of their events whose content is gone. Drop the receipts that you have of them, " +
            "private ones too, before you take those of this message.",
        ),
    }),
    summary:
      "Public receipts of a room that moved. Take a receipt only if its order is not smaller than the one you have.",
    example: {
      v: V,
      room_id: ROOM,
      position: 18_432,
      previous: 12_288,
      event: { type: "m.receipt", content: CONTENT },
    },
  },
  private: {
    subject: userReceipts,
    headers: deltaHeaders,
    schema: z.object({
      v,
      user_id: userId,
      room_id: roomId,
      position,
      event: receiptEvent.exactOptional(),
      fully_read: fullyRead.exactOptional(),
    }),
    summary:
      "A user's own markers in a room that moved: `m.read.private` and `m.fully_read`. Only that user may see them.",
    example: {
      v: V,
      user_id: "@bob:example.org",
      room_id: ROOM,
      position: 19_456,
      fully_read: { event_id: EXAMPLE_EVENT_ID, order: 17_408 },
    },
  },
  federation: {
    subject: federationSubject,
    schema: z.object({ v, destination: serverName, edu: receiptEdu }),
    summary: "An EDU with local users' receipts for another server. It has no orders: they are local to a server.",
    example: {
      v: V,
      destination: "example.com",
      edu: {
        edu_type: "m.receipt",
        content: {
          [ROOM]: {
            "m.read": { "@bob:example.org": { event_ids: [EXAMPLE_EVENT_ID], data: { ts: 1_700_000_001_000 } } },
          },
        },
      },
    },
  },
  rejected: {
    subject: rejectedSubject,
    schema: z.object({
      v,
      room_id: roomId,
      position,
      entry: rejectedReceipt
        .nullable()
        .describe("null for a private receipt, which is its user's alone, and for an erased user's."),
      reason: z.enum(["wrong_thread", "acl_denied", "not_joined", "held_overflow", "erased"]),
      detail: z.string().describe("The reason, for a person."),
    }),
    summary: "A receipt that was not accepted, and why.",
    example: {
      v: V,
      room_id: ROOM,
      position: 20_480,
      entry: {
        user_id: "@bob:example.org",
        receipt_type: "m.read",
        event_id: EXAMPLE_EVENT_ID,
        thread_id: "main",
        ts: 1_700_000_003_000,
      },
      reason: "wrong_thread",
      detail: "the event is in another thread than the receipt names",
    },
  },
  /** From a partition's owner to its standby, and for nobody else. */
  published: {
    subject: publishedSubject,
    schema: z.object({ v, position }),
    summary: "The position through which a partition is published.",
    example: { v: V, position: 20_480 },
  },
};

export type MessageKind = keyof typeof MESSAGES;

/** A message as it is published. */
export type Published<Kind extends MessageKind> = z.infer<(typeof MESSAGES)[Kind]["schema"]>;

/** A message, with its type. */
export type Message<Kind extends MessageKind = MessageKind> = {
  [K in Kind]: { readonly type: K } & Readonly<Published<K>>;
}[Kind];

/** What a partition's delta stream has. */
type DeltaKind = "events" | "receipts" | "private";
export type Delta<Kind extends DeltaKind = DeltaKind> = Message<Kind>;

/** All but what workers say among themselves. */
export type PublicKind = Exclude<MessageKind, "published">;

export function encodeMessage<Kind extends MessageKind>(_kind: Kind, message: Omit<Published<Kind>, "v">): Uint8Array {
  return encodeWhole({ v: V, ...message });
}

/** undefined for a message of another version. */
export function decodeMessage<Kind extends MessageKind>(_kind: Kind, bytes: Uint8Array): Published<Kind> | undefined {
  const message = decode(bytes) as Published<Kind> | null;
  return message?.v === V ? message : undefined;
}

/** A message of a partition's delta stream. undefined for one of another version or shape, and for other subjects. */
export function decodeDelta(subject: string, bytes: Uint8Array): Delta | undefined {
  const delta = decodeAs(deltaKind(subject), bytes);
  return delta !== undefined && isDelta(delta.type, delta) ? delta : undefined;
}

/** The same for every subject that outsiders may read. */
export function decodePublished(subject: string, bytes: Uint8Array): Message<PublicKind> | undefined {
  return decodeAs(deltaKind(subject) ?? otherKind(subject), bytes);
}

function decodeAs<Kind extends MessageKind>(kind: Kind | undefined, bytes: Uint8Array): Message<Kind> | undefined {
  const message = kind && decodeMessage(kind, bytes);
  return message && ({ ...message, type: kind } as Message<Kind>);
}

function deltaKind(subject: string): DeltaKind | undefined {
  if (subject.startsWith("tidemark.user.")) return "private";
  if (!subject.startsWith("tidemark.client.")) return undefined;
  if (subject.endsWith(".events")) return "events";
  return subject.endsWith(".receipts") ? "receipts" : undefined;
}

function otherKind(subject: string): "federation" | "rejected" | undefined {
  if (subject.startsWith("tidemark.federation.")) return "federation";
  return subject.startsWith("tidemark.rejected.") ? "rejected" : undefined;
}
