/**
 * Rooms of `/sync` whose changes are cached: nothing of them has to be read. Only members that a lazily loading client needs, and the
 * summary of a room in which somebody came or went, may have to be asked for.
 */
import type { RoomSummary } from "../../bus/contract/questions.ts";
import type { DeltaMark } from "../../bus/deltas/delta-reader.ts";
import type { RoomId, UserId } from "../../matrix/ids.ts";
import type { MemberEvents } from "./member-events.ts";
import type { OnlineUser } from "./online-users.ts";
import type { RecentDeltas } from "./recent-deltas.ts";
import { loadsLazily, type RoomReader, sendersOf } from "./room-reader.ts";
import type { RoomSummaries } from "./room-summaries.ts";
import type { SharedChanges } from "./shared-changes.ts";
import { sharedSection } from "./shared-sections.ts";
import type { Viewer } from "./shown-state.ts";
import type { PartitionPlan } from "./sync-plan.ts";

/** A joined room's section as JSON text, still without its summary and unread counts. */
export interface JoinSection {
  readonly room: RoomId;
  readonly partition: number;
  readonly text: string;
  /** `ask`: it may have changed. undefined: the client knows it. */
  readonly summary: RoomSummary | "ask" | undefined;
}

/** A room whose changes are cached. */
interface CachedRoom {
  readonly room: RoomId;
  readonly partition: number;
  readonly changes: SharedChanges;
}

interface CachedRoomsOptions {
  readonly recent: RecentDeltas;
  readonly reader: RoomReader;
  readonly members: MemberEvents;
  readonly summaries: RoomSummaries;
}

export class CachedRooms {
  readonly #recent: RecentDeltas;
  readonly #reader: RoomReader;
  readonly #members: MemberEvents;
  readonly #summaries: RoomSummaries;

  constructor({ recent, reader, members, summaries }: CachedRoomsOptions) {
    this.#recent = recent;
    this.#reader = reader;
    this.#members = members;
    this.#summaries = summaries;
  }

  /** Rooms in which something changed for a client, as far as the cache has it. */
  *rooms(user: OnlineUser, plans: readonly PartitionPlan[], start?: readonly DeltaMark[]): Generator<CachedRoom> {
    for (const { partition, situation, from, settled } of plans) {
      if (situation === "unknown") continue;
      const after = situation === "cached" ? from!.sequence : start?.[partition]?.sequence;
      if (after === undefined) continue;
      for (const { room } of settled) {
        const changes = this.#recent.changes(room, user.id, after);
        if (changes !== undefined) yield { room, partition, changes };
      }
    }
  }

  /** For a client that loads members lazily: rooms with changes whose members aren't cached. */
  lacking({ filter }: Viewer, rooms: Iterable<CachedRoom>): CachedRoom[] {
    if (!loadsLazily(filter)) return [];
    return [...rooms].filter((cached) => {
      const { room, changes } = cached;
      if (changes.changesSummary && this.#summaries.get(room) === undefined) return true;
      return this.#members.missing(room, this.#membersIn(cached)).length > 0;
    });
  }

  /** Those who speak, and those by whom the room is called now. */
  #membersIn({ room, changes }: CachedRoom): Set<UserId> {
    const users = sendersOf(changes.events);
    const { heroes = [] } = (changes.changesSummary ? this.#summaries.get(room) : undefined) ?? {};
    for (const hero of heroes) users.add(hero as UserId);
    return users;
  }

  async askMembers(user: OnlineUser, rooms: readonly CachedRoom[]): Promise<void> {
    await Promise.all(
      rooms.map(async (cached) => {
        const { room, partition, changes } = cached;
        if (changes.changesSummary) await this.askSummary(room, partition);
        const users = this.#members.missing(room, this.#membersIn(cached));
        if (users.length === 0) return;
        const events = await this.#reader.members({ room, partition }, user.id, users);
        if (events !== undefined) this.#members.add(room, users, events);
      }),
    );
  }

  /** The summary of a room, if it is known. */
  summary(room: RoomId): RoomSummary | undefined {
    return this.#summaries.get(room);
  }

  /** The summary of a room; undefined if nobody answers. */
  askSummary(room: RoomId, partition: number): Promise<RoomSummary | undefined> {
    return this.#summaries.of(room, () => this.#reader.summary(room, partition));
  }

  /** Their sections, as far as the filter shows anything. */
  sections(request: Viewer, rooms: Iterable<CachedRoom>): JoinSection[] {
    const sections: JoinSection[] = [];
    for (const cached of rooms) {
      const { room, partition, changes } = cached;
      const members = loadsLazily(request.filter) ? this.#members.of(room, this.#membersIn(cached)) : [];
      const text = sharedSection(changes, room, request, members);
      const summary = changes.changesSummary ? "ask" : undefined;
      if (text !== undefined) sections.push({ room, partition, text, summary });
    }
    return sections;
  }
}
