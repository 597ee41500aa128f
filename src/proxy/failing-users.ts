/** Users about whom the homeserver can't be asked, while it may answer about others: each is tried again after longer pauses. */
import { PROXY_MARKER_SYNC_RETRY_MS_MAX } from "../limits.ts";
import type { UserId } from "../matrix/ids.ts";

interface FailingUser {
  readonly failures: number;
  /** undefined once the pause is over. */
  readonly timer: NodeJS.Timeout | undefined;
}

interface FailingUsersOptions {
  /** The first pause, ms. Each further one is twice as long, at most `PROXY_MARKER_SYNC_RETRY_MS_MAX`. */
  readonly pauseMs: number;
  /** Called when a user's pause is over. */
  readonly onOver: (user: UserId) => void;
}

export class FailingUsers {
  readonly #options: FailingUsersOptions;
  readonly #users = new Map<UserId, FailingUser>();

  constructor(options: FailingUsersOptions) {
    this.#options = options;
  }

  isPausing(user: UserId): boolean {
    return this.#users.get(user)?.timer !== undefined;
  }

  failed(user: UserId): void {
    const before = this.#users.get(user);
    clearTimeout(before?.timer);
    const failures = (before?.failures ?? 0) + 1;
    const pauseMs = Math.min(this.#options.pauseMs * 2 ** (failures - 1), PROXY_MARKER_SYNC_RETRY_MS_MAX);
    const over = () => {
      this.#endPause(user);
      this.#options.onOver(user);
    };
    this.#users.set(user, { failures, timer: setTimeout(over, pauseMs).unref() });
  }

  succeeded(user: UserId): void {
    clearTimeout(this.#users.get(user)?.timer);
    this.#users.delete(user);
  }

  /** What kept the homeserver from answering may be over. Returns those who paused. Who fails again still waits longer. */
  endPauses(): UserId[] {
    const paused = [...this.#users.keys()].filter((user) => this.isPausing(user));
    for (const user of paused) this.#endPause(user);
    return paused;
  }

  close(): void {
    for (const { timer } of this.#users.values()) clearTimeout(timer);
  }

  #endPause(user: UserId): void {
    const { failures, timer } = this.#users.get(user)!;
    clearTimeout(timer);
    this.#users.set(user, { failures, timer: undefined });
  }
}
