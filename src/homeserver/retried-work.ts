/** Work in the background, one item after the other. What fails is tried again, a few times. It waits in memory alone, as much as is allowed. */
import { setTimeout as delay } from "node:timers/promises";

interface RetriedWorkOptions<T> {
  readonly work: (item: T) => Promise<void>;
  /** Called for each item that finds no place, or whose every attempt failed. */
  readonly onGivenUp: () => void;
  readonly attemptsMax: number;
  readonly waitingMax: number;
  /** The pause after a failure, ms. */
  readonly retryMs: number;
}

interface Waiting<T> {
  readonly item: T;
  readonly failures: number;
}

export class RetriedWork<T> {
  readonly #options: RetriedWorkOptions<T>;
  readonly #waiting = new Map<string, Waiting<T>>();
  readonly #closing = new AbortController();
  #working: Promise<void> | undefined;

  constructor(options: RetriedWorkOptions<T>) {
    this.#options = options;
  }

  has(key: string): boolean {
    return this.#waiting.has(key);
  }

  /** Replaces what waits under this key. It is begun by `start`. */
  add(key: string, item: T): void {
    if (!this.has(key) && this.#waiting.size >= this.#options.waitingMax) this.#options.onGivenUp();
    else this.#waiting.set(key, { item, failures: 0 });
  }

  start(): void {
    if (this.#waiting.size === 0 || this.#closing.signal.aborted) return;
    this.#working ??= this.#workThrough().finally(() => {
      this.#working = undefined;
      this.start();
    });
  }

  /** Ends what is under way. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#working;
  }

  /** Never rejects. */
  async #workThrough(): Promise<void> {
    const { work, onGivenUp, attemptsMax, retryMs } = this.#options;
    const { signal } = this.#closing;
    for (const [key, { item, failures: before }] of this.#waiting) {
      if (signal.aborted) return;
      this.#waiting.delete(key);
      try {
        await work(item);
      } catch {
        if (signal.aborted) return;
        const failures = before + 1;
        if (failures === attemptsMax) onGivenUp();
        else if (!this.has(key)) this.#waiting.set(key, { item, failures });
        await delay(retryMs, undefined, { signal }).catch(() => {});
      }
    }
  }
}
