/**
 * Publishes to streams, and tells when the stream has acknowledged.
 *
 * What is not acknowledged within `ACK_TIMEOUT_MS` has failed as far as the caller may know: it may be stored all the
 * same. Both callers can live with that: a sender repeats its request, and a repeated delta changes nothing.
 */
import type { Msg, MsgHdrs, NatsConnection } from "nats";
import { reasonOf, TidemarkError } from "../errors.ts";
import { ACK_TIMEOUT_MS } from "../limits.ts";
import { Replies, type Unanswered } from "./replies.ts";
import type { Subject } from "./subjects.ts";

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
