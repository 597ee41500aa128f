/**
 * What of a proxy the imports of rooms in the background need (`../homeserver/room-imports.ts`). Users come through the proxy
 * before there is a broker, and are remembered until then.
 */
import type { Logger } from "pino";
import type { Bus } from "../bus/client/connection.ts";
import { ping } from "../homeserver/ping.ts";
import type { Registration } from "../homeserver/registration.ts";
import { IMPORT_DEPTH_DEFAULT } from "../homeserver/room-import.ts";
import { type ImportOutcome, RoomImports } from "../homeserver/room-imports.ts";
import type { PushedRoom } from "../homeserver/transaction.ts";
import { IMPORTS_AT_ONCE } from "../limits.ts";
import type { MatrixEvent } from "../matrix/event.ts";
import type { RoomId, ServerName, UserId } from "../matrix/ids.ts";

export interface BackgroundImportsOptions {
  /** The base URL of the homeserver. */
  readonly homeserver: string;
  /** Nothing is imported without one that can act as users. */
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
  readonly log: Logger;
}

export class BackgroundImports {
  readonly #options: BackgroundImportsOptions;
  readonly #early = new Set<UserId>();
  #imports: RoomImports | undefined;

  constructor(options: BackgroundImportsOptions) {
    this.#options = options;
  }

  /** Begins. Rejects with `BUS_UNAVAILABLE` when no Tidemark has run on this broker yet. */
  async connect(nc: Bus): Promise<void> {
    const {
      registration,
      imports: atOnce = IMPORTS_AT_ONCE,
      importDepth,
      importing,
      imported,
      ...rest
    } = this.#options;
    if (registration?.actsAsUsers !== true || atOnce === 0) return;
    const imports = await RoomImports.open({
      ...rest,
      nc,
      asToken: registration.asToken,
      ping: () => ping(rest.homeserver, registration),
      atOnce,
      depth: importDepth ?? IMPORT_DEPTH_DEFAULT,
      onRunning: importing,
      onDone: imported,
    });
    this.#imports = imports;
    for (const user of this.#early) imports.user(user);
    this.#early.clear();
  }

  /** A user comes through the proxy. */
  user(user: UserId): void {
    if (this.#imports === undefined) this.#early.add(user);
    else this.#imports.user(user);
  }

  /** A transaction of the homeserver is stored. */
  stored(rooms: ReadonlyMap<RoomId, PushedRoom>): void {
    this.#imports?.pushed(rooms);
  }

  /** Live events are folded. */
  folded(events: readonly MatrixEvent[]): void {
    this.#imports?.folded(events);
  }

  /** Ends what is under way. It goes on at the next start. */
  async close(): Promise<void> {
    await this.#imports?.close();
  }
}
