/** Requests to Tidemark over the bus: what is sent to it, and questions (DESIGN 4.2, 4.5). */
import { ErrorCode as NatsCode, type NatsConnection, NatsError } from "nats";
import { type ErrorCode, TidemarkError } from "../errors.ts";
import { REQUEST_TIMEOUT_MS } from "../limits.ts";
import { decode, encode } from "./codec.ts";
import { translate } from "./connection.ts";
import type { Subject } from "./subjects.ts";

interface Refusal {
  readonly ok: false;
  readonly errcode: ErrorCode;
  readonly error: string;
  readonly index?: number;
  readonly retry_after_ms?: number;
}

/** Resolves to the reply. Throws the refusal's code, or `BUS_UNAVAILABLE` when nobody answers in time. */
export async function request<T>(nc: NatsConnection, subject: Subject, body: unknown): Promise<T> {
  let reply: Refusal | (T & { readonly ok: true });
  try {
    const message = await nc.request(subject, encode(body), { timeout: REQUEST_TIMEOUT_MS });
    reply = decode(message.data) as typeof reply;
  } catch (error) {
    if (error instanceof NatsError && (error.code === NatsCode.NoResponders || error.code === NatsCode.Timeout)) {
      throw new TidemarkError("BUS_UNAVAILABLE", `nobody answered on ${subject.split(".", 3).join(".")}`, {
        cause: error,
      });
    }
    throw translate(error, "send a request");
  }
  if (reply.ok) return reply;
  throw new TidemarkError(reply.errcode, reply.error, {
    ...(reply.index !== undefined && { index: reply.index }),
    ...(reply.retry_after_ms !== undefined && { retryAfterMs: reply.retry_after_ms }),
  });
}
