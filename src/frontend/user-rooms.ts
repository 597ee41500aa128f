/**
 * The rooms of one user: what the workers answered, and what deltas have said since. Sync front-ends and the gateway follow
 * memberships by these rules (docs/design.md#what-is-published):
 *
 *     unknown ──answer──▶ known ──delta──▶ known …
 *                           ├──deltas were lost───────▶ asked again; what is known stays meanwhile
 *                           └──deltas of another log──▶ unknown, as far as that partition goes
 *
 * - Of what is said of a room, the greater position stands, whichever came first. An answer may be older than a delta.
 * - A new display name is no new membership.
 * - An answer that was under way when deltas were lost may lack what they said. So it is asked for again.
 */
import type { MembershipAt } from "../bus/contract/fields.ts";
import type { Delta } from "../bus/contract/messages.ts";
import { type Answer, type Asked, roomsIn } from "../bus/contract/questions.ts";
import { partitionOf } from "../bus/contract/subjects.ts";
import { TidemarkError } from "../errors.ts";
import type { RoomId, UserId } from "../matrix/ids.ts";

/** How often a question is asked again at once because deltas were lost. Then the rooms are incomplete until the next `load`. */
const ASKED_AGAIN_MAX = 4;

/** A user's membership in a room. */
export interface UserRoom extends MembershipAt {
  readonly room: RoomId;
  readonly partition: number;
}

/** What an answer or a delta says of a membership. */
export interface Said extends MembershipAt {
  /** A member event may leave the membership as it was. Default: it is new. */
  readonly mayRepeat?: boolean;
}

/** Whom the rooms are asked of. */
export interface RoomsSource {
  readonly partitions: number;
  query(user: UserId, question: Asked<"rooms">): Promise<Answer<"rooms">>;
}

export class UserRooms {
  readonly id: UserId;
  readonly rooms = new Map<RoomId, UserRoom>();
  /** Partitions whose rooms were answered at least once: what is known of them is all there is. */
  readonly known = new Set<number>();
  /** Whether the last answer lacked a partition, or may lack what lost deltas said. */
  isIncomplete = false;
  /** When the rooms were asked for that are known, as a `performance.now()` time. */
  loadedAt = Number.NEGATIVE_INFINITY;
  #loading: Promise<boolean> | undefined;
  #losses = 0;

  constructor(id: UserId) {
    this.id = id;
  }

  /** Resolves when the question under way is answered; undefined when there is none. */
  get loading(): Promise<boolean> | undefined {
    return this.#loading;
  }

  /** Whether the user's rooms in a partition are known. */
  knows(partition: number): boolean {
    return this.known.has(partition);
  }

  /** Returns whether the membership changed. */
  set(room: RoomId, { membership, position, mayRepeat = false }: Said, partitions: number): boolean {
    const known = this.rooms.get(room);
    if (known !== undefined && known.position >= position) return false;
    if (mayRepeat && known?.membership === membership) return false;
    const partition = known?.partition ?? partitionOf(room, partitions);
    this.rooms.set(room, { membership, position, room, partition });
    return true;
  }

  /** Deltas were lost: what is known may be outdated, and so may an answer that is under way. */
  invalidate(): void {
    this.loadedAt = Number.NEGATIVE_INFINITY;
    this.#losses++;
  }

  /** Forgets the rooms of a partition whose log was replaced: positions there begin again. Returns them. */
  forget(partition: number): UserRoom[] {
    const forgotten = [...this.rooms.values()].filter((room) => room.partition === partition);
    for (const { room } of forgotten) this.rooms.delete(room);
    this.known.delete(partition);
    this.invalidate();
    return forgotten;
  }

  /**
   * Asks for the rooms, once for all who call meanwhile. `set`: called with all that is answered, says what is new. Resolves to
   * whether anything is: also that a partition has no room of the user. Without any answer, what is known stays.
   */
  load(source: RoomsSource, set: (room: RoomId, said: Said) => boolean): Promise<boolean> {
    this.#loading ??= this.#load(source, set).finally(() => {
      this.#loading = undefined;
    });
    return this.#loading;
  }

  async #load(source: RoomsSource, set: (room: RoomId, said: Said) => boolean): Promise<boolean> {
    let isChanged = false;
    for (let again = 0; ; again++) {
      const losses = this.#losses;
      const askedAt = performance.now();
      const missing = new Set<number>();
      for await (const page of this.#pages(source)) {
        if (losses !== this.#losses) break;
        for (const [room, said] of roomsIn(page)) if (set(room, said)) isChanged = true;
        for (const partition of page.missing ?? []) missing.add(partition);
      }
      const isOutdated = losses !== this.#losses;
      if (isOutdated && again < ASKED_AGAIN_MAX) continue;
      for (let partition = 0; partition < source.partitions; partition++) {
        if (isOutdated || missing.has(partition) || this.known.has(partition)) continue;
        this.known.add(partition);
        isChanged = true;
      }
      this.isIncomplete = isOutdated || missing.size > 0;
      this.loadedAt = askedAt;
      return isChanged;
    }
  }

  /** All pages of an answer. When nobody answers, the last one says that every partition is missing. */
  async *#pages({ partitions, query }: RoomsSource): AsyncGenerator<Pick<Answer<"rooms">, "rooms" | "missing">> {
    try {
      for (let from: string | undefined; ; ) {
        const page: Answer<"rooms"> = await query(this.id, { op: "rooms", ...(from !== undefined && { from }) });
        yield page;
        if (page.next === undefined) return;
        from = page.next;
      }
    } catch (error) {
      if (!(error instanceof TidemarkError)) throw error;
      yield { rooms: {}, missing: Array.from({ length: partitions }, (_, partition) => partition) };
    }
  }
}

/**
 * The memberships that a delta of events sets. A live member event is the last of its message, so the position is its own.
 * Those of `state` entries have positions of their own.
 */
export function* membershipsIn(delta: Delta<"events">): Generator<[UserId, Said]> {
  const { kind, events, members = {}, position } = delta;
  for (const [member, membership] of Object.entries(members)) yield [member as UserId, membership];
  if (kind !== "live") return;
  for (const { type, state_key: member, content } of events.slice(-1)) {
    if (type !== "m.room.member" || member === undefined || typeof content.membership !== "string") continue;
    yield [member as UserId, { membership: content.membership, position, mayRepeat: true }];
  }
}
