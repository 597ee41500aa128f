/**
 * Coalesces what Tidemark publishes into few writes to the broker's socket. Everything leaves through here, except what the
 * client library publishes by itself.
 *
 * A write to the socket costs more than its bytes: it wakes the broker, and the broker wakes the receivers. A cluster that
 * writes message by message spends most of its time on waking up. So messages that follow soon after a write are gathered
 * for the next one.
 *
 *     idle ──publish──▶ gathering ──microtasks that were queued before have run──▶ written
 *     written ──publish──▶ gathering ──WRITE_PAUSE_MS after the write, or WRITE_BYTES_MAX──▶ written
 *
 * A process that publishes now and then waits for nothing, not even for the end of the current turn of the event loop,
 * which may be long in a busy process.
 */
import type { Subject } from "../contract/subjects.ts";
import type { Bus, Headers } from "./connection.ts";

/** Messages that follow this soon after a write to the socket are gathered for the next write, unless they reach this size. */
const WRITE_PAUSE_MS = 2;
export const WRITE_BYTES_MAX = 262_144;

interface PublishOptions {
  readonly reply?: string;
  readonly headers?: Headers;
  /** Called when the message can't be sent, which the client library notices only when the message is handed to it. */
  readonly failed?: (error: unknown) => void;
}

interface Outgoing {
  readonly subject: Subject;
  readonly payload: Uint8Array;
  readonly options: PublishOptions | undefined;
}

class GatheredWrites {
  readonly #nc: Bus;
  #gathered: Outgoing[] = [];
  #bytes = 0;
  /** `performance.now()` */
  #writtenAt = Number.NEGATIVE_INFINITY;

  constructor(nc: Bus) {
    this.#nc = nc;
  }

  add(message: Outgoing): void {
    this.#gathered.push(message);
    this.#bytes += message.payload.length;
    if (this.#bytes >= WRITE_BYTES_MAX) this.flush();
    else if (this.#gathered.length === 1) this.#schedule();
  }

  /** The client library writes everything that it gets in one turn as one piece. */
  flush(): void {
    const gathered = this.#gathered;
    if (gathered.length === 0) return;
    this.#gathered = [];
    this.#bytes = 0;
    this.#writtenAt = performance.now();
    for (const { subject, payload, options } of gathered) {
      try {
        this.#nc.publish(subject, payload, options);
      } catch (error) {
        options?.failed?.(error);
      }
    }
  }

  #schedule(): void {
    const wait = this.#writtenAt + WRITE_PAUSE_MS - performance.now();
    if (wait <= 0) queueMicrotask(() => this.flush());
    else setTimeout(() => this.flush(), wait);
  }
}

const writesByConnection = new WeakMap<Bus, GatheredWrites>();

/** Publishes within `WRITE_PAUSE_MS`, or a little later. */
export function publish(nc: Bus, subject: Subject, payload: Uint8Array, options?: PublishOptions): void {
  let writes = writesByConnection.get(nc);
  if (writes === undefined) {
    writes = new GatheredWrites(nc);
    writesByConnection.set(nc, writes);
  }
  writes.add({ subject, payload, options });
}

/** Sends what is gathered, then closes the connection. */
export async function closeBus(nc: Bus): Promise<void> {
  writesByConnection.get(nc)?.flush();
  await new Promise((resolve) => setImmediate(resolve)); // The client library writes at the end of this turn.
  await nc.close();
}
