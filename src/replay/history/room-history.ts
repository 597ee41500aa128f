/**
 * The history of a room: it records the changes of each step, so that the state at any position is known without
 * folding again.
 *
 * Nothing is decided here: steps have the outcomes of the fold. So the state at a position equals that of the fold,
 * which the tests check at every position.
 *
 * Events, held receipts and the moves of markers are never dropped. Of the steps, the newest `stepsMax` are kept.
 */
import { type Order, type Position, UNKNOWN_THREAD } from "../../../actors/entry.ts";
import { UNREAD_COUNT_MAX } from "../../limits.ts";
import { MAIN } from "../../matrix/id-grammar.ts";
import { countsAsRead, type ReceiptType } from "../../matrix/receipt-types.ts";
import type { SettledReceipt, Step } from "./step.ts";
import {
  countThrough,
  type EventTrack,
  type HeldTrack,
  isOpenAt,
  lastAt,
  type MarkerTrack,
  type Membership,
  type Move,
  placeAt,
  positionIn,
} from "./tracks.ts";

export interface HistoryOptions {
  /** The number of steps to keep. Default: all. */
  readonly stepsMax?: number;
  /** Records only receipts of users whose id has this prefix. Default: of all users. */
  readonly user?: string;
  /** Keeps only the last move of each marker: the history can only answer about its end. Default: all moves. */
  readonly endOnly?: true;
}

export interface UnreadAt {
  readonly total: number;
  readonly main: number;
  readonly threads: Readonly<Record<string, number>>;
  /** The oldest event that is counted. */
  readonly oldest: string | undefined;
}

export class RoomHistory {
  readonly room: string;
  readonly #options: HistoryOptions;
  /** In log order. */
  steps: Step[] = [];
  /** The number of all steps, including those that are no longer kept. */
  entries = 0;
  /** Position and time of the newest step. */
  position: Position = 0;
  at = 0;
  readonly events = new Map<string, EventTrack>();
  /** In log order. */
  readonly eventList: EventTrack[] = [];
  /** Live events that count as unread, by thread, in log order. */
  readonly #counting = new Map<string, EventTrack[]>();
  readonly #markers = new Map<string, Map<string, MarkerTrack>>();
  /** In log order. */
  readonly held: HeldTrack[] = [];
  readonly #waiting = new Map<Position, HeldTrack>();
  readonly #members = new Map<string, Membership[]>();
  readonly #users = new Map<string, Position>();

  constructor(room: string, options: HistoryOptions = {}) {
    this.room = room;
    this.#options = options;
  }

  /** Records a step. Must be called in log order. */
  add(step: Step): void {
    this.entries++;
    this.position = step.position;
    this.at = step.at;
    const { user: only, stepsMax = Number.POSITIVE_INFINITY } = this.#options;
    if (only === undefined || step.kind !== "receipt" || step.user.startsWith(only)) {
      if (step.kind === "receipt") this.#receipt(step);
      else this.#event(step);
      this.steps.push(step);
    }
    // Drops a quarter at once, so that the array is seldom copied.
    if (this.steps.length > stepsMax * 1.25) this.steps = this.steps.slice(-stepsMax);
  }

  #event(step: Step): void {
    const { position, at, event: id, user, type, settled = [], member, redacts } = step;
    if (member !== undefined) {
      append(this.#members, member.user, { position, membership: member.membership });
      this.#seen(member.user, position);
    }
    if (step.outcome !== "ordered") return;
    this.#seen(user, position);
    const event: EventTrack = {
      id,
      position,
      at,
      order: step.order!,
      thread: step.thread ?? MAIN,
      user,
      type,
      counts: step.counts === true,
      redactedAt: step.redacted ? position : undefined,
    };
    this.events.set(id, event);
    this.eventList.push(event);
    if (event.counts) append(this.#counting, event.thread, event);
    const target = redacts === undefined ? undefined : this.events.get(redacts);
    if (target !== undefined) target.redactedAt ??= position;
    for (const receipt of settled) this.#settle(receipt, { position, at, thread: event.thread });
  }

  #receipt(step: Step): void {
    const { position, at, user, thread, event } = step;
    const type = step.type as ReceiptType; // The type of a receipt's step.
    this.#seen(user, position);
    if (step.dropped !== undefined) this.#settle(step.dropped, { position, at, thread: MAIN });
    if (step.outcome === "held") {
      const held: HeldTrack = { position, at, user, type, thread, event, ended: undefined };
      this.held.push(held);
      this.#waiting.set(position, held);
    } else if (step.to !== undefined) {
      this.#move({ user, type, thread }, step.eventThread ?? MAIN, { position, at, ...step.to, receipt: position });
    }
  }

