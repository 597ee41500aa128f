/**
 * Requests for `/sync` that wait.
 *
 *     waiting ──change, the device was answered long ago──▶ again
 *             ──change, it was answered just now──▶ gathering ──GatherTime after that answer──▶ again
 *             ──its time is over, or nobody may wait any more──▶ again
 *
 * A device that is answered asks again at once. In a busy room it would be answered for every single change; so what
 * comes so soon after an answer (`GatherTime`) is gathered into the next, which spares the gateway most answers, and a
 * phone its radio. Who has waited longer than that hears of a change at once.
 */

import type { Device } from "../tokens.ts";
import { Deadlines } from "./deadlines.ts";
import { GatherTime } from "./gather-time.ts";
import type { OnlineUser } from "./online-users.ts";

export abstract class LongPoll {
  readonly device: Device;
  /** When its time is over, `performance.now()`. */
  readonly until: number;
  /** Whose changes it waits for. */
  user: OnlineUser | undefined;
  slot: number | undefined = undefined;
  readonly #polls: LongPolls;

  constructor(polls: LongPolls, device: Device, timeoutMs: number) {
    this.#polls = polls;
    this.device = device;
    this.until = performance.now() + timeoutMs;
  }

  /** Called once for each time that it waits, unless that is given up before. */
  abstract again(): void;

  /** Something changed. */
  wake(): void {
    this.#polls.wake(this);
  }
}

export class LongPolls {
  readonly #deadlines = new Deadlines<LongPoll>((poll) => this.#end(poll));
  /** When a device was last answered, `performance.now()`. */
  readonly #answeredAt = new WeakMap<Device, number>();
  readonly #gatherTime = new GatherTime();
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

  /** Waits for the first change after a version of the user. */
  wait(poll: LongPoll, user: OnlineUser, version: number): void {
    poll.user = user;
    if (user.version === version) {
      user.waiting.add(poll);
      this.#deadlines.set(poll, poll.until);
    } else {
      this.wake(poll);
    }
  }

  /** Waits until the device may be answered again, whatever happens. */
  gather(poll: LongPoll): void {
    this.#deadlines.set(poll, Math.min(this.#ripeAt(poll.device), poll.until));
  }

  wake(poll: LongPoll): void {
    if (!this.gathers(poll.device)) {
      this.#end(poll);
      return;
    }
    poll.user?.waiting.delete(poll);
    this.gather(poll);
  }

  /** Gives up waiting. */
  stop(poll: LongPoll): void {
    this.#deadlines.delete(poll);
    poll.user?.waiting.delete(poll);
  }

  /** Calls everybody again, and lets nobody wait any more. */
  close(): void {
    this.#closed = true;
    this.#gatherTime.close();
    for (const poll of this.#deadlines.all()) this.#end(poll);
  }

  #end(poll: LongPoll): void {
    this.stop(poll);
    poll.again();
  }

  #ripeAt(device: Device): number {
    return (this.#answeredAt.get(device) ?? Number.NEGATIVE_INFINITY) + this.#gatherTime.ms;
  }
}
