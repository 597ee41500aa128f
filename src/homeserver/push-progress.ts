/**
 * Whether a homeserver's pushes have reached what it has now. A homeserver that was kept from pushing goes on where it was, in the order
 * of its events. If a room of which nothing is known were imported meanwhile, events of it would be pushed after newer ones were
 * stored, and come out as the newest.
 *
 *     noticed ──┬── a local user's event, made after that, is pushed, in whatever room ──────────┬──▶ caught up, for a while
 *               └── the homeserver answers a ping, and pushes nothing for `IMPORT_SILENCE_MS` ───┘
 *
 * Only local users' events count: of others, another server says when they were made. Times are compared on the homeserver's own clock.
 */
import { setTimeout as delay } from "node:timers/promises";
import { IMPORT_SILENCE_MS } from "../limits.ts";

/** What was seen counts for so long: the pushes may stop again. */
const SILENCES_VALID = 2;
/** How often it is looked whether it was silent for long enough. */
const LOOKS_PER_SILENCE = 30;
/** Clocks of homeservers are read from a header that has whole seconds. */
const CLOCK_STEP_MS = 1_000;
const CLOCK_VALID_MS = 60_000;

interface PushProgressOptions {
  /** Rejects unless the homeserver has reached Tidemark. */
  readonly ping: () => Promise<void>;
  /** The homeserver's clock. */
  readonly clock: () => Promise<number>;
  /** Called repeatedly while it is watched. */
  readonly onLook: () => void;
  readonly signal: AbortSignal;
  /** Default: `IMPORT_SILENCE_MS`. */
  readonly silenceMs?: number;
}

/** When something was noticed. */
export interface Moment {
  /** The homeserver's clock, Unix time in ms. */
  readonly madeAt: number;
  /** `performance.now()` */
  readonly at: number;
}

export class PushProgress {
  readonly #options: PushProgressOptions;
  readonly #silenceMs: number;
  #pushedAt = performance.now();
  /** The newest local event that was pushed, and when. */
  #newest: Moment = { madeAt: Number.NEGATIVE_INFINITY, at: Number.NEGATIVE_INFINITY };
  /** When the last silence was long enough. */
  #silentAt = Number.NEGATIVE_INFINITY;
  #isWatching = false;
  /** The last reading of the homeserver's clock. */
  #read: Moment | undefined;

  constructor(options: PushProgressOptions) {
    this.#options = options;
    this.#silenceMs = options.silenceMs ?? IMPORT_SILENCE_MS;
  }

  async now(): Promise<Moment> {
    const at = performance.now();
    if (this.#read === undefined || at - this.#read.at > CLOCK_VALID_MS) {
      this.#read = { madeAt: await this.#options.clock(), at };
    }
    return { madeAt: this.#read.madeAt + at - this.#read.at, at };
  }

  /** Events were pushed. `madeAt`: when the homeserver made a local one of them. */
  pushed(madeAt?: number): void {
    this.#pushedAt = performance.now();
    if (madeAt !== undefined && madeAt >= this.#newest.madeAt) this.#newest = { madeAt, at: this.#pushedAt };
  }

  isCaughtUpSince({ madeAt, at }: Moment): boolean {
    const validFrom = performance.now() - this.#silenceMs * SILENCES_VALID;
    const hasPushed = this.#newest.at >= validFrom && this.#newest.madeAt >= madeAt + CLOCK_STEP_MS;
    return hasPushed || (this.#silentAt >= validFrom && this.#silentAt >= at);
  }

  /** Pings, and looks for silence, as long as `isWanted`. */
  watch(isWanted: () => boolean): void {
    if (this.#isWatching) return;
    this.#isWatching = true;
    void this.#watch(isWanted).finally(() => {
      this.#isWatching = false;
    });
  }

  async #watch(isWanted: () => boolean): Promise<void> {
    const { onLook, signal } = this.#options;
    while (isWanted() && !signal.aborted) {
      const isAnswered = await this.#ping();
      const pingedAt = performance.now();
      while (isWanted() && !signal.aborted && performance.now() - pingedAt < this.#silenceMs) {
        await delay(this.#silenceMs / LOOKS_PER_SILENCE, undefined, { signal }).catch(() => {});
        onLook();
      }
      if (isAnswered && this.#pushedAt <= pingedAt) this.#silentAt = performance.now();
      onLook();
    }
  }

  async #ping(): Promise<boolean> {
    try {
      await this.#options.ping();
      return true;
    } catch {
      return false;
    }
  }
}
