/** A fake broker that records messages, and acknowledges them when the test says so. */
import type { MsgHdrs } from "nats";
import { decode } from "../../src/bus/contract/codec.ts";
import type { Subject } from "../../src/bus/contract/subjects.ts";

export interface Sent {
  readonly subject: string;
  // biome-ignore lint/suspicious/noExplicitAny: payloads are read as a reader does, field by field
  readonly payload: any;
  readonly bytes: number;
  /** The published position in the header. */
  readonly published: number;
  /** `performance.now()` */
  readonly at: number;
  readonly ack: () => void;
  readonly fail: () => void;
}

export class FakeBroker {
  /** All messages so far, in order. */
  readonly sent: Sent[] = [];
  /** While true, every message is acknowledged at once. */
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

  /** Resolves to the next message, once it has arrived. */
  async next(): Promise<Sent> {
    while (this.sent.length === this.#next) {
      await new Promise<void>((resolve) => {
        this.#arrived = resolve;
      });
    }
    return this.sent[this.#next++]!;
  }

  /** How many messages `next` has not returned yet. */
  get waiting(): number {
    return this.sent.length - this.#next;
  }
}
