/**
 * A message as a consumer delivers it: what its acknowledgement subject says of it, in Tidemark's words.
 *
 * Between two servers a delivered message travels as `<reply>@<subject>`, and servers before 2.10.28 take that apart at
 * the last `@`. The subjects of users have one of their own: what was before it arrives at the end of the reply. Here it
 * is put together again; who reads streams over an older cluster by other means has to do that as well.
 */
import type { JsMsg, MsgHdrs } from "nats";

export interface Delivered {
  readonly subject: string;
  /** In the stream. */
  readonly sequence: number;
  /** Since the consumer began: 1, 2, 3 … without a hole when none was lost. */
  readonly deliverySequence: number;
  /** Messages that the stream has beyond this one. */
  readonly pending: number;
  /** When the stream took it: the broker's clock, ms since 1970. */
  readonly at: number;
  readonly data: Uint8Array;
  readonly headers: MsgHdrs | undefined;
}

const NANOS_PER_MS = 1_000_000;
/** `$JS.ACK.<stream>.<consumer>.…`; the longer form has a domain and an account in between. */
const SHORT_TOKENS = 9;
const FIRST_NUMBER = { short: 4, long: 6 };

/** `reply` is there, if not in the client's type. */
export type ConsumerMessage = Pick<JsMsg, "subject" | "data" | "headers"> & { readonly reply?: string };

export function delivered({ subject, data, headers, reply = "" }: ConsumerMessage): Delivered {
  const cut = reply.indexOf("@");
  const tokens = (cut === -1 ? reply : reply.slice(0, cut)).split(".");
  const first = tokens.length === SHORT_TOKENS ? FIRST_NUMBER.short : FIRST_NUMBER.long;
  const [, sequence, deliverySequence, nanos, pending] = tokens.slice(first, first + 5).map(Number);
  return {
    subject: cut === -1 ? subject : `${reply.slice(cut + 1)}@${subject}`,
    sequence: sequence!,
    deliverySequence: deliverySequence!,
    pending: pending!,
    at: nanos! / NANOS_PER_MS,
    data,
    headers,
  };
}
