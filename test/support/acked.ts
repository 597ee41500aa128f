/** A broker that acknowledges when the test says so, and remembers what it was sent. */
import type { MsgHdrs } from "nats";
import { decode } from "../../src/bus/contract/codec.ts";
import type { Subject } from "../../src/bus/contract/subjects.ts";

export interface Sent {
  /** The kind of the message: the last token of its subject, or what its second one says. */
  readonly subject: string;
  // biome-ignore lint/suspicious/noExplicitAny: payloads are read as a reader does, field by field
  readonly payload: any;
  readonly bytes: number;
  /** What the header says was published. */
  readonly published: number;
  /** `performance.now()` */
  readonly at: number;
  readonly ack: () => void;
  readonly fail: () => void;
}

export class FakeBroker {
  /** All that was sent, in order. */
  readonly sent: Sent[] = [];
  /** Acknowledges by itself what comes from now on. */
  acking = false;
  #next = 0;
  #arrived: (() => void) | undefined;

  readonly publish = (subject: Subject, payload: Uint8Array, headers?: MsgHdrs): Promise<number> =>
    new Promise((resolve, reject) => {
      const sequence = this.sent.length + 1;
      this.sent.push({
        subject,
        payload: decode(payload),
        bytes: payload.length,
        published: Number(headers?.get("Tidemark-Published")),
        at: performance.now(),
        ack: () => resolve(sequence),
        fail: () => reject(new Error("not acknowledged")),
      });
      if (this.acking) resolve(sequence);
      this.#arrived?.();
    });

  /** The next message, once it has come. */
  async next(): Promise<Sent> {
    while (this.sent.length === this.#next) {
      await new Promise<void>((resolve) => {
        this.#arrived = resolve;
      });
    }
    return this.sent[this.#next++]!;
  }

  /** Messages that `next` has not handed out. */
  get waiting(): number {
    return this.sent.length - this.#next;
  }
}
