/**
 * Imports rooms in the background whose state or history Tidemark lacks: those that were joined over federation, and those that are
 * older than the registration (docs/design.md#the-proxy).
 *
 *     a push names the room ────────────────┐
 *     a user of the proxy is joined to it ──┴─▶ is its oldest event its creation? ──yes─────────────────────────▶ complete
 *                                                 │ no                                                                ▲
 *                                                 ▼                                                                   │
 *                 is an event known, or have the pushes caught up? ──▶ claim ──▶ a joined user? ──▶ import ───────────┤
 *                                   │ not yet                            │ another   │ nobody         │ fails          │
 *                                   ╰──▶ looked at again                 ╰▶ later    ╰▶ left          ╰▶ later, with backoff
 *
 * - The log decides: whatever this process remembers spares questions. So after a restart, an import goes on where it ended.
 * - A room that is left waits until another local user of it is seen.
 * - Nothing waits for an import, and no failure of one leaves this file.
 */
import { LRUCache } from "lru-cache";
import type { Logger } from "pino";
import { Slots } from "../at-once.ts";
import type { Bus } from "../bus/client/connection.ts";
import { type ImportClaim, ImportClaims } from "../bus/import-claims.ts";
import { reasonOf, TidemarkError } from "../errors.ts";
import { IntervalGate } from "../interval-gate.ts";
import {
  IMPORT_AGAIN_MS,
  IMPORT_CLAIM_MS,
  IMPORT_HELD_BYTES_MAX,
  IMPORT_RETRY_MS_MAX,
  IMPORT_RETRY_MS_MIN,
  IMPORTS_WAITING_MAX,
  REPEATED_WARNING_MS,
} from "../limits.ts";
import type { MatrixEvent } from "../matrix/event.ts";
import type { RoomId, UserId } from "../matrix/ids.ts";
import { ImportAskers } from "./import-askers.ts";
import { KnownHistory } from "./known-history.ts";
import type { LocalUsers } from "./local-users.ts";
import { type Moment, PushProgress } from "./push-progress.ts";
import { importRoom } from "./room-import.ts";
import type { PushedRoom } from "./transaction.ts";
import type { UserClients } from "./user-clients.ts";

/** `done`, `failed` (and tried again), or `nobody`: there is no local user as whom the homeserver can be asked. */
export type ImportOutcome = "done" | "failed" | "nobody";

interface RoomImportsOptions {
  readonly nc: Bus;
  readonly clients: UserClients;
  readonly users: LocalUsers;
  /** Rejects unless the homeserver has reached Tidemark. */
  readonly ping: () => Promise<void>;
  /** Rooms that are imported at a time. */
  readonly atOnce: number;
  /** As for `importRoom`. */
  readonly depth: number;
  /** Called when an import begins or ends, with the number of those under way. */
  readonly onRunning: (imports: number) => void;
  readonly onDone: (outcome: ImportOutcome) => void;
  readonly log: Logger;
  /** Times in ms. Default: those of `src/limits.ts`. */
  readonly retryMs?: number;
  readonly silenceMs?: number;
  readonly claimMs?: number;
  readonly againMs?: number;
}

/** A room that isn't complete. */
interface LackingRoom {
  readonly id: RoomId;
  /** Local users who may be joined. */
  readonly users: Set<UserId>;
  failures: number;
  /** How often it was imported, and its beginning was still unknown. */
  imports: number;
  /** Since when the pushes have to catch up, if nothing of the room is known. */
  since?: Moment;
  state: "looked at" | "due" | "waiting" | "left";
}

/** Rooms that are known to be complete. Others are looked at once more when they are named. About 150 bytes each. */
const COMPLETE_MAX = 200_000;
const LOOKS_AT_ONCE = 8;
/** Users of a room as whom it is tried to ask. */
const USERS_MAX = 64;
/** Imports of a room whose beginning stays unknown. */
const IMPORTS_MAX = 5;
const CREATION = "m.room.create";

export class RoomImports {
  readonly #options: RoomImportsOptions;
  readonly #askers: ImportAskers;
  readonly #claims: ImportClaims;
  readonly #progress: PushProgress;
  readonly #looks = new Slots(LOOKS_AT_ONCE);
  readonly #complete = new LRUCache<RoomId, true>({ max: COMPLETE_MAX });
  readonly #lacking = new LRUCache<RoomId, LackingRoom>({ max: IMPORTS_WAITING_MAX });
  readonly #due = new Set<LackingRoom>();
  /** Rooms of which nothing is known, while the pushes have to catch up. */
  readonly #unpushed = new Set<LackingRoom>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #working = new Set<Promise<void>>();
  readonly #closing = new AbortController();
  readonly #againMs: number;
  readonly #warnings = new IntervalGate(REPEATED_WARNING_MS);
  #running = 0;
  #begun = 0;

