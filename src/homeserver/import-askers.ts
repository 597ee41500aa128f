/**
 * As whom a homeserver is asked for a room that is imported.
 *
 * The state is the same for everybody who is joined, so any local user will do who is. History is not: a homeserver leaves out what
 * the user may not see, and what users sent whom the user ignores. So for history it is asked as the local user who has been
 * joined for longest, by creating the room or by the time of the member event, and ignores nobody who ever was in the room.
 */
import type { MatrixEvent } from "../matrix/event.ts";
import { type RoomId, type UserId, userId } from "../matrix/ids.ts";
import type { HomeserverClient } from "./homeserver-client.ts";

/** Users as whom it is tried. */
const CONTACTS_MAX = 16;
const HISTORIANS_MAX = 16;

interface ImportAskersOptions {
  readonly clientOf: (user: UserId) => HomeserverClient;
  readonly isLocal: (user: UserId) => boolean;
}

export class ImportAskers {
  readonly #options: ImportAskersOptions;

  constructor(options: ImportAskersOptions) {
    this.#options = options;
  }

  /** Asks as the first of the users who is joined; undefined if none of them is, or may be acted as. */
  async contact(room: RoomId, users: Iterable<UserId>): Promise<HomeserverClient | undefined> {
    return this.#firstJoined(room, [...new Set(users)].slice(0, CONTACTS_MAX));
  }

  /** Asks as the best of those whose member events are given, beside the create event; undefined if nobody will do. */
  async historian(room: RoomId, state: readonly MatrixEvent[]): Promise<HomeserverClient | undefined> {
    const members = state.filter(({ type }) => type === "m.room.member");
    const everybody = new Set(members.map(({ state_key: user }) => user));
    const ignoresNobody = async (user: UserId, client: HomeserverClient) => {
      const ignored = await client.ignoredUsers(user);
      return ignored?.some((each) => everybody.has(each)) === false;
    };
    const joined = this.joined(members);
    // A member event is also sent for a new name, but nobody was there before the creator.
    const creator = state.find(({ type }) => type === "m.room.create")?.sender;
    const sorted = [...joined.filter((user) => user === creator), ...joined.filter((user) => user !== creator)];
    return this.#firstJoined(room, sorted.slice(0, HISTORIANS_MAX), ignoresNobody);
  }

  /** Whether users of other servers are joined. */
  hasOthers(members: readonly MatrixEvent[]): boolean {
    return members.filter(({ content }) => content.membership === "join").length > this.joined(members).length;
  }

  /** The local users whom the member events say to be joined, the longest joined first. */
  joined(members: readonly MatrixEvent[]): UserId[] {
    return members
      .filter(({ content }) => content.membership === "join")
      .toSorted((a, b) => a.origin_server_ts - b.origin_server_ts)
      .flatMap(({ state_key: key }) => {
        const user = userId.safeParse(key);
        return user.success && this.#options.isLocal(user.data) ? [user.data] : [];
      });
  }

  async #firstJoined(
    room: RoomId,
    users: readonly UserId[],
    isGood: (user: UserId, client: HomeserverClient) => Promise<boolean> = async () => true,
  ): Promise<HomeserverClient | undefined> {
    for (const user of users) {
      const client = this.#options.clientOf(user);
      if ((await client.membership(room, user)) === "join" && (await isGood(user, client))) return client;
    }
    return undefined;
  }
}
