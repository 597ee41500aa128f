/**
 * What requests are answered with (docs/design.md#requests): `ok: true` and what was asked for, or a refusal. A reply has
 * the encoding of its request.
 */
import * as z from "zod";
import type { Position } from "../../../actors/entry.ts";
import { ERROR_CODES, TidemarkError } from "../../errors.ts";
import { EDU_REFUSALS_NAMED_MAX } from "../../limits.ts";
import { decode, decodeUntrusted, type Encoding } from "./codec.ts";
import { position } from "./fields.ts";
import type { Answer, Op } from "./questions.ts";

export const refusal = z
  .object({
    ok: z.literal(false),
    errcode: z.enum(ERROR_CODES),
    error: z.string().describe("For a person: which field is at fault, and why."),
    index: z.int().min(0).exactOptional().describe("Which item of the request's array is at fault."),
    retry_after_ms: z.int().min(0).exactOptional().describe("With `M_LIMIT_EXCEEDED`."),
  })
  .meta({ id: "Refusal", description: "Nothing of the request was stored, or the question has no answer." });

export type Refusal = z.infer<typeof refusal>;

/** The log has all items of the request. */
export const appended = z.object({
  positions: z.array(position).describe("Where each item of the request stands in the log, in their order."),
});

/** An item of an EDU that was dropped. Its ids are as they came, cut to the length that an id may have. */
const eduRejection = z.object({ room_id: z.string(), user_id: z.string(), reason: z.string() });

export type EduRejection = z.infer<typeof eduRejection>;

export const eduReply = z.object({
  accepted: z.int().min(0).describe("How many items are stored."),
  rejected: z
    .array(eduRejection)
    .max(EDU_REFUSALS_NAMED_MAX)
    .describe("Items that are not, each with the reason: the first ones, if there are more."),
  rejected_more: z.int().min(1).exactOptional().describe("How many others are not stored either."),
});

export type EduReply = z.infer<typeof eduReply>;

/** A reply as it is sent. */
export const accepted = <Shape extends z.ZodRawShape>(reply: z.ZodObject<Shape>) =>
  z.object({ ok: z.literal(true), ...reply.shape });

/** What is no `TidemarkError` is a fault of this process, and tells the sender nothing. */
export function refusalOf(error: unknown): Refusal {
  if (!(error instanceof TidemarkError)) return { ok: false, errcode: "M_UNKNOWN", error: "internal error" };
  const { code, message, index, retryAfterMs } = error;
  return {
    ok: false,
    errcode: code,
    error: message,
    ...(index !== undefined && { index }),
    ...(retryAfterMs !== undefined && { retry_after_ms: retryAfterMs }),
  };
}

/** The positions in a reply of ingress. Throws its refusal. */
export function decodePositions(bytes: Uint8Array): Position[] {
  return decodeReply<z.infer<typeof appended>>(bytes, "msgpack").positions;
}

/** The answer to a question, in the question's encoding. Throws the refusal. */
export function decodeAnswer<O extends Op>(_op: O, bytes: Uint8Array, encoding: Encoding = "msgpack"): Answer<O> {
  return decodeReply<Answer<O>>(bytes, encoding);
}

/** What Tidemark wrote has the shape that is declared. */
function decodeReply<Reply extends object>(bytes: Uint8Array, encoding: Encoding): Reply {
  const reply = (encoding === "json" ? decodeUntrusted(bytes, encoding) : decode(bytes)) as
    | Refusal
    | ({ readonly ok: true } & Reply);
  if (reply.ok) return reply;
  const { errcode, error, index, retry_after_ms: retryAfterMs } = reply;
  throw new TidemarkError(errcode, error, {
    ...(index !== undefined && { index }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}
