/**
 * The servers that a room's receipts go to: every other server with a joined member (docs/design.md#what-is-published).
 *
 * They are computed from the room's membership on first use, and again after a change of membership, so a room without local
 * receipts costs nothing.
 */
import type { MatrixEvent } from "../../src/matrix/event.ts";
import { type ServerName, serverOf, type UserId } from "../../src/matrix/ids.ts";
import { BACKFILLED, type Entry, RECEIPT } from "../entry.ts";
import type { Room } from "../room/room.ts";

export interface Destinations {
  /** Without our own. */
  readonly servers: ReadonlySet<ServerName>;
  /** The number of servers in the room, our own included. */
  readonly count: number;
}

export class DestinationsOfRooms {
  /** The servers whose users are local. */
  readonly #own: Set<ServerName>;
  readonly #named: boolean;
  #known = new WeakMap<Room, Destinations>();

  /** Without names, the server of every user with a local receipt is one of ours. */
  constructor(own: Iterable<ServerName>) {
    this.#own = new Set(own);
    this.#named = this.#own.size > 0;
  }

  /** Whether we send the receipts of a user, whose receipt came in as a local one. */
  isOwn(user: UserId): boolean {
    const server = serverOf(user);
    if (this.#own.has(server)) return true;
    if (this.#named) return false;
    this.#own.add(server);
    this.#known = new WeakMap();
    return true;
  }

  of(room: Room): Destinations {
    let destinations = this.#known.get(room);
    if (destinations === undefined) {
      const servers = new Set<ServerName>();
      for (const [user, membership] of room.members) if (membership === "join") servers.add(serverOf(user));
      const count = servers.size;
      for (const server of this.#own) servers.delete(server);
      destinations = { servers, count };
      this.#known.set(room, destinations);
    }
    return destinations;
  }

  /** Called once per entry, after it is folded: forgets a room's servers when its membership may have changed (F10). */
  update(room: Room, entry: Entry): void {
    if (entry[0] === RECEIPT || entry[0] === BACKFILLED) return;
    const event: MatrixEvent = entry[1];
    if (event.type === "m.room.member" && event.state_key !== undefined) this.#known.delete(room);
  }
}
