/** Which deltas a subscriber to core subjects gets twice, and which are missing. */
import type { NatsConnection } from "nats";
import { type Body, decoded } from "../support/harness.ts";

export class Arrivals {
  readonly #subscriptions;
  /** The position of the last delta, by subject and room. */
  readonly #positions = new Map<string, number>();
  readonly #problems: string[] = [];

  constructor(nc: NatsConnection) {
    this.#subscriptions = ["tidemark.client.>", "tidemark.user.>"].map((subject) =>
      nc.subscribe(subject, { callback: (error, { subject, data }) => error ?? this.#arrived(subject, decoded(data)) }),
    );
  }

  /** Ends the subscriptions. Returns what was wrong. */
  end(): readonly string[] {
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    return this.#problems;
  }

  #arrived(subject: string, { room_id: room, position, previous }: Body): void {
    const key = `${subject} ${room}`;
    const before = this.#positions.get(key);
    this.#positions.set(key, position);
    if (before === undefined) return;
    if (position <= before) this.#problems.push(`${key}: ${position} arrived after ${before}`);
    else if (previous !== undefined && previous !== before) {
      this.#problems.push(`${key}: ${position} follows ${previous}, but the last delta was ${before}`);
    }
  }
}
