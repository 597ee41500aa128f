/**
 * Publishes rejections, beside the deltas: nothing else waits for them.
 *
 *     send ──▶ first try ──ack
 *                  └─failed─▶ waiting ──(again and again, with longer pauses)──ack
 *
 * A rejection counts as unpublished during its first try, so a crash doesn't lose it. Once a try has failed, the stream is taken for
 * broken: what waits then no longer counts, and beyond `REJECTIONS_WAITING_MAX` the oldest are dropped.
 */
import type { Logger } from "pino";
import type { Position } from "../../actors/entry.ts";
import type { AckedPublisher, Outgoing } from "../bus/client/acked-publisher.ts";
import type { Notice } from "../conditions.ts";
import { reasonOf } from "../errors.ts";

export const REJECTIONS_WAITING_MAX = 1_024;

/** The first and the longest pause before what waits is tried again. It doubles each time. */
const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 60_000;

interface RejectionPublisherOptions {
  readonly partition: number;
  readonly acked: Pick<AckedPublisher, "publish">;
  /** Says whether some wait because the stream has not acknowledged them. Default: nobody is told. */
  readonly unacknowledged?: Notice | undefined;
  readonly log: Logger;
  /** Called when first tries have ended. */
  readonly settled: () => void;
}

export class RejectionPublisher {
  readonly #options: RejectionPublisherOptions;
  /** First tries, by the oldest change of their room's delta. */
  readonly #trying = new Map<Promise<void>, Position>();
  readonly #waiting = new Set<Outgoing>();
  #tryingAgain: Promise<void> | undefined;
  #dropped = 0;
  #timer: NodeJS.Timeout | undefined;
  #pauseMs = RETRY_MS_MIN;
  #closed = false;

  constructor(options: RejectionPublisherOptions) {
    this.#options = options;
  }

  /** `since`: the oldest change of the delta that the rejections are of. */
  send(messages: readonly Outgoing[], since: Position): void {
    if (messages.length === 0) return;
    if (this.#waiting.size > 0) {
      this.#wait(messages);
      return;
    }
    const trying = this.#try(messages)
      .then((failed) => this.#wait(failed))
      .finally(() => {
        this.#trying.delete(trying);
        this.#options.settled();
      });
    this.#trying.set(trying, since);
  }

  /** The oldest change that counts as unpublished; undefined when none does. */
  oldest(): Position | undefined {
    return this.#trying.size === 0 ? undefined : Math.min(...this.#trying.values());
  }

  /** Waits for first tries, and tries what waits once more. What fails is given up. */
  async drain(): Promise<void> {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    await Promise.all([this.#tryWaiting(), ...this.#trying.keys()]);
    this.close();
    const { log, partition } = this.#options;
    const messages = this.#waiting.size;
    if (messages > 0) log.warn({ partition, messages, dropped: this.#dropped }, "rejections are given up");
    this.#waiting.clear();
  }

  close(): void {
    this.#closed = true;
    this.#options.unacknowledged?.(false);
    clearTimeout(this.#timer);
  }

  /** Returns the messages that were not acknowledged. */
  async #try(messages: readonly Outgoing[]): Promise<readonly Outgoing[]> {
    const { acked, unacknowledged } = this.#options;
    const results = await Promise.allSettled(messages.map(({ subject, payload }) => acked.publish(subject, payload)));
    const failure = results.find((result) => result.status === "rejected");
    if (failure === undefined) unacknowledged?.(false);
    if (failure === undefined || this.#closed) return [];
    const left = messages.filter((_, i) => results[i]?.status === "rejected");
    unacknowledged?.(true, { messages: left.length, reason: reasonOf(failure.reason) });
    return left;
  }

  #wait(messages: readonly Outgoing[]): void {
    for (const message of messages) this.#waiting.add(message);
    for (const oldest of this.#waiting) {
      if (this.#waiting.size <= REJECTIONS_WAITING_MAX) break;
      this.#waiting.delete(oldest);
      this.#dropped++;
    }
    if (this.#timer !== undefined || this.#closed || this.#waiting.size === 0) return;
    this.#timer = setTimeout(() => void this.#tryAgain(), this.#pauseMs);
    this.#pauseMs = Math.min(2 * this.#pauseMs, RETRY_MS_MAX);
  }

  async #tryAgain(): Promise<void> {
    await this.#tryWaiting();
    this.#timer = undefined;
    if (this.#waiting.size === 0) this.#pauseMs = RETRY_MS_MIN;
    else this.#wait([]);
  }

  #tryWaiting(): Promise<void> {
    this.#tryingAgain ??= this.#tryEachWaiting().finally(() => {
      this.#tryingAgain = undefined;
    });
    return this.#tryingAgain;
  }

  async #tryEachWaiting(): Promise<void> {
    const waiting = [...this.#waiting];
    const failed = new Set(await this.#try(waiting));
    for (const message of waiting) if (!failed.has(message)) this.#waiting.delete(message);
  }
}
