/** Requests to Tidemark over the bus: what is sent to it, and questions (docs/design.md#requests, docs/design.md#queries). */
import type { Position } from "../../../actors/entry.ts";
import { reasonOf, TidemarkError } from "../../errors.ts";
import { REQUEST_TIMEOUT_MS } from "../../limits.ts";
import type { RoomId, UserId } from "../../matrix/ids.ts";
import { encode } from "../contract/codec.ts";
import type { Answer, Asked, Op } from "../contract/questions.ts";
import { decodeAnswer, decodePositions } from "../contract/replies.ts";
import type { RoomRequestKind, Sent } from "../contract/requests.ts";
import { inSubject, querySubject, type Subject } from "../contract/subjects.ts";
import type { Bus, BusMessage } from "./connection.ts";
import { PendingReplies, type Unanswered } from "./pending-replies.ts";

/** The status of the broker's own reply when a subject has no subscriber. */
const NO_RESPONDERS = 503;

const repliesByConnection = new WeakMap<Bus, PendingReplies<Uint8Array>>();

/** Asks about a room or a user. Throws with the code of a refusal, or `BUS_UNAVAILABLE` when nobody answers in time. */
export async function ask<O extends Op>(nc: Bus, about: RoomId | UserId, question: Asked<O>): Promise<Answer<O>> {
  return decodeAnswer(question.op, await repliesOf(nc).ask(querySubject(about), encode(question)));
}

/** Sends items of a room. Returns their positions once the log has them. Throws like `ask`. */
export async function send<Kind extends RoomRequestKind>(
  nc: Bus,
  { kind, room }: { readonly kind: Kind; readonly room: RoomId },
  items: Sent<Kind>,
): Promise<Position[]> {
  return decodePositions(await repliesOf(nc).ask(inSubject[kind](room), encode(items)));
}

function repliesOf(nc: Bus): PendingReplies<Uint8Array> {
  const known = repliesByConnection.get(nc);
  if (known !== undefined) return known;
  const replies = new PendingReplies<Uint8Array>(nc, { timeoutMs: REQUEST_TIMEOUT_MS, read, unanswered });
  repliesByConnection.set(nc, replies);
  void nc.closed().then(() => replies.close());
  return replies;
}

function read({ headers, data }: BusMessage, subject: Subject): Uint8Array {
  if (headers?.code === NO_RESPONDERS) throw unanswered({ subject, why: "timeout" });
  return data;
}

function unanswered({ subject, why, cause }: Unanswered): TidemarkError {
  const messages = {
    timeout: `nobody answered on ${subject.split(".", 3).join(".")}`,
    closed: "the connection to the broker is closed",
    "not sent": `could not send a request: ${reasonOf(cause)}`,
  };
  return new TidemarkError("BUS_UNAVAILABLE", messages[why], { cause });
}
