/**
 * The readers' rule (docs/design.md#what-is-published): what a position has told is not told again.
 *
 * Two workers may publish the same changes, e.g. one that was paused past its lease and goes on. So a message at or before the
 * position that is known of its subject and room is dropped, and so are the live events of a newer message that an earlier one
 * had. Markers can't go back then: a message says where they are at its position.
 */
import type { Order, Position } from "../../../actors/entry.ts";
import type { Delta } from "../../bus/contract/messages.ts";
import { SEEN_SUBJECTS_MAX } from "../../limits.ts";
import { ID_SEPARATOR } from "../../matrix/id-grammar.ts";

interface Seen {
  readonly position: Position;
  /** The greatest order of a live event. */
  readonly order: Order;
}

const NOTHING: Seen = { position: 0, order: Number.NEGATIVE_INFINITY };

export class UnseenDeltas {
  /** By subject and room, the newest last. Two owners overlap for seconds, so those that were quiet for longest can go. */
  readonly #seen = new Map<string, Seen>();

  /**
   * Returns the delta, without events that an earlier one had; undefined if there is nothing new in it.
   * `published`: through which position the partition was published before it.
   */
  unseen(delta: Delta, published: Position): Delta | undefined {
    const key = keyOf(delta);
    const { position, order } = this.#seen.get(key) ?? NOTHING;
    if (delta.position <= Math.max(position, published)) return undefined;
    const live = delta.type === "events" && delta.kind === "live" ? delta.events : [];
    this.#note(key, { position: delta.position, order: Math.max(order, live.at(-1)?.unsigned.order ?? order) });
    if (live.length === 0 || live[0]!.unsigned.order > order) return delta;
    return { ...(delta as Delta<"events">), events: live.filter(({ unsigned }) => unsigned.order > order) };
  }

  #note(key: string, seen: Seen): void {
    this.#seen.delete(key);
    this.#seen.set(key, seen);
    if (this.#seen.size <= SEEN_SUBJECTS_MAX) return;
    for (const oldest of this.#seen.keys()) {
      this.#seen.delete(oldest);
      return;
    }
  }

  /** What follows is of another log. */
  restart(): void {
    this.#seen.clear();
  }
}

function keyOf(delta: Delta): string {
  return delta.type === "private"
    ? [delta.room_id, delta.user_id].join(ID_SEPARATOR)
    : [delta.room_id, "", delta.type].join(ID_SEPARATOR);
}
