/**
 * Reads the state of a room again to which local users have come back. While none of them was joined, other servers didn't tell the
 * homeserver what changed there. It is told when one of them joins again, and pushes none of it.
 *
 *     a local user's join is pushed ──▶ folded? ──▶ was a local user joined before it? ──yes──▶ nothing was missed
 *                                                     │ none, but one had been there
 *                                                     ▼
 *                                    newest order ──▶ the homeserver's state ──▶ `state` entries of what differs
 *
 * - A live event that comes after the reading began stands over what was read (F10).
 * - A room whose state was never known is imported instead (`room-imports.ts`).
 * - The messages of that time stay without orders: there is no place for them between those that are known (F1).
 */
import type { Logger } from "pino";
import type { Bus } from "../bus/client/connection.ts";
import { send } from "../bus/client/request.ts";
import { IMPORT_RETRY_MS_MIN, REJOINED_ROOMS_WAITING_MAX } from "../limits.ts";
import { isState, type MatrixEvent, type StateEvent } from "../matrix/event.ts";
import { type RoomId, type UserId, userId } from "../matrix/ids.ts";
import { batches, sendWithRetry } from "./delivery.ts";
import { ImportAskers } from "./import-askers.ts";
import { eventsOf } from "./imported-history.ts";
import { KnownHistory } from "./known-history.ts";
import type { LocalUsers } from "./local-users.ts";
import { RetriedWork } from "./retried-work.ts";
import type { PushedRoom } from "./transaction.ts";
import type { UserClients } from "./user-clients.ts";

interface RejoinedRoomsOptions {
  readonly nc: Bus;
  readonly clients: UserClients;
  readonly users: LocalUsers;
  readonly log: Logger;
  /** The pause after a failure, ms. Default: `IMPORT_RETRY_MS_MIN`. */
  readonly retryMs?: number;
}

interface Join {
  readonly room: RoomId;
  readonly user: UserId;
  readonly event: MatrixEvent;
}

const ATTEMPTS_MAX = 5;
const MEMBER = "m.room.member";

export class RejoinedRooms {
  readonly #options: RejoinedRoomsOptions;
  readonly #askers: ImportAskers;
  readonly #joins: RetriedWork<Join>;

  constructor(options: RejoinedRoomsOptions) {
    this.#options = options;
    const { clients, users, log, retryMs = IMPORT_RETRY_MS_MIN } = options;
    this.#askers = new ImportAskers({ clientOf: (user) => clients.of(user), isLocal: (user) => users.has(user) });
    this.#joins = new RetriedWork({
      work: (join) => this.#look(join),
      onGivenUp: () => log.warn("the state of a room to which users have come back could not be read again"),
      attemptsMax: ATTEMPTS_MAX,
      waitingMax: REJOINED_ROOMS_WAITING_MAX,
      retryMs,
    });
  }

  /** A transaction is stored. */
  pushed(rooms: ReadonlyMap<RoomId, PushedRoom>): void {
    for (const [room, { events }] of rooms) {
      // The first join tells whether somebody had stayed, and the reading comes after all.
      if (this.#joins.has(room)) continue;
      for (const event of events) {
        const user = userId.safeParse(event.state_key);
        if (event.type !== MEMBER || event.content.membership !== "join" || !user.success) continue;
        if (!this.#options.users.has(user.data)) continue;
        this.#joins.add(room, { room, user: user.data, event });
        break;
      }
    }
    this.#joins.start();
  }

  /** Ends what is under way. */
  close(): Promise<void> {
    return this.#joins.close();
  }

  async #look(join: Join): Promise<void> {
    const known = new KnownHistory(this.#options.nc, join.room);
    if (await this.#hasMissed(join, known)) await this.#readAgain(join, known);
  }

  async #hasMissed({ user, event }: Join, known: KnownHistory): Promise<boolean> {
    const at = (await known.foldedEvent(event.event_id)) - 1;
    const [own] = await known.memberEvents({ at, members: [user] });
    // Most joins of somebody who is joined already say a new name, and rooms may be large.
    if (own?.content.membership === "join" || !(await known.hasState())) return false;
    const before = (await known.memberEvents({ at })).filter(({ state_key: key }) => this.#isLocal(key));
    return before.length > 0 && this.#askers.joined(before).length === 0;
  }

  async #readAgain({ room, user }: Join, known: KnownHistory): Promise<void> {
    const { nc, log } = this.#options;
    const asOf = await known.newestOrder();
    const client = await this.#askers.contact(room, [user]);
    if (client === undefined) return; // Gone again: the next join tells.
    const state = (await eventsOf(room, await client.state(room))).filter(isState);
    const same = await known.stateIds();
    const changed = state.filter(({ event_id: id }: StateEvent) => !same.has(id));
    // Who left meanwhile was shown the state of then.
    if ((await client.membership(room, user)) !== "join") return;
    for (const batch of batches(changed)) {
      await sendWithRetry(() => send(nc, { kind: "state", room }, { events: batch, as_of: asOf }));
    }
    log.info({ changed: changed.length }, "users have come back to a room, and its state was read again");
  }

  #isLocal(key: unknown): boolean {
    const user = userId.safeParse(key);
    return user.success && this.#options.users.has(user.data);
  }
}