  /** `thread`: of the event that settled the receipt. */
  #settle(receipt: SettledReceipt, { position, at, thread }: { position: Position; at: number; thread: string }): void {
    const held = this.#waiting.get(receipt.position);
    if (held === undefined) return; // Its user does not match the prefix.
    this.#waiting.delete(receipt.position);
    const outcome = receipt.outcome === "advanced" ? "released" : receipt.outcome;
    held.ended = { position, at, outcome, reason: receipt.reason };
    if (receipt.to === undefined) return;
    this.#move(receipt, thread, { position, at, ...receipt.to, receipt: receipt.position });
  }

  /** A receipt of unknown thread moves an inferred marker of its event's thread. */
  #move(receipt: Pick<SettledReceipt, "user" | "type" | "thread">, eventThread: string, move: Move): void {
    const { user, type } = receipt;
    const inferred = receipt.thread === UNKNOWN_THREAD;
    const thread = inferred ? eventThread : receipt.thread;
    let markers = this.#markers.get(user);
    if (markers === undefined) {
      markers = new Map();
      this.#markers.set(user, markers);
    }
    const key = `${type} ${thread ?? ""} ${inferred ? UNKNOWN_THREAD : ""}`;
    const marker = markers.get(key);
    if (marker === undefined || this.#options.endOnly)
      markers.set(key, { user, type, thread, inferred, moves: [move] });
    else marker.moves.push(move);
    if (!inferred) dropInferred(markers.values(), { type, thread }, move);
  }

  #seen(user: string, position: Position): void {
    if (!this.#users.has(user)) this.#users.set(user, position);
  }

  *markers(): Generator<MarkerTrack> {
    for (const markers of this.#markers.values()) yield* markers.values();
  }

  markersOf(user: string): Iterable<MarkerTrack> {
    return this.#markers.get(user)?.values() ?? [];
  }

  /** Returns all users who had sent, read, or been a member by then, in order of appearance. */
  users(position: Position): string[] {
    const users: string[] = [];
    for (const [user, since] of this.#users) if (since <= position) users.push(user);
    return users;
  }

  membership(user: string, position: Position): string | undefined {
    return lastAt(this.#members.get(user) ?? [], position)?.membership;
  }

  eventsThrough(position: Position): number {
    return countThrough(this.eventList, position, positionIn);
  }

  /** Returns the receipts that are held at a position, oldest first. */
  heldAt(position: Position): HeldTrack[] {
    const through = countThrough(this.held, position, positionIn);
    return this.held.slice(0, through).filter((held) => isOpenAt(held, position));
  }

  /** Returns the event, if it is known at the position. */
  eventAt(id: string, position: Position): EventTrack | undefined {
    const event = this.events.get(id);
    return event !== undefined && event.position <= position ? event : undefined;
  }

  /** F12, the part that markers decide: the greatest order up to which the user has read a thread. */
  readUpTo(user: string, thread: string, position: Position): Order {
    let upTo = Number.NEGATIVE_INFINITY;
    for (const marker of this.markersOf(user)) {
      if (!countsAsRead(marker.type) || (marker.thread !== null && marker.thread !== thread)) continue;
      upTo = Math.max(upTo, placeAt(marker, position)?.order ?? upTo);
    }
    return upTo;
  }

  /** F12 at a position; null if the event is not known then. */
  isRead(user: string, id: string, position: Position): boolean | null {
    const event = this.eventAt(id, position);
    if (event === undefined) return null;
    return event.order < 0 || event.user === user || this.readUpTo(user, event.thread, position) >= event.order;
  }

  /** F13 at a position. */
  unread(user: string, position: Position): UnreadAt {
    let total = 0;
    let main = 0;
    const threads: Record<string, number> = {};
    let oldest: EventTrack | undefined;
    for (const [thread, events] of this.#counting) {
      const readUpTo = this.readUpTo(user, thread, position);
      let count = 0;
      for (let i = countThrough(events, position, positionIn) - 1; i >= 0 && count < UNREAD_COUNT_MAX; i--) {
        const event = events[i]!;
        if (event.order <= readUpTo) break;
        if (event.user === user || (event.redactedAt ?? Number.POSITIVE_INFINITY) <= position) continue;
        count++;
        if (oldest === undefined || event.position < oldest.position) oldest = event;
      }
      if (count === 0) continue;
      total += count;
      if (thread === MAIN) main = count;
      else threads[thread] = count;
    }
    return { total: Math.min(total, UNREAD_COUNT_MAX), main, threads, oldest: oldest?.id };
  }

  /** Returns the newest position whose record is not later than `time`, Unix time in ms. */
  positionAt(time: number): Position {
    const through = countThrough(this.steps, time, (step) => step.at);
    return this.steps[through - 1]?.position ?? 0;
  }

  /** Returns the newest step at or before a position. */
  stepAt(position: Position): Step | undefined {
    return lastAt(this.steps, position);
  }
}

/** Drops the inferred markers that a marker of known thread covers after its move. */
function dropInferred(
  markers: Iterable<MarkerTrack>,
  moved: Pick<MarkerTrack, "type" | "thread">,
  { position, at, order, receipt }: Move,
): void {
  for (const { type, thread, inferred, moves } of markers) {
    const last = moves.at(-1)!;
    if (!inferred || last.gone || type !== moved.type || last.order > order) continue;
    if (moved.thread !== null && moved.thread !== thread) continue;
    moves.push({ position, at, event: last.event, order: last.order, receipt, gone: true });
  }
}

function append<K, T>(map: Map<K, T[]>, key: K, item: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [item]);
  else list.push(item);
}
