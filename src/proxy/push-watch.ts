/**
 * Whether the homeserver's pushes reach Tidemark, as a proxy sees it. A homeserver that could not push waits, for minutes perhaps,
 * and meanwhile every answer with new events would wait in vain.
 *
 *                an answer waited in vain,               the homeserver
 *                or a push could not be stored           answers a ping
 *     flowing ────────────────────────────────▶ stalled ───────────────▶ tried ──the same once more──▶ stalled
 *        ▲                                         │                       │
 *        └──── a push comes: a stored transaction, or a delta with live events (pushes may go to another process)
 *
 * - An answer waited in vain when a young event of a room that Tidemark knows did not come, and no push came meanwhile either. One
 *   event that is never pushed says nothing while others are, and old ones may be from before Tidemark.
 * - While it is stalled, nothing waits for orders. Once a ping was answered, pushes are due, and it is tried again.
 * - A ping is asked for when this process serves, when Tidemark was away and is back, and in a stall: then with pauses. They are twice as
 *   long each time that a ping was answered and no push came; one that fails costs nothing, and tells soon that the way is free again.
 */
import { PUSH_PING_PAUSE_MS, PUSH_PING_PAUSE_MS_MAX } from "../limits.ts";

export type PingOutcome = "answered" | "failed";

interface PushWatchOptions {
  /** Rejects unless the homeserver has reached Tidemark. Default: nobody can ask it. */
  readonly ping: (() => Promise<void>) | undefined;
  /** Called when a stall begins, and when it ends, with how long it was in ms. */
  readonly onStalled: (isStalled: boolean, ms: number) => void;
  readonly onPing: (outcome: PingOutcome, error?: unknown) => void;
  /** The first pause between pings. Default: `PUSH_PING_PAUSE_MS`. */
  readonly pauseMs?: number;
}

export class PushWatch {
  readonly #options: PushWatchOptions;
  readonly #firstPauseMs: number;
  #state: "flowing" | "stalled" | "tried" = "flowing";
  #isServing = false;
  #isPinging = false;
  #timer: NodeJS.Timeout | undefined;
  #pauseMs: number;
  /** Times are of `performance.now()`. */
  #stalledAt = 0;
  #pushedAt = Number.NEGATIVE_INFINITY;
  #pingedAt = Number.NEGATIVE_INFINITY;
  #triedAt = 0;

  constructor(options: PushWatchOptions) {
    this.#options = options;
    this.#firstPauseMs = options.pauseMs ?? PUSH_PING_PAUSE_MS;
    this.#pauseMs = this.#firstPauseMs;
  }

  /** Whether an answer may wait for orders of events that are about to be pushed. */
  get mayWait(): boolean {
    return this.#state !== "stalled";
  }

  /** The homeserver can reach Tidemark through this process, or another one, from now on. */
  serve(): void {
    this.#isServing = true;
    this.#pingAfter(0);
  }

  /** Tidemark was away, and is back: what was pushed meanwhile was refused. */
  back(): void {
    this.#pauseMs = this.#firstPauseMs;
    if (this.#isServing) this.#pingAfter(0);
  }

  /** A push has come. */
  pushed(): void {
    const now = performance.now();
    this.#pushedAt = now;
    if (this.#state === "flowing") return;
    this.#state = "flowing";
    this.#pauseMs = this.#firstPauseMs;
    clearTimeout(this.#timer);
    this.#options.onStalled(false, now - this.#stalledAt);
  }

  /** A push came to this process, and could not be stored: the homeserver waits before it pushes again. */
  refused(): void {
    this.#stall();
  }

  /** An answer waited for an event that was sent a moment ago, from `since` on (`performance.now()`), and it did not come. */
  inVain(since: number): void {
    if (this.#pushedAt >= since || (this.#state === "tried" && since < this.#triedAt)) return;
    this.#stall();
  }

  close(): void {
    this.#isServing = false;
    clearTimeout(this.#timer);
  }

  #stall(): void {
    if (this.#state === "stalled") return;
    const isNew = this.#state === "flowing";
    this.#state = "stalled";
    if (isNew) {
      this.#stalledAt = performance.now();
      this.#options.onStalled(true, 0);
    }
    this.#pingAfter(isNew ? 0 : this.#pauseMs);
  }

  /** Never sooner than the first pause after the last ping. */
  #pingAfter(ms: number): void {
    if (!this.#isServing || this.#isPinging || this.#options.ping === undefined) return;
    clearTimeout(this.#timer);
    const soonest = this.#pingedAt + this.#firstPauseMs - performance.now();
    this.#timer = setTimeout(() => void this.#ping(), Math.max(ms, soonest)).unref();
  }

  async #ping(): Promise<void> {
    const { ping, onPing } = this.#options;
    this.#isPinging = true;
    this.#pingedAt = performance.now();
    try {
      await ping?.();
      onPing("answered");
      if (this.#state === "stalled") {
        this.#state = "tried";
        this.#triedAt = performance.now();
      }
      // What is answered and changes nothing holds up answers in vain each time.
      if (this.#state !== "flowing") this.#pauseMs = Math.min(this.#pauseMs * 2, PUSH_PING_PAUSE_MS_MAX);
    } catch (error) {
      onPing("failed", error);
    }
    this.#isPinging = false;
    if (this.#state === "stalled") this.#pingAfter(this.#pauseMs);
  }
}
