/** A connection without a broker. */
import type { Bus, BusMessage } from "../../src/bus/client/connection.ts";

/** A connection that records requests, and which payloads were written together. */
export class FakeConnection {
  readonly writes: { readonly payloads: number[] }[] = [];
  readonly replies: string[] = [];
  closed = false;
  refuses = false;
  #open: number[] | undefined;
  #inbox: ((error: Error | null, message: BusMessage) => void) | undefined;
  #waiting: (() => void) | undefined;

  get nc(): Bus {
    return this as unknown as Bus;
  }

  publish(_subject: string, payload: Uint8Array, options?: { reply?: string }): void {
    if (this.refuses) throw new Error("closed");
    if (options?.reply !== undefined) this.replies.push(options.reply);
    if (this.#open === undefined) {
      const payloads: number[] = [];
      this.#open = payloads;
      queueMicrotask(() => {
        this.#open = undefined;
        this.writes.push({ payloads });
        this.#waiting?.();
      });
    }
    this.#open.push(payload[0] ?? 0);
  }

  subscribe(_subject: string, { callback }: { callback: (error: Error | null, message: BusMessage) => void }) {
    this.#inbox = callback;
    return { unsubscribe: () => {} };
  }

  /** Delivers a reply, as the broker does. */
  deliver(subject: string, data: string): void {
    this.#inbox?.(null, { subject, data: Buffer.from(data) } as unknown as BusMessage);
  }

  isClosed(): boolean {
    return this.closed;
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  async written(count: number): Promise<void> {
    while (this.writes.length < count) await new Promise<void>((resolve) => (this.#waiting = resolve));
  }
}
