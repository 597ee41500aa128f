/**
 * Requests that wait for a reply. All replies arrive at one inbox; the last token of their subject says which request each
 * one answers. The client library's own `request` makes a promise, a timer and an error with its stack per request; here a
 * request is one entry of a map.
 */
import type { Subject } from "../contract/subjects.ts";
import { type Bus, type BusMessage, type Headers, inboxOf } from "./connection.ts";
import { publish } from "./gathered-writes.ts";
import { type LastingSubscription, subscribe } from "./subscribe.ts";

/** A request without a reply, and why. */
export interface Unanswered {
  readonly subject: Subject;
  readonly why: "timeout" | "not sent" | "closed";
  readonly cause?: unknown;
}

interface PendingRepliesOptions<T> {
  /** How long a request may wait. It fails at most a tenth of this later. */
  readonly timeoutMs: number;
  /** Parses a reply. Throws when the reply is a refusal. */
  readonly read: (reply: BusMessage, subject: Subject) => T;
  /** Makes the error for a request without a reply. */
  readonly unanswered: (what: Unanswered) => Error;
}

interface PendingRequest<T> {
  readonly subject: Subject;
  readonly resolve: (reply: T) => void;
  readonly reject: (error: unknown) => void;
  /** `performance.now()` */
  readonly deadline: number;
}

/** Expired requests are swept this many times per timeout. */
const SWEEPS_PER_TIMEOUT = 10;

export class PendingReplies<T> {
  readonly #nc: Bus;
  readonly #options: PendingRepliesOptions<T>;
  readonly #inbox: string;
  readonly #subscription: LastingSubscription;
  readonly #timer: NodeJS.Timeout;
  /** By the token of their reply, sorted by deadline: all requests have the same timeout. */
  readonly #pending = new Map<string, PendingRequest<T>>();
  #count = 0;

  constructor(nc: Bus, options: PendingRepliesOptions<T>) {
    this.#nc = nc;
    this.#options = options;
    this.#inbox = `${inboxOf(nc)}.`;
    this.#subscription = subscribe(nc, `${this.#inbox}*`, { onMessage: (reply) => this.#received(reply) });
    this.#timer = setInterval(() => this.#sweep(), options.timeoutMs / SWEEPS_PER_TIMEOUT);
    this.#timer.unref();
  }

  /** Sends a request. Resolves to the parsed reply. Rejects when the reply is a refusal, or doesn't come. */
  ask(subject: Subject, payload: Uint8Array, headers?: Headers): Promise<T> {
    const token = (this.#count++).toString(36);
    return new Promise((resolve, reject) => {
      const deadline = performance.now() + this.#options.timeoutMs;
      this.#pending.set(token, { subject, resolve, reject, deadline });
      publish(this.#nc, subject, payload, {
        reply: this.#inbox + token,
        ...(headers !== undefined && { headers }),
        failed: (cause) => this.#fail(token, "not sent", cause),
      });
    });
  }

  /** Rejects every request that still waits. */
  close(): void {
    clearInterval(this.#timer);
    this.#subscription.unsubscribe();
    for (const token of this.#pending.keys()) this.#fail(token, "closed");
  }

  #received(reply: BusMessage): void {
    const pending = this.#remove(reply.subject.slice(this.#inbox.length));
    if (pending === undefined) return;
    try {
      pending.resolve(this.#options.read(reply, pending.subject));
    } catch (error) {
      pending.reject(error);
    }
  }

  #remove(token: string): PendingRequest<T> | undefined {
    const pending = this.#pending.get(token);
    this.#pending.delete(token);
    return pending;
  }

  #fail(token: string, why: Unanswered["why"], cause?: unknown): void {
    const pending = this.#remove(token);
    pending?.reject(this.#options.unanswered({ subject: pending.subject, why, cause }));
  }

  #sweep(): void {
    const now = performance.now();
    for (const [token, { deadline }] of this.#pending) {
      if (deadline > now) return;
      this.#fail(token, "timeout");
    }
  }
}
