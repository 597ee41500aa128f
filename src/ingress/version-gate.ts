/**
 * Holds back requests whose records a live worker can't read yet, during an upgrade: its partitions would stop at them.
 *
 * Plain events and receipts don't come through here.
 */
import type { Bus } from "../bus/client/connection.ts";
import { RecordVersions } from "../bus/leases/record-versions.ts";
import { reasonOf, TidemarkError } from "../errors.ts";
import { IN_FLIGHT_BYTES_MAX, RETRY_AFTER_MS } from "../limits.ts";

export class VersionGate {
  readonly #versions: RecordVersions;
  readonly #waiting = new Set<Promise<unknown>>();
  #waitingBytes = 0;

  constructor(nc: Bus) {
    this.#versions = new RecordVersions(nc);
  }

  /**
   * Calls `append` once every live worker is known to read records of this version. Throws `M_UNKNOWN` if one doesn't, or
   * if it can't be found out, and `M_LIMIT_EXCEEDED` if too much waits for that. `bytes`: the size of the request.
   */
  pass<T>(version: number, bytes: number, append: () => Promise<T>): Promise<T> {
    if (this.#waitingBytes + bytes > IN_FLIGHT_BYTES_MAX) {
      throw new TidemarkError("M_LIMIT_EXCEEDED", "too many requests wait for an answer about the workers", {
        retryAfterMs: RETRY_AFTER_MS,
      });
    }
    this.#waitingBytes += bytes;
    const checked = this.#check(version).finally(() => {
      this.#waitingBytes -= bytes;
      this.#waiting.delete(checked);
    });
    const passed = checked.then(append);
    this.#waiting.add(checked);
    return passed;
  }

  /** Resolves when nothing waits any more: `append` has been called, or the request refused. */
  async drain(): Promise<void> {
    await Promise.allSettled(this.#waiting);
  }

  async #check(version: number): Promise<void> {
    let read: number;
    try {
      read = await this.#versions.readByAll();
    } catch (cause) {
      throw new TidemarkError("M_UNKNOWN", `can't find out what the workers read: ${reasonOf(cause)}`, { cause });
    }
    if (read >= version) return;
    throw new TidemarkError(
      "M_UNKNOWN",
      `this needs records of version ${version}, and a live worker reads them up to ${read}: send it again when all workers are upgraded`,
    );
  }
}
