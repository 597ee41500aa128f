/**
 * Publishes to streams, and tells when the stream has acknowledged.
 *
 * What is not acknowledged within `ACK_TIMEOUT_MS` has failed as far as the caller may know: it may be stored all the
 * same. Both callers can live with that: a sender repeats its request, and a repeated delta changes nothing.
 */
import type { Msg, MsgHdrs, NatsConnection } from "nats";
import { reasonOf, TidemarkError } from "../../errors.ts";
import { ACK_TIMEOUT_MS, PUBLISH_RETRY_MS_MAX, PUBLISH_RETRY_MS_MIN } from "../../limits.ts";
import type { Subject } from "../contract/subjects.ts";
import { Replies, type Unanswered } from "./pending-replies.ts";

interface PubAck {
  readonly seq?: number;
  readonly error?: { readonly code: number; readonly description?: string };
}

const utf8 = new TextDecoder();

export class AckedPublisher {
  readonly #replies: Replies<number>;

  constructor(nc: NatsConnection) {
    this.#replies = new Replies(nc, { timeoutMs: ACK_TIMEOUT_MS, read: sequenceOf, unanswered: refusal });
  }

  /** Publishes; resolves to the stream sequence. Rejects with `M_UNKNOWN` and the cause. */
  publish(subject: Subject, payload: Uint8Array, headers?: MsgHdrs): Promise<number> {
    return this.#replies.ask(subject, payload, headers);
  }

  /** Fails what still waits. */
  close(): void {
    this.#replies.close();
  }
}

function sequenceOf({ data }: Msg): number {
  const ack = data.length === 0 ? undefined : (JSON.parse(utf8.decode(data)) as PubAck);
  if (ack?.seq !== undefined && ack.error === undefined) return ack.seq;
  const why = ack?.error?.description ?? "no stream takes it";
  throw new TidemarkError("M_UNKNOWN", `the log did not acknowledge: ${why}`);
}

function refusal({ why, cause }: Unanswered): TidemarkError {
  const messages = {
    timeout: `the log did not acknowledge within ${ACK_TIMEOUT_MS} ms`,
    closed: "Tidemark is stopping",
    "not sent": `not published: ${reasonOf(cause)}`,
  };
  return new TidemarkError("M_UNKNOWN", messages[why], { cause });
}

interface Outgoing {
  readonly subject: Subject;
  readonly payload: Uint8Array;
}

interface SendOptions {
  readonly headers?: MsgHdrs;
  /** Whether it is to be given up. */
  readonly closed: () => boolean;
  /** Told of how many messages are about to be sent again, and why. */
  readonly again: (messages: number, reason: string) => void;
}

/** Sends messages again and again, the pause doubling, until the streams have acknowledged all of them. */
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
