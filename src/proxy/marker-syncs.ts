/**
 * The markers of users who come through the proxy, as their homeserver shows them: receipts with their threads, and `m.fully_read`,
 * however they were set. Pushes leave out both, and a homeserver doesn't repeat the receipts that it pushed while Tidemark was away.
 *
 *     user ──first request──────────────────┐
 *          ──a gap is over──────────────────┤
 *          ──a request, long after the last─┼──▶ queue ──▶ a filtered /sync as this user ──▶ `tidemark.in.receipt.<room>`
 *          ──a receipt without an answer────┤    (paced)   (from its own `next_batch` on)
 *          ──one that came past the proxy───┘
 *
 * - Only the user's own markers are taken. What was told before, from here or by a client's request, is not told again.
 * - `m.fully_read` replaces the marker (F7), so one that a client has set since the question began must not be undone by the answer:
 *   it is left out, and the user is asked about once more.
 * - While the homeserver or Tidemark is away, it is tried again each second, one user at a time; once that works, all go on. Any other
 *   failure is the user's alone, who is asked about again after pauses that are twice as long each, and holds up nobody.
 * - A user as whom the registration can't act is left alone. So are users of application services: a bridge has thousands.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { LRUCache } from "lru-cache";
import { eachAtOnce } from "../at-once.ts";
import { TidemarkError } from "../errors.ts";
import {
  PROXY_ANSWER_BYTES_MAX,
  PROXY_MARKER_SYNC_AGAIN_MS,
  PROXY_MARKER_SYNC_AGE_MS,
  PROXY_MARKER_SYNC_RETRY_MS,
  PROXY_MARKER_SYNC_TIMEOUT_MS,
  PROXY_MARKER_SYNCS_AT_ONCE,
  PROXY_MARKERS_TOLD_MAX,
  PROXY_SYNCED_USERS_MAX,
} from "../limits.ts";
import { ID_SEPARATOR } from "../matrix/id-grammar.ts";
import type { EventId, RoomId, UserId } from "../matrix/ids.ts";
import { FULLY_READ } from "../matrix/receipt-types.ts";
import type { TellReceipts, ToldReceipt } from "./accepted-receipts.ts";
import type { Asker, Askers } from "./askers.ts";
import { FailingUsers } from "./failing-users.ts";
import { markersIn } from "./synced-markers.ts";
import { isUnreachable, type Upstream } from "./upstream.ts";

/** `read`, `failed` (and tried again), or `forbidden`: the registration can't act as the user. */
export type MarkerSyncOutcome = "read" | "failed" | "forbidden";

export interface MarkerSyncsOptions {
  readonly upstream: Upstream;
  readonly askers: Askers;
  readonly asToken: string;
  /** Called for each `/sync`. */
  readonly onSync: (outcome: MarkerSyncOutcome, error?: unknown) => void;
  /** Called with each user whose markers are followed from now on. */
  readonly onUser?: (user: UserId) => void;
  /** Users at most asked about in a second. */
  readonly perSecond: number;
  /** Pauses in ms. Default: `PROXY_MARKER_SYNC_RETRY_MS`, `PROXY_MARKER_SYNC_AGAIN_MS`. */
  readonly retryMs?: number;
  readonly againMs?: number;
}

interface SyncedUser {
  /** `since` of the next `/sync`. */
  readonly since: string | undefined;
  /** When the last one began whose markers Tidemark has: `performance.now()`. */
  readonly at: number;
}

const NEVER: SyncedUser = { since: undefined, at: Number.NEGATIVE_INFINITY };

interface ToldMarker {
  readonly event: EventId;
  /** `performance.now()` */
  readonly at: number;
}

/**
 * A filter that no request had before. Synapse keeps answers to `/sync` for two minutes, by the text of the filter among others: to
 * a proxy that starts again it would give the answer of before.
 */
function newFilter(): string {
  const nothing = { types: [randomUUID()] };
  return JSON.stringify({
    presence: nothing,
    account_data: nothing,
    room: {
      timeline: { ...nothing, limit: 1 },
      state: { ...nothing, lazy_load_members: true },
      ephemeral: { types: ["m.receipt"] },
      account_data: { types: [FULLY_READ] },
    },
  });
}

