/**
 * Messages that are answered: all replies come to one inbox, told apart by its last token. The client library's own
 * requests make a promise, a timer and an error with its stack for each; here each is one entry of a map.
 */
import type { Msg, MsgHdrs, NatsConnection, Subscription } from "nats";
import type { Subject } from "../contract/subjects.ts";
import { inboxOf } from "./connection.ts";
import { publish } from "./gathered-writes.ts";

/** What was not answered, and why. */
export interface Unanswered {
  readonly subject: Subject;
  readonly why: "timeout" | "not sent" | "closed";
  readonly cause?: unknown;
}

interface RepliesOptions<T> {
  /** What isn't answered within so long, or a tenth more, has failed. */
  readonly timeoutMs: number;
  /** What a reply says. Throws when it refuses. */
  readonly read: (reply: Msg, subject: Subject) => T;
  /** What is thrown when there is none. */
  readonly unanswered: (what: Unanswered) => Error;
}

interface Waiting<T> {
  readonly subject: Subject;
  readonly resolve: (reply: T) => void;
  readonly reject: (error: unknown) => void;
  /** `performance.now()` */
  readonly deadline: number;
}

/** Deadlines are looked at so often, in each time that they give. */
const CHECKS_PER_TIMEOUT = 10;

export class Replies<T> {
  readonly #nc: NatsConnection;
  readonly #options: RepliesOptions<T>;
  readonly #inbox: string;
  readonly #subscription: Subscription;
  readonly #timer: NodeJS.Timeout;
  /** In the order of their deadlines: all wait equally long. */
  readonly #waiting = new Map<string, Waiting<T>>();
  #count = 0;

  constructor(nc: NatsConnection, options: RepliesOptions<T>) {
    this.#nc = nc;
    this.#options = options;
    this.#inbox = `${inboxOf(nc)}.`;
    this.#subscription = nc.subscribe(`${this.#inbox}*`, {
      callback: (error, reply) => {
        if (error === null) this.#received(reply);
      },
    });
    this.#timer = setInterval(() => this.#expire(), options.timeoutMs / CHECKS_PER_TIMEOUT);
    this.#timer.unref();
  }

  /** Resolves to what the reply says. Rejects when it refuses, or doesn't come. */
  ask(subject: Subject, payload: Uint8Array, headers?: MsgHdrs): Promise<T> {
    const token = (this.#count++).toString(36);
    return new Promise((resolve, reject) => {
      const deadline = performance.now() + this.#options.timeoutMs;
      this.#waiting.set(token, { subject, resolve, reject, deadline });
      publish(this.#nc, subject, payload, {
        reply: this.#inbox + token,
        ...(headers !== undefined && { headers }),
        failed: (cause) => this.#giveUp(token, "not sent", cause),
      });
    });
  }

  /** Fails what still waits. */
  close(): void {
    clearInterval(this.#timer);
    this.#subscription.unsubscribe();
    for (const token of this.#waiting.keys()) this.#giveUp(token, "closed");
  }

  #received(reply: Msg): void {
    const waiting = this.#take(reply.subject.slice(this.#inbox.length));
    if (waiting === undefined) return;
    try {
      waiting.resolve(this.#options.read(reply, waiting.subject));
    } catch (error) {
      waiting.reject(error);
    }
  }

  #take(token: string): Waiting<T> | undefined {
    const waiting = this.#waiting.get(token);
    this.#waiting.delete(token);
    return waiting;
  }

  #giveUp(token: string, why: Unanswered["why"], cause?: unknown): void {
    const waiting = this.#take(token);
    waiting?.reject(this.#options.unanswered({ subject: waiting.subject, why, cause }));
  }

  #expire(): void {
    const now = performance.now();
    for (const [token, { deadline }] of this.#waiting) {
      if (deadline > now) return;
      this.#giveUp(token, "timeout");
    }
  }
}
