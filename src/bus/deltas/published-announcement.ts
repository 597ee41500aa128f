/** How an owner announces to its standby how far it has published: `tidemark.published.<partition>`. */
import type { Position } from "../../../actors/entry.ts";
import type { Bus } from "../client/connection.ts";
import { publish } from "../client/gathered-writes.ts";
import { type LastingSubscription, subscribe } from "../client/subscribe.ts";
import { decodeMessage, encodeMessage } from "../contract/messages.ts";
import { publishedSubject } from "../contract/subjects.ts";

/** How often a position is announced: at most, and at least. */
const PUBLISHED_ANNOUNCE_MS = 100;
const PUBLISHED_REPEAT_MS = 1_000;

/** Announces every change of the position, and repeats it now and then for standbys that have just started. */
export class PublishedAnnouncer {
  readonly #nc: Bus;
  readonly #partition: number;
  readonly #through: () => Position;
  readonly #timer: NodeJS.Timeout;
  #announced = -1;
  /** `performance.now()` */
  #announcedAt = 0;

  constructor(nc: Bus, partition: number, through: () => Position) {
    this.#nc = nc;
    this.#partition = partition;
    this.#through = through;
    this.#timer = setInterval(() => this.announce(), PUBLISHED_ANNOUNCE_MS);
  }

  announce(): void {
    const position = this.#through();
    const now = performance.now();
    if (position === this.#announced && now - this.#announcedAt < PUBLISHED_REPEAT_MS) return;
    publish(this.#nc, publishedSubject(this.#partition), encodeMessage("published", { position }));
    this.#announced = position;
    this.#announcedAt = now;
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

/** Calls back with every announced position of a partition, until it is unsubscribed. */
export function onPublished(nc: Bus, partition: number, callback: (through: Position) => void): LastingSubscription {
  return subscribe(nc, publishedSubject(partition), {
    onMessage: (message) => {
      const position = positionIn(message.data);
      if (position !== undefined) callback(position);
    },
  });
}

/** undefined for bytes that are no announcement: the next one follows within a second. */
function positionIn(bytes: Uint8Array): Position | undefined {
  try {
    return decodeMessage("published", bytes)?.position;
  } catch {
    return undefined;
  }
}
