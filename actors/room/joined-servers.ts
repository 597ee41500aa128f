/**
 * How many joined members each server has in a room, counted as memberships change: who sends to a room's servers never goes
 * through its members.
 */
import { type ServerName, serverOf, type UserId } from "../../src/matrix/ids.ts";
import { type Rows, Table } from "./table.ts";

export class JoinedServers {
  /** Joined members by server; 0 stands for a row that is to be deleted. */
  readonly #counts: Table<ServerName, number>;
  /** The servers with a joined member; undefined until somebody asks. */
  #servers: Set<ServerName> | undefined;

  constructor(stored?: Rows<ServerName, number>) {
    this.#counts = new Table(stored);
  }

  /** The servers with a joined member. The set follows later changes. */
  get servers(): ReadonlySet<ServerName> {
    if (this.#servers === undefined) {
      this.#servers = new Set();
      for (const [server, count] of this.#counts) if (count > 0) this.#servers.add(server);
    }
    return this.#servers;
  }

  /** A user's membership has changed. */
  move(user: UserId, before: string | undefined, after: string): void {
    if ((before === "join") === (after === "join")) return;
    const server = serverOf(user);
    const count = (this.#counts.get(server) ?? 0) + (after === "join" ? 1 : -1);
    this.#counts.set(server, count);
    if (count > 0) this.#servers?.add(server);
    else this.#servers?.delete(server);
  }

  /** Calls back with each server whose count has changed since the last time; undefined when it has no joined member. */
  collect(each: (server: ServerName, count: number | undefined) => void): void {
    this.#counts.collect((server, count) => each(server, count === 0 ? undefined : count));
  }

  /** See `Table`. */
  committed(hotMax: number): void {
    this.#counts.committed(hotMax);
  }
}
