/**
 * What a subscriber to core subjects receives during a period: how long each partition published nothing, and which
 * deltas were repeated or missing.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { NatsConnection } from "nats";
import { type Body, decoded } from "../support/harness.ts";

const CALM_MS = 3_000;
const CALM_SILENT_MS_MAX = 500;
const CALM_ATTEMPTS_MAX = 10;

export interface Period {
  /** Ends the period. `silentMs`: the longest time that a partition which publishes at all published nothing. */
  end(): { readonly silentMs: number; readonly partition: string; readonly problems: readonly string[] };
}

interface OpenPeriod {
  readonly begun: number;
  /** By partition: when its last delta arrived, and its longest silence. */
  readonly partitions: Map<string, { at: number; silentMs: number }>;
  /** The position of the last delta, by subject and room. */
  readonly positions: Map<string, number>;
  readonly problems: string[];
}

export class Arrivals {
  readonly #open = new Set<OpenPeriod>();
  readonly #seen = new Set<string>();
  readonly #subscriptions;

  constructor(nc: NatsConnection) {
    this.#subscriptions = ["tidemark.client.>", "tidemark.user.>"].map((subject) =>
      nc.subscribe(subject, { callback: (error, { subject, data }) => error ?? this.#arrived(subject, decoded(data)) }),
    );
  }

  /** Resolves once no partition is silent for long any more, or after `CALM_ATTEMPTS_MAX` attempts. */
  async calm(): Promise<void> {
    for (let i = 0; i < CALM_ATTEMPTS_MAX; i++) {
      const period = this.begin();
      await delay(CALM_MS);
      if (period.end().silentMs < CALM_SILENT_MS_MAX) return;
    }
  }

  begin(): Period {
    const begun = performance.now();
    // A partition that has published before counts as silent until its next delta.
    const partitions = new Map([...this.#seen].map((partition) => [partition, { at: begun, silentMs: 0 }]));
    const open: OpenPeriod = { begun, partitions, positions: new Map(), problems: [] };
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
      if (position <= before) problems.push(`${key}: ${position} arrived after ${before}`);
      else if (previous !== undefined && previous !== before) {
        problems.push(`${key}: ${position} follows ${previous}, but the last delta was ${before}`);
      }
    }
  }
}
