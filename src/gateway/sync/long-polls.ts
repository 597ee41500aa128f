/**
 * `/sync` requests that wait for a change (long polls).
 *
 *     waiting ──change, last response is older than GatherTime──▶ resumed
 *             ──change, last response is newer──▶ gathering ──GatherTime after that response──▶ resumed
 *             ──timeout, or the gateway closes──▶ resumed
 *
 * A client syncs again as soon as it has a response. In a busy room it would get one response per change. So changes
 * that follow a response within `GatherTime` are gathered into the next one, which saves the gateway most of the
 * responses, and a phone its radio. A device that has waited longer is answered at once.
 *
 * A device has one request at a time, as with homeservers: a client that asks again no longer reads the answer to the
 * request before, which is answered at once.
 */
import { SYNCING_DEVICES_MAX } from "../../limits.ts";
import { ID_SEPARATOR } from "../../matrix/id-grammar.ts";
import type { Device } from "../tokens.ts";
import { GatherTime } from "./gather-time.ts";
import type { OnlineUser } from "./online-users.ts";
import { TimerWheel } from "./timer-wheel.ts";

export abstract class LongPoll {
  readonly device: Device;
  /** When the request times out, as a `performance.now()` time. */
  readonly until: number;
  /** The user whose changes it waits for. */
  user: OnlineUser | undefined;
  slot: number | undefined = undefined;
  /** Whether the device has sent another request since: then this one may not wait. */
  isSuperseded = false;
  readonly #polls: LongPolls;

  constructor(polls: LongPolls, device: Device, timeoutMs: number) {
    this.#polls = polls;
    this.device = device;
    this.until = performance.now() + timeoutMs;
  }

  /** Called once after each `wait` or `gather`, unless the poll is cancelled first. */
  abstract resume(): void;

  /** Called when something changed for the user. */
  wake(): void {
    this.#polls.wake(this);
  }
}

export class LongPolls {
  readonly #timeouts = new TimerWheel<LongPoll>((poll) => this.#resume(poll));
  /** When each device was last answered, as a `performance.now()` time. */
  readonly #answeredAt = new WeakMap<Device, number>();
  readonly #gatherTime = new GatherTime();
  /** The newest request of each device that is not answered yet. */
  readonly #newest = new Map<string | Device, LongPoll>();
  readonly #devicesMax: number;
  #closed = false;

  /** `devicesMax`: devices that may have a request at a time. */
  constructor(devicesMax = SYNCING_DEVICES_MAX) {
    this.#devicesMax = devicesMax;
  }

  /** Once closed, no request may wait. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Takes a request, whose device has no other from now on. Returns false if there are too many devices. */
  begin(poll: LongPoll): boolean {
    const key = keyOf(poll.device);
    const before = this.#newest.get(key);
    if (before === undefined && this.#newest.size >= this.#devicesMax) return false;
    this.#newest.set(key, poll);
    if (before !== undefined) {
      before.isSuperseded = true;
      if (before.slot !== undefined) this.#resume(before);
    }
    return true;
  }

  /** Forgets a request that is answered, or cancelled. */
  end(poll: LongPoll): void {
    this.cancel(poll);
    const key = keyOf(poll.device);
    if (this.#newest.get(key) === poll) this.#newest.delete(key);
  }

  /** Records that the device was answered now. */
  answered(device: Device): void {
    this.#answeredAt.set(device, performance.now());
  }

  /** Whether the device was answered less than `GatherTime` ago. */
  isGathering(device: Device): boolean {
    return this.#gatherUntil(device) > performance.now();
  }

  /** Waits for the first change after `version` of the user. */
  wait(poll: LongPoll, user: OnlineUser, version: number): void {
    poll.user = user;
    if (user.version === version) {
      user.waiting.add(poll);
      this.#timeouts.set(poll, poll.until);
    } else {
      this.wake(poll);
    }
  }

  /** Waits until the gather time of the device is over. */
  gather(poll: LongPoll): void {
    this.#timeouts.set(poll, Math.min(this.#gatherUntil(poll.device), poll.until));
  }

  wake(poll: LongPoll): void {
    if (!this.isGathering(poll.device)) {
      this.#resume(poll);
      return;
    }
    poll.user?.waiting.delete(poll);
    this.gather(poll);
  }

  /** Stops waiting. The poll is not resumed. */
  cancel(poll: LongPoll): void {
    this.#timeouts.delete(poll);
    poll.user?.waiting.delete(poll);
  }

  /** Resumes all polls. */
  close(): void {
    this.#closed = true;
    this.#gatherTime.close();
    for (const poll of this.#timeouts.all()) this.#resume(poll);
  }

  #resume(poll: LongPoll): void {
    this.cancel(poll);
    poll.resume();
  }

  #gatherUntil(device: Device): number {
    return (this.#answeredAt.get(device) ?? Number.NEGATIVE_INFINITY) + this.#gatherTime.ms;
  }
}

/** Clients without a device id are told apart by their tokens. */
function keyOf(device: Device): string | Device {
  return device.id === undefined ? device : `${device.user}${ID_SEPARATOR}${device.id}`;
}
