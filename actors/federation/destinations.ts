/** The servers that a room's receipts go to: every other server with a joined member (docs/design.md#what-is-published). */
import { type ServerName, serverOf, type UserId } from "../../src/matrix/ids.ts";
import type { Room } from "../room/room.ts";

/** The destinations of one room, as its membership is now. */
export class Destinations {
  readonly #joined: ReadonlySet<ServerName>;
  readonly #own: ReadonlySet<ServerName>;

  constructor(joined: ReadonlySet<ServerName>, own: ReadonlySet<ServerName>) {
    this.#joined = joined;
    this.#own = own;
  }

  /** The number of servers in the room, our own included. */
  get count(): number {
    return this.#joined.size;
  }

  get isEmpty(): boolean {
    for (const server of this.#joined) if (!this.#own.has(server)) return false;
    return true;
  }

  has(server: ServerName): boolean {
    return this.#joined.has(server) && !this.#own.has(server);
  }

  *[Symbol.iterator](): Generator<ServerName> {
    for (const server of this.#joined) if (!this.#own.has(server)) yield server;
  }
}

/** Knows which servers are ours. */
export class DestinationsOfRooms {
  /** The servers whose users are local. */
  readonly #own: Set<ServerName>;
  readonly #named: boolean;

  /** Without names, the server of every user with a local receipt is one of ours. */
  constructor(own: Iterable<ServerName>) {
    this.#own = new Set(own);
    this.#named = this.#own.size > 0;
  }

  /** Whether we send the receipts of a user, whose receipt came in as a local one. */
  isOwn(user: UserId): boolean {
    const server = serverOf(user);
    if (!this.#named) this.#own.add(server);
    return this.#own.has(server);
  }

  of(room: Room): Destinations {
    return new Destinations(room.joined.servers, this.#own);
  }
}
