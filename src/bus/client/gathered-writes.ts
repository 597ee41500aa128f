/**
 * Where everything leaves that Tidemark publishes, except what the client library publishes by itself.
 *
 * A write to the socket costs more than what is written: it wakes the broker, and the broker wakes whoever it is for, so
 * that a cluster which is written to message by message spends most of its time on waking up. So what is published soon
 * after a write is gathered into the next one.
 *
 *     idle ──publish──▶ gathering ──all promises of this moment have gone on──▶ written
 *     written ──publish──▶ gathering ──WRITE_PAUSE_MS after the write, or WRITE_BYTES_MAX──▶ written
 *
 * Whoever publishes now and then waits for nothing: not even for the end of this turn of the event loop, which may be long
 * in a busy process.
 */
import type { NatsConnection, PublishOptions } from "nats";
import { WRITE_BYTES_MAX, WRITE_PAUSE_MS } from "../../limits.ts";
import type { Subject } from "../contract/subjects.ts";

interface Outgoing {
  readonly subject: Subject;
  readonly payload: Uint8Array;
  readonly options: PublishOptions | undefined;
  readonly failed: ((error: unknown) => void) | undefined;
}

interface OutgoingOptions extends PublishOptions {
  /** Told when the message can't be sent, which the client library sees only when it is given it. */
  readonly failed?: (error: unknown) => void;
}

class Outbox {
  readonly #nc: NatsConnection;
  #gathered: Outgoing[] = [];
  #bytes = 0;
  /** `performance.now()` */
  #writtenAt = Number.NEGATIVE_INFINITY;

  constructor(nc: NatsConnection) {
    this.#nc = nc;
  }

  add(message: Outgoing): void {
    this.#gathered.push(message);
    this.#bytes += message.payload.length;
    if (this.#bytes >= WRITE_BYTES_MAX) this.write();
    else if (this.#gathered.length === 1) this.#schedule();
  }

  /** The client library writes what it is given at once in one piece. */
  write(): void {
    const gathered = this.#gathered;
    if (gathered.length === 0) return;
    this.#gathered = [];
    this.#bytes = 0;
    this.#writtenAt = performance.now();
    for (const { subject, payload, options, failed } of gathered) {
      try {
        this.#nc.publish(subject, payload, options);
      } catch (error) {
        failed?.(error);
      }
    }
  }

  #schedule(): void {
    const wait = this.#writtenAt + WRITE_PAUSE_MS - performance.now();
    if (wait <= 0) queueMicrotask(() => this.write());
    else setTimeout(() => this.write(), wait);
  }
}

const outboxes = new WeakMap<NatsConnection, Outbox>();

/** Publishes within `WRITE_PAUSE_MS`, or a little later. */
export function publish(nc: NatsConnection, subject: Subject, payload: Uint8Array, options?: OutgoingOptions): void {
  let outbox = outboxes.get(nc);
  if (outbox === undefined) {
    outbox = new Outbox(nc);
    outboxes.set(nc, outbox);
  }
  outbox.add({ subject, payload, options, failed: options?.failed });
}

/** Sends what is gathered, and closes the connection. */
export async function closeBus(nc: NatsConnection): Promise<void> {
  outboxes.get(nc)?.write();
  await new Promise((resolve) => setImmediate(resolve)); // The client library writes at the end of this turn.
  await nc.close();
}
