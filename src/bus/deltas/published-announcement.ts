/** How an owner tells its standby through which position it has published: `tidemark.published.<partition>`. */
import type { Position } from "../../../actors/entry.ts";
import { PUBLISHED_REPEAT_MS, PUBLISHED_TELL_MS } from "../../limits.ts";
import type { Bus, BusSubscription } from "../client/connection.ts";
import { publish } from "../client/gathered-writes.ts";
import { decode, encode } from "../contract/codec.ts";
import { publishedSubject } from "../contract/subjects.ts";

const V = 1;

/** Tells it while it changes, and now and then anyway, for who has just come. */
export class PublishedTeller {
  readonly #nc: Bus;
  readonly #partition: number;
  readonly #through: () => Position;
  readonly #timer: NodeJS.Timeout;
  #told = -1;
  #toldAt = 0;

  constructor(nc: Bus, partition: number, through: () => Position) {
    this.#nc = nc;
    this.#partition = partition;
    this.#through = through;
    this.#timer = setInterval(() => this.tell(), PUBLISHED_TELL_MS);
  }

  tell(): void {
    const position = this.#through();
    const now = performance.now();
    if (position === this.#told && now - this.#toldAt < PUBLISHED_REPEAT_MS) return;
    publish(this.#nc, publishedSubject(this.#partition), encode({ v: V, position }));
    this.#told = position;
    this.#toldAt = now;
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

export function onPublished(nc: Bus, partition: number, heard: (through: Position) => void): BusSubscription {
  return nc.subscribe(publishedSubject(partition), {
    callback: (error, message) => {
      if (error !== null) return;
      const { v, position } = decode(message.data) as { v: number; position: unknown };
      if (v === V && Number.isSafeInteger(position)) heard(position as Position);
    },
  });
}
