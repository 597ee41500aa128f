/**
 * What requests are answered with (docs/design.md#requests): `ok: true` and what was asked for, or a refusal. A reply has
 * the encoding of its request.
 */
import * as z from "zod";
import type { Position } from "../../../actors/entry.ts";
import { ERROR_CODES, TidemarkError } from "../../errors.ts";
import { decode, decodeUntrusted, type Encoding } from "./codec.ts";
import { position } from "./fields.ts";
import type { Answer, Op } from "./questions.ts";

const refusal = z.object({
  ok: z.literal(false),
  errcode: z.enum(ERROR_CODES),
  error: z.string(),
  /** Which item of the request's array is at fault. */
  index: z.int().min(0).exactOptional(),
  retry_after_ms: z.int().min(0).exactOptional(),
});

export type Refusal = z.infer<typeof refusal>;

/** The log has all entries of the request, and where: in the order of the request. */
const appended = z.object({ positions: z.array(position) });

export function refusalOf({ code, message, index, retryAfterMs }: TidemarkError): Refusal {
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
