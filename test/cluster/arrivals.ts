/** What a reader of core subjects sees of a stretch of time: how long a partition was silent, and what came twice or not at all. */
import type { NatsConnection } from "nats";
import { type Body, decoded } from "../support/harness.ts";

export interface Stretch {
  /** The longest time without a delta of a partition that has any, ms. */
  end(): { readonly silentMs: number; readonly problems: readonly string[] };
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
  readonly #subscriptions;

  constructor(nc: NatsConnection) {
    this.#subscriptions = ["tidemark.client.>", "tidemark.user.>"].map((subject) =>
      nc.subscribe(subject, { callback: (error, { subject, data }) => error ?? this.#arrived(subject, decoded(data)) }),
    );
  }

  begin(): Stretch {
    const open: Open = { begun: performance.now(), partitions: new Map(), positions: new Map(), problems: [] };
    this.#open.add(open);
    return {
      end: () => {
        this.#open.delete(open);
        const now = performance.now();
        const silences = [...open.partitions.values()].map(({ at, silentMs }) => Math.max(silentMs, now - at));
        return { silentMs: Math.max(0, ...silences), problems: open.problems };
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
