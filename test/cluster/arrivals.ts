/**
 * What a reader of core subjects sees of a stretch of time: how long a partition was silent, and what came twice or not
 * at all.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { NatsConnection } from "nats";
import { type Body, decoded } from "../support/harness.ts";

const CALM_MS = 3_000;
const CALM_SILENT_MS_MAX = 500;
const CALM_ATTEMPTS_MAX = 10;

export interface Stretch {
  /** The longest time without a delta of a partition that has any, ms. */
  end(): { readonly silentMs: number; readonly partition: string; readonly problems: readonly string[] };
}

interface Open {
  readonly begun: number;
  /** By partition: when the last delta came, and the longest time without. */
  readonly partitions: Map<string, { at: number; silentMs: number }>;
  /** By subject, and room for those of users: the position of the last delta. */
  readonly positions: Map<string, number>;
  readonly problems: string[];
}

export class Arrivals {
  readonly #open = new Set<Open>();
  readonly #seen = new Set<string>();
  readonly #subscriptions;

  constructor(nc: NatsConnection) {
    this.#subscriptions = ["tidemark.client.>", "tidemark.user.>"].map((subject) =>
      nc.subscribe(subject, { callback: (error, { subject, data }) => error ?? this.#arrived(subject, decoded(data)) }),
    );
  }

  /** Resolves when deltas of all partitions flow as if nothing had happened, or it has been long enough. */
  async calm(): Promise<void> {
    for (let i = 0; i < CALM_ATTEMPTS_MAX; i++) {
      const stretch = this.begin();
      await delay(CALM_MS);
      if (stretch.end().silentMs < CALM_SILENT_MS_MAX) return;
    }
  }

  begin(): Stretch {
    const begun = performance.now();
    // One that has had deltas, and has none all the time, was silent all the time.
    const partitions = new Map([...this.#seen].map((partition) => [partition, { at: begun, silentMs: 0 }]));
    const open: Open = { begun, partitions, positions: new Map(), problems: [] };
    this.#open.add(open);
    return {
      end: () => {
        this.#open.delete(open);
        const now = performance.now();
        let longest = { partition: "none", silentMs: 0 };
        for (const [partition, { at, silentMs: before }] of open.partitions) {
          const silentMs = Math.max(before, now - at);
          if (silentMs > longest.silentMs) longest = { partition, silentMs };
        }
        return { ...longest, problems: open.problems };
      },
    };
  }

  close(): void {
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
  }

  #arrived(subject: string, { room_id: room, position, previous }: Body): void {
    const now = performance.now();
    const partition = subject.split(".")[2]!;
    const key = `${subject} ${room}`;
    this.#seen.add(partition);
    for (const { begun, partitions, positions, problems } of this.#open) {
      const { at, silentMs } = partitions.get(partition) ?? { at: begun, silentMs: 0 };
      partitions.set(partition, { at: now, silentMs: Math.max(silentMs, now - at) });
      const before = positions.get(key);
      positions.set(key, position);
      if (before === undefined) continue;
      if (position <= before) problems.push(`${key}: ${position} came after ${before}`);
      else if (previous !== undefined && previous !== before) {
        problems.push(`${key}: ${position} follows ${previous}, and the last one was ${before}`);
      }
    }
  }
}
