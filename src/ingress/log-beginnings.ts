/**
 * Gives each log that is empty a base (F1), once every worker can read it. A log that can't take it now (it has no leader, or is gone)
 * keeps nobody waiting for long: it is tried again while the process runs.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { Order } from "../../actors/entry.ts";
import type { Bus } from "../bus/client/connection.ts";
import { untilReached } from "../bus/client/retry.ts";
import { RECORD_VERSION } from "../bus/contract/record.ts";
import { RecordVersions } from "../bus/leases/record-versions.ts";
import { baseAt, beginLog } from "../bus/log/log.ts";
import { CLUSTER_READY_MS_MAX } from "../limits.ts";

/** How long a start waits for a log, once the cluster can be asked. */
const LOG_READY_MS_MAX = 10_000;
const AGAIN_MS = 5_000;

interface LogBeginningsOptions {
  readonly partitions: number;
  /** Default: Unix time in ms × 1,024. */
  readonly base: Order | undefined;
}

export class LogBeginnings {
  readonly #closing = new AbortController();

  private constructor() {}

  /** Resolves when all logs have begun, or after `LOG_READY_MS_MAX`. Throws `BUS_UNAVAILABLE` when the cluster can't be asked. */
  static async begin(nc: Bus, { partitions, base }: LogBeginningsOptions): Promise<LogBeginnings> {
    const beginnings = new LogBeginnings();
    const versions = new RecordVersions(nc);
    const isRead = await untilReached(AbortSignal.timeout(CLUSTER_READY_MS_MAX), () => versions.readByAll());
    if (isRead < RECORD_VERSION) return beginnings;
    const at = Date.now();
    const start = { base: base ?? baseAt(at), lineage: randomUUID(), parent: null };
    const limit = AbortSignal.timeout(LOG_READY_MS_MAX);
    const begin = async (partition: number) => {
      const attempt = () => beginLog(nc, partition, { at, start });
      await untilReached(limit, attempt).catch(() => void beginnings.#tryAgain(attempt));
    };
    await Promise.all(Array.from({ length: partitions }, (_, partition) => begin(partition)));
    return beginnings;
  }

  close(): void {
    this.#closing.abort();
  }

  async #tryAgain(attempt: () => Promise<unknown>): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      await delay(AGAIN_MS, undefined, { signal, ref: false }).catch(() => {});
      const hasBegun = await attempt().then(
        () => true,
        () => false,
      );
      if (hasBegun) return;
    }
  }
}