  private constructor(options: RoomImportsOptions, claims: ImportClaims) {
    this.#options = options;
    this.#claims = claims;
    this.#againMs = options.againMs ?? IMPORT_AGAIN_MS;
    const { clients, users } = options;
    this.#askers = new ImportAskers({ clientOf: (user) => clients.of(user), isLocal: (user) => users.has(user) });
    this.#progress = new PushProgress({
      ping: options.ping,
      clock: () => clients.of().clock(),
      onLook: () => this.#lookAgain(),
      signal: this.#closing.signal,
      ...(options.silenceMs !== undefined && { silenceMs: options.silenceMs }),
    });
  }

  /** Throws `BUS_UNAVAILABLE` when no Tidemark has run on this broker yet. */
  static async open(options: RoomImportsOptions): Promise<RoomImports> {
    return new RoomImports(options, await ImportClaims.open(options.nc, options.claimMs));
  }

  /** A transaction is stored. Costs a look into a map for each room that is complete. */
  pushed(rooms: ReadonlyMap<RoomId, PushedRoom>): void {
    for (const [room, pushed] of rooms) {
      if (pushed.events.length > 0) this.#progress.pushed();
      if (this.#complete.get(room)) continue;
      if (pushed.events[0]?.type === CREATION) this.#isComplete(room);
      else this.#lacks(room, this.#options.users.seenIn(pushed));
    }
  }

  /** Live events are folded, wherever they were pushed to. */
  folded(events: readonly MatrixEvent[]): void {
    const last = events.findLast(({ sender }) => this.#options.users.has(sender));
    this.#progress.pushed(last?.origin_server_ts);
  }

  /** A user comes through the proxy. */
  user(user: UserId, failures = 0): void {
    this.#during(async () => {
      try {
        for (const room of await this.#options.clients.of(user).joinedRooms()) this.#lacks(room, [user]);
      } catch (error) {
        this.#options.log.debug({ user, reason: reasonOf(error) }, "a user's rooms can't be read from the homeserver");
        this.#after(this.#retryMs(failures), () => this.user(user, failures + 1));
      }
    });
  }

  /** Ends what is under way, with the clients: it goes on at the next start. */
  async close(): Promise<void> {
    this.#options.clients.close();
    this.#closing.abort();
    for (const timer of this.#timers) clearTimeout(timer);
    await Promise.all(this.#working);
  }

  #lacks(id: RoomId, users: readonly UserId[]): void {
    if (this.#complete.get(id)) return;
    const before = this.#lacking.get(id);
    const room: LackingRoom = before ?? { id, users: new Set(), failures: 0, imports: 0, state: "looked at" };
    const others = users.filter((user) => !room.users.has(user)).slice(0, USERS_MAX - room.users.size);
    for (const user of others) room.users.add(user);
    if (before === undefined) this.#lacking.set(id, room);
    if (before === undefined || (room.state === "left" && others.length > 0)) this.#look(room);
  }

  /** Whether it is complete, is a small question, so it doesn't wait for imports. */
  #look(room: LackingRoom): void {
    room.state = "looked at";
    this.#during(() =>
      this.#looks.during(async () => {
        if (this.#closing.signal.aborted) return;
        try {
          const oldest = await this.#known(room).oldest();
          if (oldest?.type === CREATION) this.#isComplete(room.id);
          else if (oldest !== undefined || (await this.#isCaughtUp(room))) this.#isDue(room);
          else this.#isUnpushed(room);
        } catch (error) {
          if (this.#warnings.pass()) this.#options.log.warn({ code: codeOf(error) }, "rooms can't be looked at yet");
          this.#later(room, this.#retryMs(room.failures++));
        }
      }),
    );
  }

  async #isCaughtUp(room: LackingRoom): Promise<boolean> {
    room.since ??= await this.#progress.now();
    return this.#progress.isCaughtUpSince(room.since);
  }

  #isUnpushed(room: LackingRoom): void {
    room.state = "waiting";
    this.#unpushed.add(room);
    this.#progress.watch(() => this.#unpushed.size > 0);
  }

  #lookAgain(): void {
    for (const room of [...this.#unpushed]) {
      if (room.since !== undefined && !this.#progress.isCaughtUpSince(room.since)) continue;
      this.#unpushed.delete(room);
      this.#look(room);
    }
  }

  #isDue(room: LackingRoom): void {
    room.state = "due";
    this.#due.add(room);
    if (this.#running < this.#options.atOnce) this.#during(() => this.#workThrough());
  }

  async #workThrough(): Promise<void> {
    this.#options.onRunning(++this.#running);
    for (const room of this.#due) {
      this.#due.delete(room);
      if (!this.#closing.signal.aborted) await this.#attempt(room);
    }
    this.#options.onRunning(--this.#running);
  }

  async #attempt(room: LackingRoom): Promise<void> {
    let claim: ImportClaim | undefined;
    try {
      claim = await this.#claims.take(room.id);
      if (claim === undefined) this.#later(room, this.#options.claimMs ?? IMPORT_CLAIM_MS);
      // Another process may have imported it while this one waited.
      else if ((await this.#known(room).oldest())?.type === CREATION) this.#isComplete(room.id);
      else await this.#import(room);
    } catch (error) {
      this.#options.log.debug({ room: room.id, reason: reasonOf(error) }, "a room can't be imported yet");
      this.#later(room, this.#retryMs(room.failures++));
    }
    await claim?.release().catch(() => {}); // It runs out by itself.
  }

  async #import(room: LackingRoom): Promise<void> {
    const { nc, depth, log, onDone } = this.#options;
    const members = await this.#known(room).memberEvents();
    const homeserver = await this.#askers.contact(room.id, [
      ...[...room.users].reverse(),
      ...this.#askers.joined(members),
    ]);
    if (homeserver === undefined) return this.#leave(room);
    const number = ++this.#begun;
    const began = performance.now();
    log.info({ import: number }, "the import of a room begins");
    log.debug({ import: number, room: room.id }, "the room that is imported");
    let everybody: readonly MatrixEvent[] = [];
    let hasHistorian = true;
    try {
      const { state, events } = await importRoom({
        nc,
        homeserver,
        room: room.id,
        depth,
        keepsState: true,
        heldBytesMax: IMPORT_HELD_BYTES_MAX,
        historian: async (state) => {
          everybody = state;
          const historian = await this.#askers.historian(room.id, state);
          hasHistorian = historian !== undefined;
          return historian;
        },
      });
      onDone("done");
      if (await this.#mayHaveMore(room, everybody)) this.#later(room, this.#againMs * 2 ** room.imports++);
      else this.#isComplete(room.id);
      log.info({ import: number, state, events, ms: Math.round(performance.now() - began) }, "a room is imported");
    } catch (error) {
      if (!hasHistorian) return this.#leave(room);
      // The reason may name users, and the room.
      if (!this.#closing.signal.aborted) {
        onDone("failed");
        log.warn({ import: number, code: codeOf(error) }, "the import of a room failed, and is tried again");
      }
      throw error;
    }
  }

  /** A homeserver that could not reach the other servers of a room shows the history that it has, and says that this is all. */
  async #mayHaveMore(room: LackingRoom, members: readonly MatrixEvent[]): Promise<boolean> {
    if (room.imports >= IMPORTS_MAX || !this.#askers.hasOthers(members)) return false;
    return (await this.#known(room).oldest())?.type !== CREATION;
  }

  #isComplete(room: RoomId): void {
    this.#complete.set(room, true);
    this.#lacking.delete(room);
  }

  /** Until another user of it is seen. */
  #leave(room: LackingRoom): void {
    room.state = "left";
    this.#options.onDone("nobody");
    this.#options.log.debug({ room: room.id }, "a room can't be imported: nobody can be asked for it");
  }

  #later(room: LackingRoom, ms: number): void {
    room.state = "waiting";
    this.#after(ms, () => this.#look(room));
  }

  #retryMs(failures: number): number {
    const { retryMs = IMPORT_RETRY_MS_MIN } = this.#options;
    return Math.min(retryMs * 2 ** failures, IMPORT_RETRY_MS_MAX);
  }

  #after(ms: number, act: () => void): void {
    if (this.#closing.signal.aborted) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, ms);
    this.#timers.add(timer);
  }

  /** `work` never rejects. */
  #during(work: () => Promise<void>): void {
    const done = work().finally(() => this.#working.delete(done));
    this.#working.add(done);
  }

  #known({ id }: LackingRoom): KnownHistory {
    return new KnownHistory(this.#options.nc, id);
  }
}

function codeOf(error: unknown): string {
  return error instanceof TidemarkError ? error.code : "unexpected";
}
