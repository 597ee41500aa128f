/**
 * What of a proxy the imports of rooms in the background need (`../homeserver/room-imports.ts`), the confirmations of other
 * servers' state (`../homeserver/state-confirmations.ts`), and the rooms that users have come back to (`../homeserver/rejoined-rooms.ts`). Users come through the proxy before there is a broker, and are remembered
 * until then.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import type { Bus } from "../bus/client/connection.ts";
import { LocalUsers } from "../homeserver/local-users.ts";
import { ping } from "../homeserver/ping.ts";
import type { Registration } from "../homeserver/registration.ts";
import { RejoinedRooms } from "../homeserver/rejoined-rooms.ts";
import { IMPORT_DEPTH_DEFAULT } from "../homeserver/room-import.ts";
import { type ImportOutcome, RoomImports } from "../homeserver/room-imports.ts";
import { type ConfirmationOutcome, StateConfirmations } from "../homeserver/state-confirmations.ts";
import type { PushedRoom } from "../homeserver/transaction.ts";
import { UserClients } from "../homeserver/user-clients.ts";
import { IMPORT_REQUESTS_PER_SECOND, IMPORTS_AT_ONCE, PROXY_DRAIN_MS } from "../limits.ts";
import type { MatrixEvent } from "../matrix/event.ts";
import type { RoomId, ServerName, UserId } from "../matrix/ids.ts";

export interface BackgroundImportsOptions {
  /** The base URL of the homeserver. */
  readonly homeserver: string;
  /** Nothing is imported, confirmed or read again without one that can act as users. */
  readonly registration: Registration | undefined;
  /** Whose users are local. If none is given, all are. */
  readonly serverNames: readonly ServerName[];
  /** Rooms that are imported at a time; 0: none. Default: `IMPORTS_AT_ONCE`. */
  readonly imports: number | undefined;
  /** How many of an imported room's newest events may be unread. Default: `IMPORT_DEPTH_DEFAULT`. */
  readonly importDepth: number | undefined;
  /** Called with the number of imports under way. */
  readonly importing: (imports: number) => void;
  readonly imported: (outcome: ImportOutcome) => void;
  /** Called for each state event of another server that was compared with the homeserver's state. */
  readonly stateConfirmed: (outcome: ConfirmationOutcome) => void;
  readonly log: Logger;
}

/** Users who are remembered. Others are seen again after a restart. */
const EARLY_MAX = 10_000;

export class BackgroundImports {
  readonly #options: BackgroundImportsOptions;
  readonly #early = new Set<UserId>();
  #imports: RoomImports | undefined;
  #confirmations: StateConfirmations | undefined;
  #rejoined: RejoinedRooms | undefined;
  #clients: UserClients | undefined;

  constructor(options: BackgroundImportsOptions) {
    this.#options = options;
  }

  /** Begins. Rejects with `BUS_UNAVAILABLE` when no Tidemark has run on this broker yet. */
  async connect(nc: Bus): Promise<void> {
    const { registration, homeserver, serverNames, imports: atOnce = IMPORTS_AT_ONCE } = this.#options;
    if (registration?.actsAsUsers !== true) return;
    const { importDepth: depth = IMPORT_DEPTH_DEFAULT, importing, imported, stateConfirmed, log } = this.#options;
    this.#clients = new UserClients({
      homeserver,
      asToken: registration.asToken,
      perSecond: IMPORT_REQUESTS_PER_SECOND,
    });
    const shared = { nc, clients: this.#clients, users: new LocalUsers(serverNames) };
    this.#confirmations = new StateConfirmations({ ...shared, onDone: stateConfirmed });
    this.#rejoined = new RejoinedRooms({ ...shared, log });
    if (atOnce === 0) return;
    const imports = await RoomImports.open({
      ...shared,
      ping: () => ping(homeserver, registration),
      atOnce,
      depth,
      onRunning: importing,
      onDone: imported,
      log,
    });
    this.#imports = imports;
    for (const user of this.#early) imports.user(user);
    this.#early.clear();
  }

  /** A user comes through the proxy. */
  user(user: UserId): void {
    const { registration, imports } = this.#options;
    if (this.#imports !== undefined) this.#imports.user(user);
    else if (registration?.actsAsUsers === true && imports !== 0 && this.#early.size < EARLY_MAX) this.#early.add(user);
  }

  /** A transaction of the homeserver is stored. */
  stored(rooms: ReadonlyMap<RoomId, PushedRoom>): void {
    this.#imports?.pushed(rooms);
    this.#confirmations?.pushed(rooms);
    this.#rejoined?.pushed(rooms);
  }

  /** Live events are folded. */
  folded(events: readonly MatrixEvent[]): void {
    this.#imports?.folded(events);
  }

  /** Ends what is under way. Imports go on at the next start. */
  async close(): Promise<void> {
    this.#clients?.close();
    // A worker that is behind may answer later than a process should take to end.
    await Promise.race([
      Promise.all([this.#imports?.close(), this.#confirmations?.close(), this.#rejoined?.close()]),
      delay(PROXY_DRAIN_MS, undefined, { ref: false }),
    ]);
  }
}