/** Rooms of one user that are told at a time, and receipts of one request. */
const ROOMS_AT_ONCE = 8;
const RECEIPTS_AT_ONCE = 256;
const MS_PER_SECOND = 1_000;
const FORBIDDEN: ReadonlySet<number> = new Set([401, 403]);
/** What a reverse proxy answers while the homeserver behind it is away. */
const AWAY: ReadonlySet<number> = new Set([502, 503, 504]);

class UnexpectedStatus extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`the homeserver answered ${status} to a /sync for markers`);
    this.status = status;
  }
}

/** Whether a failure says that the homeserver or Tidemark is away, whoever is asked about. */
function isAway(error: unknown): boolean {
  if (error instanceof UnexpectedStatus) return AWAY.has(error.status);
  return isUnreachable(error) || (error instanceof TidemarkError && error.shouldRetry());
}

export class MarkerSyncs {
  readonly #options: MarkerSyncsOptions;
  readonly #users = new LRUCache<UserId, SyncedUser>({ max: PROXY_SYNCED_USERS_MAX });
  /** Whose requests need no look for a while. */
  readonly #recent = new LRUCache<string, true>({ max: PROXY_SYNCED_USERS_MAX, ttl: PROXY_MARKER_SYNC_AGE_MS });
  readonly #told = new LRUCache<string, ToldMarker>({ max: PROXY_MARKERS_TOLD_MAX });
  readonly #due = new Set<UserId>();
  readonly #failing: FailingUsers;
  readonly #closing = new AbortController();
  #tell: TellReceipts | undefined;
  readonly #workers = new Set<Promise<void>>();
  /** Logs that Tidemark has had. */
  #logs = 1;
  /** Workers that go on. */
  #running = 0;
  /** Whether the homeserver or Tidemark is away. */
  #isAway = false;
  #again: NodeJS.Timeout | undefined;

  constructor(options: MarkerSyncsOptions) {
    this.#options = options;
    const { retryMs = PROXY_MARKER_SYNC_RETRY_MS } = options;
    this.#failing = new FailingUsers({ pauseMs: retryMs, onOver: (user) => this.want(user) });
  }

  /** Tidemark can be told from now on. */
  connect(tell: TellReceipts): void {
    this.#tell = tell;
    this.#work();
  }

