/**
 * Publishes to streams, and waits for the stream's acknowledgement.
 *
 * A message that is not acknowledged within `ACK_TIMEOUT_MS` has failed for the caller, but the stream may have stored it:
 * publish only what may be stored twice. Events, receipts and deltas may: the second copy changes nothing.
 */
import { reasonOf, TidemarkError } from "../../errors.ts";
import { ACK_TIMEOUT_MS } from "../../limits.ts";
import type { Subject } from "../contract/subjects.ts";
import type { Bus, BusMessage, Headers } from "./connection.ts";
import { NOBODY_STORES } from "./jetstream.ts";
import { PendingReplies, type Unanswered } from "./pending-replies.ts";

/** The first and the longest pause before a retry. It doubles each time. */
const PUBLISH_RETRY_MS_MIN = 50;
const PUBLISH_RETRY_MS_MAX = 5_000;

interface PubAck {
  readonly seq?: number;
  readonly error?: { readonly code: number; readonly description?: string };
}

const utf8 = new TextDecoder();

export class AckedPublisher {
  readonly #replies: PendingReplies<number>;

  constructor(nc: Bus) {
    this.#replies = new PendingReplies(nc, { timeoutMs: ACK_TIMEOUT_MS, read: sequenceOf, unanswered: refusal });
  }

  /** Publishes a message. Resolves to its sequence in the stream. Rejects with `M_UNKNOWN` and the reason. */
  publish(subject: Subject, payload: Uint8Array, headers?: Headers): Promise<number> {
    return this.#replies.ask(subject, payload, headers);
  }

  /** Rejects every message that is not acknowledged yet. */
  close(): void {
    this.#replies.close();
  }
}

function sequenceOf({ data }: BusMessage, subject: Subject): number {
  const ack = data.length === 0 ? undefined : (JSON.parse(utf8.decode(data)) as PubAck);
  if (ack?.seq !== undefined && ack.error === undefined) return ack.seq;
  const why = ack?.error?.description ?? NOBODY_STORES;
  throw new TidemarkError("M_UNKNOWN", `${kindOf(subject)} was not acknowledged: ${why}`);
}

function refusal({ subject, why, cause }: Unanswered): TidemarkError {
  const messages = {
    timeout: `${kindOf(subject)} was not acknowledged within ${ACK_TIMEOUT_MS} ms`,
    closed: "Tidemark is stopping",
    "not sent": `not published: ${reasonOf(cause)}`,
  };
  return new TidemarkError("M_UNKNOWN", messages[why], { cause });
}

/** The tokens of a subject that say which stream it belongs to: `tidemark.log.3`. Rooms and users stay out of errors. */
function kindOf(subject: Subject): string {
  return subject.split(".", 3).join(".");
}

/** A message that is to be published. */
export interface Outgoing {
  readonly subject: Subject;
  readonly payload: Uint8Array;
}

interface SendOptions {
  readonly headers?: Headers;
  /** Returns true when the caller no longer wants the messages sent. */
  readonly closed: () => boolean;
  /** Called before each retry, with the number of messages and why they failed. */
  readonly again: (messages: number, reason: string) => void;
}

/** Sends messages until their streams have acknowledged all of them. Retries with exponential backoff. */
export async function sendAll(
  acked: Pick<AckedPublisher, "publish">,
  messages: readonly Outgoing[],
  { headers, closed, again }: SendOptions,
): Promise<void> {
  let left = messages;
  for (let pause = PUBLISH_RETRY_MS_MIN; left.length > 0; pause = Math.min(pause * 2, PUBLISH_RETRY_MS_MAX)) {
    const results = await Promise.allSettled(
      left.map(({ subject, payload }) => acked.publish(subject, payload, headers)),
    );
    const failure = results.find((result) => result.status === "rejected");
    if (failure === undefined) return;
    left = left.filter((_, i) => results[i]?.status === "rejected");
    if (closed()) return;
    again(left.length, reasonOf(failure.reason));
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}
