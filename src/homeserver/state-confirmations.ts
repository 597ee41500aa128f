/**
 * Confirms what other servers' events say of memberships, server ACLs and history visibility.
 *
 * A homeserver pushes an event that is allowed by itself, but state resolution may have rejected it: then it is not the room's
 * state. So the key that it sets is read from the homeserver again, and where that has another event, Tidemark is told of it by a
 * `state` entry. A live event that came after the reading began stands over that (F10).
 *
 *     pushed ──▶ folded? ──▶ newest order ──▶ the key's event at the homeserver ──┬── the same ────▶ confirmed
 *                                                                               ├── another ─────▶ `state` entry: corrected
 *                                                                               └── none ────────▶ `state` entry with what no event means
 *
 * What waits is a key, not an event: of two events that set the same, the newer is confirmed. It waits in memory alone, so what is not
 * confirmed when the process ends stays as it was pushed.
 */
import { isDeepStrictEqual } from "node:util";
import { LRUCache } from "lru-cache";
import type { Bus } from "../bus/client/connection.ts";
import { send } from "../bus/client/request.ts";
import { CONFIRMATIONS_WAITING_MAX, IMPORT_RETRY_MS_MIN } from "../limits.ts";
import { isState, type MatrixEvent, type StateEvent } from "../matrix/event.ts";
import { ID_SEPARATOR } from "../matrix/id-grammar.ts";
import type { RoomId, UserId } from "../matrix/ids.ts";
import { sendWithRetry } from "./delivery.ts";
import type { HomeserverClient } from "./homeserver-client.ts";
import { ImportAskers } from "./import-askers.ts";
import { eventsOf } from "./imported-history.ts";
import { KnownHistory } from "./known-history.ts";
import type { LocalUsers } from "./local-users.ts";
import { RetriedWork } from "./retried-work.ts";
import type { PushedRoom } from "./transaction.ts";
import type { UserClients } from "./user-clients.ts";

/** `confirmed`, `corrected`, or `given_up`: too many wait, or nobody can be asked, or every attempt failed. */
export type ConfirmationOutcome = "confirmed" | "corrected" | "given_up";

interface StateConfirmationsOptions {
  readonly nc: Bus;
  readonly clients: UserClients;
  readonly users: LocalUsers;
  readonly onDone: (outcome: ConfirmationOutcome) => void;
  /** The pause after a failure, ms. Default: `IMPORT_RETRY_MS_MIN`. */
  readonly retryMs?: number;
}

interface Waiting {
  readonly room: RoomId;
  readonly event: StateEvent;
}

/** What is confirmed, and what it means that a room has no such event. */
const CONFIRMED: ReadonlyMap<string, Readonly<Record<string, unknown>>> = new Map([
  ["m.room.member", { membership: "leave" }],
  ["m.room.server_acl", { allow: ["*"] }],
  ["m.room.history_visibility", { history_visibility: "shared" }],
]);

const ATTEMPTS_MAX = 5;
/** Rooms of which it is known as whom to ask. */
const CONTACTS_MAX = 10_000;
const CONTACTLESS_MS = 600_000;

export class StateConfirmations {
  readonly #options: StateConfirmationsOptions;
  readonly #askers: ImportAskers;
  readonly #waiting: RetriedWork<Waiting>;
  readonly #contacts = new LRUCache<RoomId, UserId>({ max: CONTACTS_MAX });
  /** Rooms of which nobody could be asked, which may have very many members to look through. */
  readonly #contactless = new LRUCache<RoomId, true>({ max: CONTACTS_MAX, ttl: CONTACTLESS_MS });

  constructor(options: StateConfirmationsOptions) {
    this.#options = options;
    const { clients, users, onDone, retryMs = IMPORT_RETRY_MS_MIN } = options;
    this.#askers = new ImportAskers({ clientOf: (user) => clients.of(user), isLocal: (user) => users.has(user) });
    this.#waiting = new RetriedWork({
      work: async (waiting) => onDone(await this.#confirm(waiting)),
      onGivenUp: () => onDone("given_up"),
      attemptsMax: ATTEMPTS_MAX,
      waitingMax: CONFIRMATIONS_WAITING_MAX,
      retryMs,
    });
  }

  /** A transaction is stored. */
  pushed(rooms: ReadonlyMap<RoomId, PushedRoom>): void {
    for (const [room, pushed] of rooms) {
      for (const event of pushed.events) {
        if (!isState(event) || !CONFIRMED.has(event.type) || this.#options.users.has(event.sender)) continue;
        const [contact] = this.#options.users.seenIn(pushed);
        if (contact !== undefined) this.#contacts.set(room, contact);
        this.#waiting.add([room, event.type, event.state_key].join(ID_SEPARATOR), { room, event });
      }
    }
    // Not before: of the events of one transaction that set the same, the last is confirmed.
    this.#waiting.start();
  }

  /** Ends what is under way. */
  close(): Promise<void> {
    return this.#waiting.close();
  }

  async #confirm({ room, event }: Waiting): Promise<ConfirmationOutcome> {
    const { nc } = this.#options;
    const known = new KnownHistory(nc, room);
    await known.foldedEvent(event.event_id);
    const asOf = await known.newestOrder();
    const client = await this.#contactOf(room, known);
    if (client === undefined) return "given_up";
    const current = await currentOf(client, room, event);
    if (current === event) return "confirmed";
    await sendWithRetry(() => send(nc, { kind: "state", room }, { events: [current], as_of: asOf }));
    return "corrected";
  }

  /** Asks as somebody who is joined. Whom it was asked as before is tried first. */
  async #contactOf(room: RoomId, known: KnownHistory): Promise<HomeserverClient | undefined> {
    const before = this.#contacts.get(room);
    const client = before && (await this.#askers.contact(room, [before]));
    if (client !== undefined) return client;
    if (before === undefined && this.#contactless.has(room)) return undefined;
    const members = this.#askers.joined(await known.memberEvents());
    const found = await this.#askers.contact(room, members);
    this.#contacts.delete(room);
    if (found === undefined) this.#contactless.set(room, true);
    else this.#contacts.set(room, await found.user());
    return found;
  }
}

/** The homeserver's event of the same key; the pushed one itself if that is current. */
async function currentOf(client: HomeserverClient, room: RoomId, event: StateEvent): Promise<StateEvent> {
  const { type, state_key: key } = event;
  const found = await client.stateEvent(room, type, key);
  if (found === undefined) return { ...event, content: CONFIRMED.get(type)! };
  const [current] = (await eventsOf(room, [found])).filter(isState);
  if (current !== undefined) return current.event_id === event.event_id ? event : current;
  // A homeserver that can't give the event gives its content.
  if (isDeepStrictEqual(found, event.content)) return event;
  const state = await eventsOf(room, await client.state(room));
  const isWanted = (each: MatrixEvent): each is StateEvent =>
    isState(each) && each.type === type && each.state_key === key;
  return state.find(isWanted) ?? { ...event, content: CONFIRMED.get(type)! };
}
