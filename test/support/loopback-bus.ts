/** A connection without a broker, whose log acknowledges everything: for what thousands of requests do to an ingress. */
import type { Bus, BusMessage } from "../../src/bus/client/connection.ts";

type Callback = (error: Error | null, message: BusMessage) => void;

/** Replies to requests of the test arrive here. */
const REPLIES = "replies";

export class LoopbackBus {
  /** The records of the log, in order. */
  readonly records: Uint8Array[] = [];
  /** The replies to `request`, in order of arrival. */
  readonly replies: Uint8Array[] = [];
  /** By subject without its last token. */
  readonly #subscriptions = new Map<string, Callback>();

  get nc(): Bus {
    return this as unknown as Bus;
  }

  isClosed(): boolean {
    return false;
  }

  /** Delivers a request, as the broker does. */
  request(subject: string, data: Uint8Array): void {
    this.#deliver(subject, data, REPLIES);
  }

  subscribe(subject: string, { callback }: { readonly callback: Callback }) {
    const key = withoutLast(subject);
    this.#subscriptions.set(key, callback);
    const unsubscribe = () => void this.#subscriptions.delete(key);
    return { unsubscribe, drain: async () => unsubscribe() };
  }

  publish(subject: string, payload: Uint8Array, options?: { readonly reply?: string }): void {
    if (subject === REPLIES) {
      this.replies.push(payload);
      return;
    }
    const { reply } = options ?? {};
    if (!subject.startsWith("tidemark.log.") || reply === undefined) throw new Error(`nobody takes ${subject}`);
    const seq = this.records.push(Uint8Array.from(payload));
    setImmediate(() => this.#deliver(reply, Buffer.from(JSON.stringify({ stream: "LOG", seq }))));
  }

  #deliver(subject: string, data: Uint8Array, reply?: string): void {
    const message = { subject, data, ...(reply !== undefined && { reply }) };
    this.#subscriptions.get(withoutLast(subject))?.(null, message as unknown as BusMessage);
  }
}

function withoutLast(subject: string): string {
  return subject.slice(0, subject.lastIndexOf("."));
}