  /** The homeserver has answered a request of this sender. */
  seen(asker: Asker): void {
    if (!this.#recent.has(asker.key)) this.unsure(asker);
  }

  /** This sender may have set markers of which nothing else tells: the request ended before its answer. */
  unsure(asker: Asker): void {
    this.#recent.set(asker.key, true);
    this.#options.askers
      .deviceOf(asker)
      .then((device) => {
        if (device?.hasId === true) this.want(device.user);
      })
      .catch(() => this.#recent.delete(asker.key));
  }

  /** Whether this user comes through the proxy. */
  follows(user: UserId): boolean {
    return this.#users.has(user);
  }

  /** Markers may have been missed until then (`performance.now()`). Default: until now. */
  gap(until = performance.now()): void {
    const users = new Set(this.#failing.endPauses());
    for (const [user, { at }] of this.#users) if (at <= until) users.add(user);
    for (const user of users) this.want(user);
  }

  /** The homeserver pushes again. What waited at it, it may still be busy with: who is read at once is read once more in a moment. */
  caughtUp(): void {
    this.gap();
    clearTimeout(this.#again);
    this.#again = setTimeout(() => this.gap(), this.#options.againMs ?? PROXY_MARKER_SYNC_AGAIN_MS).unref();
  }

  /** Tidemark has another log, and what it was told is not in it. */
  forget(): void {
    this.#told.clear();
    this.#logs++;
    for (const user of [...this.#users.keys()]) this.#users.set(user, NEVER);
    this.gap();
  }

  /** Tidemark was told of these. */
  told(room: RoomId, receipts: readonly ToldReceipt[]): void {
    const at = performance.now();
    for (const receipt of receipts) this.#told.set(keyOf(room, receipt), { event: receipt.event_id, at });
  }

  async close(): Promise<void> {
    this.#closing.abort();
    clearTimeout(this.#again);
    this.#failing.close();
    await Promise.all(this.#workers);
  }

  /** This user's markers may be others than Tidemark has. */
  want(user: UserId): void {
    if (!this.#users.has(user)) {
      this.#users.set(user, NEVER);
      this.#options.onUser?.(user);
    }
    if (this.#failing.isPausing(user)) return;
    this.#due.add(user);
    this.#work();
  }

  #work(): void {
    if (this.#tell === undefined || this.#closing.signal.aborted) return;
    const most = this.#isAway ? 1 : PROXY_MARKER_SYNCS_AT_ONCE;
    while (this.#running < most && this.#due.size > 0) {
      this.#running++;
      const worker = this.#workThrough().finally(() => this.#workers.delete(worker));
      this.#workers.add(worker);
    }
  }

  /** Works until nothing is due. While the homeserver or Tidemark is away, one worker goes on alone. */
  async #workThrough(): Promise<void> {
    const { onSync, perSecond, retryMs = PROXY_MARKER_SYNC_RETRY_MS } = this.#options;
    const paceMs = (MS_PER_SECOND * PROXY_MARKER_SYNCS_AT_ONCE) / perSecond;
    for (let [user] = this.#due; user !== undefined && !this.#closing.signal.aborted; [user] = this.#due) {
      this.#due.delete(user);
      const began = performance.now();
      try {
        onSync(await this.#sync(user, began));
        this.#failing.succeeded(user);
        if (this.#isAway) {
          this.#isAway = false;
          this.#work();
        }
      } catch (error) {
        onSync("failed", error);
        if (isAway(error)) {
          this.#isAway = true;
          this.#due.add(user);
        } else this.#failing.failed(user);
      }
      if (this.#isAway && this.#running > 1) break;
      const pauseMs = this.#isAway ? retryMs : paceMs - (performance.now() - began);
      if (pauseMs > 0) await delay(pauseMs, undefined, { signal: this.#closing.signal }).catch(() => {});
    }
    this.#running--;
  }

  async #sync(user: UserId, began: number): Promise<MarkerSyncOutcome> {
    const { upstream, asToken } = this.#options;
    const since = this.#users.get(user)?.since;
    const log = this.#logs;
    const query = new URLSearchParams({ timeout: "0", set_presence: "offline", user_id: user, filter: newFilter() });
    if (since !== undefined) query.set("since", since);
    const { status, body } = await upstream.ask(
      {
        method: "GET",
        path: `/_matrix/client/v3/sync?${query}`,
        headers: ["Authorization", `Bearer ${asToken}`, "Host", upstream.host],
      },
      { timeoutMs: PROXY_MARKER_SYNC_TIMEOUT_MS, bytesMax: PROXY_ANSWER_BYTES_MAX },
    );
    if (FORBIDDEN.has(status)) {
      this.#users.delete(user);
      return "forbidden";
    }
    if (status !== 200) throw new UnexpectedStatus(status);
    const { next, rooms } = markersIn(JSON.parse(body.toString()), user);
    await eachAtOnce(rooms, ROOMS_AT_ONCE, ([room, markers]) => this.#tellNew(room, markers, began));
    if (log === this.#logs) this.#users.set(user, { since: next, at: began });
    return "read";
  }

  async #tellNew(room: RoomId, markers: readonly ToldReceipt[], began: number): Promise<void> {
    const wanted = markers.filter((marker) => {
      const before = this.#told.get(keyOf(room, marker));
      if (marker.receipt_type === FULLY_READ && before !== undefined && before.at >= began) {
        this.want(marker.user_id);
        return false;
      }
      return before?.event !== marker.event_id;
    });
    for (let from = 0; from < wanted.length; from += RECEIPTS_AT_ONCE) {
      const batch = wanted.slice(from, from + RECEIPTS_AT_ONCE);
      try {
        await this.#tell?.(room, batch);
      } catch (error) {
        // What ingress refuses for good must not keep the others back.
        if (!(error instanceof TidemarkError) || error.shouldRetry()) throw error;
      }
      this.told(room, batch);
    }
  }
}

function keyOf(room: RoomId, { user_id: user, receipt_type: type, thread_id: thread }: ToldReceipt): string {
  return [room, user, type, thread ?? ""].join(ID_SEPARATOR);
}
