/**
 * Questions about a user: the rooms in which the user has a membership, and those of one partition that changed.
 *
 * A page ends when it has `ANSWER_BYTES_MAX`; its `next` names the partition and the room after which the next page begins. A
 * partition that doesn't answer is named as missing, so that the others can be shown.
 */
import type { Position } from "../../../actors/entry.ts";
import type { Member } from "../../../actors/room/room.ts";
import type { Answer, Membership } from "../../bus/contract/questions.ts";
import { TidemarkError } from "../../errors.ts";
import { ANSWER_BYTES_MAX } from "../../limits.ts";
import { type RoomId, roomId, type UserId } from "../../matrix/ids.ts";

/** Rooms that are looked at in one turn of the event loop. */
const ROOMS_AT_ONCE = 256;
/** A membership without its room, at most. */
const MEMBERSHIP_BYTES_MAX = 96;

type RoomsPage = Pick<Answer<"rooms">, "rooms" | "next">;

/** Where a page begins: after a room of a partition. */
interface Beginning {
  readonly partition: number;
  readonly after: RoomId | "";
}

/** What the questions need of a partition. */
export interface UsersPartition {
  readonly position: Position;
  roomsOf(user: UserId): ReadonlyMap<RoomId, Member>;
  hasChanged(room: RoomId, user: UserId, since: Position): boolean;
}

/** Throws `M_INVALID_PARAM` for text that no answer had as its `next`. */
export function beginningOf(from: string | undefined, first = 0): Beginning {
  if (from === undefined) return { partition: first, after: "" };
  const [, partition, after] = /^(\d{1,4}) (.*)$/s.exec(from) ?? [];
  const room = roomId.safeParse(after);
  if (partition === undefined || !room.success) {
    throw new TidemarkError("M_INVALID_PARAM", "from: must be the next of an answer");
  }
  return { partition: Number(partition), after: room.data };
}

/** The user's rooms in one partition, after where the page begins. */
export function roomsPage(
  served: UsersPartition,
  { user, partition, from }: { readonly user: UserId; readonly partition: number; readonly from: string | undefined },
): RoomsPage {
  const page = new Page(partition);
  for (const [room, member] of after(served.roomsOf(user), beginningOf(from), partition)) {
    if (!page.add(room, membershipOf(member))) break;
  }
  return page.answer();
}

/** One answer from the pages of all partitions, in their sequence; undefined: a partition doesn't answer. */
export function joinedPages(
  pages: readonly (RoomsPage | undefined)[],
  { partition: first }: Beginning,
): Answer<"rooms"> {
  const missing = pages.flatMap((page, i) => (page === undefined ? [first + i] : []));
  const answer = (page: RoomsPage) => ({ ...page, ...(missing.length > 0 && { missing }) });
  const joined = new Page(first);
  for (const [i, page] of pages.entries()) {
    if (page === undefined) continue;
    joined.partition = first + i;
    for (const [room, membership] of Object.entries(page.rooms)) {
      if (!joined.add(room, membership)) return answer(joined.answer());
    }
    if (page.next !== undefined) return answer({ rooms: joined.rooms, next: page.next });
  }
  return answer(joined.answer());
}

interface ChangedQuestion {
  readonly user: UserId;
  readonly partition: number;
  readonly since: Position;
  readonly from?: string | undefined;
}

/** The user's rooms of a partition in which something changed that the user is shown. */
export async function changedPage(
  served: UsersPartition,
  { user, partition, since, from }: ChangedQuestion,
): Promise<Answer<"changed">> {
  const { position } = served;
  const page = new Page(partition);
  let looked = 0;
  for (const [room, member] of after(served.roomsOf(user), beginningOf(from, partition), partition)) {
    if (++looked % ROOMS_AT_ONCE === 0) await new Promise(setImmediate);
    const isShown = member.position > since || (member.membership === "join" && served.hasChanged(room, user, since));
    if (isShown && !page.add(room, membershipOf(member))) break;
  }
  return { position, ...page.answer() };
}

class Page {
  readonly rooms: Record<string, Membership> = {};
  partition: number;
  #next: string | undefined;
  #bytes = 0;
  #last = "";

  constructor(partition: number) {
    this.partition = partition;
  }

  /** Returns whether the room still fits. */
  add(room: string, membership: Membership): boolean {
    this.#bytes += Buffer.byteLength(JSON.stringify(room)) + MEMBERSHIP_BYTES_MAX;
    if (this.#bytes > ANSWER_BYTES_MAX) {
      this.#next = this.#last;
      return false;
    }
    this.rooms[room] = membership;
    this.#last = `${this.partition} ${room}`;
    return true;
  }

  answer(): RoomsPage {
    return { rooms: this.rooms, ...(this.#next !== undefined && { next: this.#next }) };
  }
}

function after(rooms: ReadonlyMap<RoomId, Member>, begin: Beginning, partition: number): [RoomId, Member][] {
  const sorted = [...rooms].sort(([a], [b]) => (a < b ? -1 : 1));
  return partition === begin.partition ? sorted.filter(([room]) => room > begin.after) : sorted;
}

function membershipOf({ membership, position, joined, left }: Member): Membership {
  return { membership, position, ...(joined !== 0 && { stay: [joined, left] }) };
}
