/**
 * Requests for `/sync` that wait.
 *
 *     waiting ──change, the device was answered long ago──▶ again
 *             ──change, it was answered just now──▶ gathering ──SYNC_GATHER_MS after that answer──▶ again
 *             ──its time is over, or nobody may wait any more──▶ again
 *
 * A device that is answered asks again at once. In a busy room it would be answered for every single change; so what
 * comes within `SYNC_GATHER_MS` of an answer is gathered into the next, which spares the gateway most answers, and a
 * phone its radio. Who has waited longer than that hears of a change at once.
 */
import { SYNC_GATHER_MS } from "../limits.ts";
import { Deadlines } from "./deadlines.ts";
import type { OnlineUser } from "./online-users.ts";
import type { Device } from "./tokens.ts";

interface Waiting {
  readonly user: OnlineUser;
  readonly device: Device;
  /** When its time is over, `performance.now()`. */
  readonly until: number;
  /** Called once, unless it is given up before. */
  readonly again: () => void;
}

/** Gives up waiting. */
export type StopWaiting = () => void;

export class LongPolls {
  readonly #deadlines = new Deadlines<LongPoll>((poll) => this.#end(poll));
  readonly #open = new Set<LongPoll>();
  /** When a device was last answered, `performance.now()`. */
  readonly #answeredAt = new WeakMap<Device, number>();
  #closed = false;

  /** Whether nobody may wait any more. */
  get closed(): boolean {
    return this.#closed;
  }

  answered(device: Device): void {
    this.#answeredAt.set(device, performance.now());
  }

  /** Whether a device was answered just now. */
  gathers(device: Device): boolean {
    return this.#ripeAt(device) > performance.now();
  }

  /** Waits for the first change after the user's `version`. */
  wait(waiting: Waiting, version: number): StopWaiting {
    const poll = this.#begin(waiting, waiting.until);
    if (waiting.user.version === version) waiting.user.waiting.add(poll);
    else this.#wake(poll);
    return () => this.#stop(poll);
  }

  /** Waits until the device may be answered again, whatever happens. */
  gather(waiting: Waiting): StopWaiting {
    const poll = this.#begin(waiting, Math.min(this.#ripeAt(waiting.device), waiting.until));
    return () => this.#stop(poll);
  }

  /** Calls everybody again, and lets nobody wait any more. */
  close(): void {
    this.#closed = true;
    for (const poll of [...this.#open]) this.#end(poll);
  }

  #begin(waiting: Waiting, until: number): LongPoll {
    const poll: LongPoll = { ...waiting, wake: () => this.#wake(poll) };
    this.#open.add(poll);
    this.#deadlines.set(poll, until);
    return poll;
  }

  #wake(poll: LongPoll): void {
    if (!this.gathers(poll.device)) {
      this.#end(poll);
      return;
    }
    poll.user.waiting.delete(poll);
    this.#deadlines.set(poll, Math.min(this.#ripeAt(poll.device), poll.until));
  }

  #end(poll: LongPoll): void {
    this.#stop(poll);
    poll.again();
  }

  #stop(poll: LongPoll): void {
    this.#open.delete(poll);
    this.#deadlines.delete(poll);
    poll.user.waiting.delete(poll);
  }

  #ripeAt(device: Device): number {
    return (this.#answeredAt.get(device) ?? Number.NEGATIVE_INFINITY) + SYNC_GATHER_MS;
  }
}

interface LongPoll extends Waiting {
  readonly wake: () => void;
}
