/**
 * A message as a consumer delivers it, with what its acknowledgement subject says about it.
 *
 * Between two servers a delivered message travels as `<reply>@<subject>`, and servers before 2.10.28 split that at the last
 * `@`. No subject of Tidemark has an `@` (docs/design.md#subjects). Of one that has, stored before that was so, the part before it
 * arrives at the end of the reply: here the subject is put together again.
 */
import type { Headers } from "./connection.ts";

/** A message of a stream. */
export interface StoredMessage {
  readonly subject: string;
  /** In the stream. */
  readonly sequence: number;
  /** When the broker stored it, on the broker's clock: Unix time in ms. */
  readonly at: number;
  readonly data: Uint8Array;
  readonly headers: Headers | undefined;
}

export interface Delivered extends StoredMessage {
  /** Counts the consumer's deliveries: 1, 2, 3 … A hole means that a message was lost. */
  readonly deliverySequence: number;
  /** How many messages of the stream the consumer has yet to deliver. */
  readonly pending: number;
}

const NANOS_PER_MS = 1_000_000;
/** `$JS.ACK.<stream>.<consumer>.…`; the longer form has a domain and an account in between. */
const SHORT_TOKENS = 9;
const FIRST_NUMBER = { short: 4, long: 6 };

/** What is used of the client library's message. `reply` exists, though its type doesn't say so. */
export interface ConsumerMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly headers?: Headers | undefined;
  readonly reply?: string;
}

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
