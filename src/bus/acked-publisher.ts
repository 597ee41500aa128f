/**
 * Publishes to streams, and tells when the stream has acknowledged.
 *
 * All acknowledgements come to one shared inbox, told apart by its last token. `js.publish` opens a request each time
 * and does 15–17 thousand a second; this does 89–136 thousand (DESIGN 9).
 *
 * What is not acknowledged within `ACK_TIMEOUT_MS` has failed as far as the caller may know: it may be stored all the
 * same. Both callers can live with that: a sender repeats its request, and a repeated delta changes nothing.
 */
import type { Msg, MsgHdrs, NatsConnection, Subscription } from "nats";
import { reasonOf, TidemarkError } from "../errors.ts";
import { ACK_TIMEOUT_MS } from "../limits.ts";
import { inboxOf } from "./connection.ts";
import type { Subject } from "./subjects.ts";

interface Waiting {
  readonly resolve: (sequence: number) => void;
  readonly reject: (error: TidemarkError) => void;
  /** `performance.now()` */
  readonly deadline: number;
}

interface PubAck {
  readonly seq?: number;
  readonly error?: { readonly code: number; readonly description?: string };
}

const utf8 = new TextDecoder();

export class AckedPublisher {
  readonly #nc: NatsConnection;
  readonly #inbox: string;
  readonly #subscription: Subscription;
  readonly #timer: NodeJS.Timeout;
  /** In the order of their deadlines: all wait equally long. */
  readonly #waiting = new Map<string, Waiting>();
  #count = 0;

  constructor(nc: NatsConnection) {
    this.#nc = nc;
    this.#inbox = `${inboxOf(nc)}.`;
    this.#subscription = nc.subscribe(`${this.#inbox}*`, {
      callback: (error, message) => {
        if (error === null) this.#acknowledged(message);
      },
    });
    this.#timer = setInterval(() => this.#expire(), ACK_TIMEOUT_MS / 10);
    this.#timer.unref();
  }

  /** Publishes; resolves to the stream sequence. Rejects with `M_UNKNOWN` and the cause. */
  publish(subject: Subject, payload: Uint8Array, headers?: MsgHdrs): Promise<number> {
    const token = (this.#count++).toString(36);
    return new Promise((resolve, reject) => {
      this.#waiting.set(token, { resolve, reject, deadline: performance.now() + ACK_TIMEOUT_MS });
      try {
        const reply = this.#inbox + token;
        this.#nc.publish(subject, payload, headers === undefined ? { reply } : { reply, headers });
      } catch (cause) {
        this.#waiting.delete(token);
        reject(new TidemarkError("M_UNKNOWN", `not published: ${reasonOf(cause)}`, { cause }));
      }
    });
  }

  /** Fails what still waits. */
  close(): void {
    clearInterval(this.#timer);
    this.#subscription.unsubscribe();
    for (const { reject } of this.#waiting.values()) reject(new TidemarkError("M_UNKNOWN", "Tidemark is stopping"));
    this.#waiting.clear();
  }

  #acknowledged(message: Msg): void {
    const token = message.subject.slice(this.#inbox.length);
    const waiting = this.#waiting.get(token);
    if (waiting === undefined) return;
    this.#waiting.delete(token);
    const ack = message.data.length === 0 ? undefined : (JSON.parse(utf8.decode(message.data)) as PubAck);
    if (ack?.seq !== undefined && ack.error === undefined) {
      waiting.resolve(ack.seq);
    } else {
      const why = ack?.error?.description ?? "no stream takes it";
      waiting.reject(new TidemarkError("M_UNKNOWN", `the log did not acknowledge: ${why}`));
    }
  }

  #expire(): void {
    const now = performance.now();
    for (const [token, { deadline, reject }] of this.#waiting) {
      if (deadline > now) return;
      this.#waiting.delete(token);
      reject(new TidemarkError("M_UNKNOWN", `the log did not acknowledge within ${ACK_TIMEOUT_MS} ms`));
    }
  }
}
