/** Requests to Tidemark over the bus: what is sent to it, and questions (docs/design.md#requests, docs/design.md#queries). */
import type { Msg, NatsConnection } from "nats";
import { type ErrorCode, reasonOf, TidemarkError } from "../../errors.ts";
import { REQUEST_TIMEOUT_MS } from "../../limits.ts";
import { decode, encode } from "../contract/codec.ts";
import type { Subject } from "../contract/subjects.ts";
import { Replies, type Unanswered } from "./pending-replies.ts";

interface Refusal {
  readonly ok: false;
  readonly errcode: ErrorCode;
  readonly error: string;
  readonly index?: number;
  readonly retry_after_ms?: number;
}

/** The broker's own reply when nobody listens. */
const NO_RESPONDERS = 503;

const repliesByConnection = new WeakMap<NatsConnection, Replies<unknown>>();

/** Resolves to the reply. Throws the refusal's code, or `BUS_UNAVAILABLE` when nobody answers in time. */
export function request<T>(nc: NatsConnection, subject: Subject, body: unknown): Promise<T> {
  return repliesOf(nc).ask(subject, encode(body)) as Promise<T>;
}

function repliesOf(nc: NatsConnection): Replies<unknown> {
  const known = repliesByConnection.get(nc);
  if (known !== undefined) return known;
  const replies = new Replies<unknown>(nc, { timeoutMs: REQUEST_TIMEOUT_MS, read, unanswered });
  repliesByConnection.set(nc, replies);
  void nc.closed().then(() => replies.close());
  return replies;
}

function read({ headers, data }: Msg, subject: Subject): unknown {
  if (headers?.code === NO_RESPONDERS) throw unanswered({ subject, why: "timeout" });
  const reply = decode(data) as Refusal | { readonly ok: true };
  if (reply.ok) return reply;
  throw new TidemarkError(reply.errcode, reply.error, {
    ...(reply.index !== undefined && { index: reply.index }),
    ...(reply.retry_after_ms !== undefined && { retryAfterMs: reply.retry_after_ms }),
  });
}

function unanswered({ subject, why, cause }: Unanswered): TidemarkError {
  const messages = {
    timeout: `nobody answered on ${subject.split(".", 3).join(".")}`,
    closed: "the connection to the broker is closed",
    "not sent": `could not send a request: ${reasonOf(cause)}`,
  };
  return new TidemarkError("BUS_UNAVAILABLE", messages[why], { cause });
}
