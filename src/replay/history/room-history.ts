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
import { finished, type Sliced } from "./sliced.ts";
import type { Step, StepReceipt } from "./step.ts";
import { hasPrefix } from "./step-filter.ts";
import {
  countThrough,
  type EventTrack,
  type HeldTrack,
  isOpenAt,
  lastAt,
  type MarkerTrack,
  type Membership,
  type Move,
  OrderedEvents,
  placeAt,
  positionIn,
  type Stay,
  threadAt,
} from "./tracks.ts";

/** A thread takes about a microsecond, less than to ask whether a slice is over. */
const THREADS_PER_STEP = 64;

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
  readonly threads: ReadonlyMap<string, number>;
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
  /** Events that count as unread before a redaction, by thread. */
  readonly #counting = new Map<string, OrderedEvents>();
  /** Events of positive order, by sender and thread. */
  readonly #sent = new Map<string, Map<string, OrderedEvents>>();
  readonly #markers = new Map<string, Map<string, MarkerTrack>>();
  /** In log order. */
  readonly held: HeldTrack[] = [];
  readonly #waiting = new Map<Position, HeldTrack>();
  readonly #members = new Map<string, Membership[]>();
  /** From here on some membership is known. */
  #membershipSince = Number.POSITIVE_INFINITY;
  readonly #stays = new Map<string, Stay[]>();
  readonly #erasures = new Map<string, { readonly position: Position }[]>();
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
    if (only === undefined || step.kind !== "receipt" || hasPrefix(step.user, only)) {
      if (step.kind === "receipt") this.#receipt(step);
      else if (step.kind === "erasure") this.#erasure(step);
      else this.#event(step);
      this.steps.push(step);
    }
    // Drops a quarter at once, so that the array is seldom copied.
    if (this.steps.length > stepsMax * 1.25) this.steps = this.steps.slice(-stepsMax);
  }

  #event(step: Step): void {
    const { position, at, event: id, user, type, member, redacts } = step;
    if (member !== undefined) {
      append(this.#members, member.user, { position, membership: member.membership });
      this.#membershipSince = Math.min(this.#membershipSince, position);
      this.#seen(member.user, position);
    }
    if (step.outcome !== "ordered") return;
    this.#seen(user, position);
    const event: EventTrack = {
      id,
      position,
      at,
      live: step.kind === "event",
      order: step.order!,
      threads: [{ position, thread: step.thread ?? MAIN }],
      user,
      type,
      counts: step.counts === true,
      redactedAt: step.redacted ? position : undefined,
    };
    this.events.set(id, event);
    this.eventList.push(event);
    this.#index(event);
    if (step.joined !== undefined) append(this.#stays, step.joined, { position, order: event.order });
    if (redacts !== undefined) this.#redact(redacts, position);
    this.#settle(step);
  }

  /** F14. */
  #erasure(step: Step): void {
    const { position, at, user, erased } = step;
    this.#erasures.set(user, [...(this.#erasures.get(user) ?? []), { position }]);
    for (const { moves } of this.markersOf(user)) {
      const last = moves.at(-1)!;
      if (!last.gone) moves.push({ ...last, position, at, gone: true });
    }
    for (const held of this.#waiting.values()) {
      if (held.user !== user) continue;
      this.#waiting.delete(held.position);
      held.ended = { position, at, outcome: "rejected", reason: "erased" };
    }
    for (const id of erased?.events ?? []) this.#redact(id, position);
    this.#settle(step);
  }

  #redact(id: string, position: Position): void {
    const target = this.events.get(id);
    if (target !== undefined) target.redactedAt ??= position;
  }

  /** Other events and receipts that the step changed. */
  #settle({ position, at, rethreaded = [], judged = [] }: Step): void {
    for (const { event: moved, thread } of rethreaded) {
      const track = this.events.get(moved)!;
      if (threadAt(track, position) === thread) continue;
      track.threads.push({ position, thread });
      this.#index(track);
    }
    for (const receipt of judged) this.#judge(receipt, { position, at });
  }

  /** Adds an event to what its thread has. */
  #index(event: EventTrack): void {
    if (event.order < 0) return;
    const { thread } = event.threads.at(-1)!;
    if (event.counts) orderedEvents(this.#counting, thread).add(event);
    let sent = this.#sent.get(event.user);
    if (sent === undefined) {
      sent = new Map();
      this.#sent.set(event.user, sent);
    }
    orderedEvents(sent, thread).add(event);
  }

  #receipt(step: Step): void {
    const { position, at, user, thread, event } = step;
    const type = step.type as ReceiptType; // The type of a receipt's step.
    this.#seen(user, position);
    if (step.dropped !== undefined) this.#judge(step.dropped, { position, at });
    if (step.outcome === "held") {
      const held: HeldTrack = { position, at, user, type, thread, event, ended: undefined };
      this.held.push(held);
      this.#waiting.set(position, held);
    } else if (step.to !== undefined) {
      this.#move({ user, type, thread }, step.eventThread ?? MAIN, { position, at, ...step.to, receipt: position });
    }
  }

  #judge(receipt: StepReceipt, { position, at }: Pick<Step, "position" | "at">): void {
    const held = this.#waiting.get(receipt.position);
    if (held === undefined) return; // Its user does not match the prefix.
    this.#waiting.delete(receipt.position);
    const outcome = receipt.outcome === "advanced" ? "released" : receipt.outcome;
    held.ended = { position, at, outcome, reason: receipt.reason };
    if (receipt.to === undefined) return;
    const move = { position, at, ...receipt.to, receipt: receipt.position };
    this.#move(receipt, receipt.eventThread ?? MAIN, move);
  }

  /** A receipt of unknown thread moves an inferred marker of its event's thread. */
  #move(receipt: Pick<StepReceipt, "user" | "type" | "thread">, eventThread: string, move: Move): void {
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

  /** The same for all threads in which the user has a marker; for null, the one of the unthreaded markers. */
  #readByThread(user: string, position: Position): Map<string | null, Order> {
    const orders = new Map<string | null, Order>();
    for (const marker of this.markersOf(user)) {
      const order = countsAsRead(marker.type) ? placeAt(marker, position)?.order : undefined;
      if (order === undefined) continue;
      orders.set(marker.thread, Math.max(order, orders.get(marker.thread) ?? Number.NEGATIVE_INFINITY));
    }
    return orders;
  }

  /** F12. The user's current stay in the room at a position, if it is known when it began. */
  stay(user: string, position: Position): Stay | undefined {
    return lastAt(this.#stays.get(user) ?? [], position);
  }

  /** F12 at a position; null if the event is not known then. */
  isRead(user: string, id: string, position: Position): boolean | null {
    const event = this.eventAt(id, position);
    if (event === undefined) return null;
    const { order, user: sender } = event;
    if (order < 0 || sender === user || order < (this.stay(user, position)?.order ?? 0)) return true;
    return this.readUpTo(user, threadAt(event, position), position) >= order;
  }

  /** F14. Where the user was erased from the room last; undefined if not by this position. */
  erasedAt(user: string, position: Position): Position | undefined {
    return lastAt(this.#erasures.get(user) ?? [], position)?.position;
  }

  /** F13. The newest event that the user has sent in a thread. */
  newestSent(user: string, thread: string, position: Position): EventTrack | undefined {
    const events = this.#sent.get(user)?.get(thread)?.newestFirst(position) ?? [];
    for (const event of events) if (threadAt(event, position) === thread) return event;
    return undefined;
  }

  /** F13. Whether the user's unread events are counted: not when the user is known not to be joined. */
  countsFor(user: string, position: Position): boolean {
    return position < this.#membershipSince || this.membership(user, position) === "join";
  }

  /** F13 at a position. */
  unread(user: string, position: Position): UnreadAt {
    return finished(this.unreadSliced(user, position));
  }

  /** The same, in slices. The history may grow meanwhile. */
  *unreadSliced(user: string, position: Position): Sliced<UnreadAt> {
    let total = 0;
    let main = 0;
    const threads = new Map<string, number>();
    let oldest: EventTrack | undefined;
    if (!this.countsFor(user, position)) return { total, main, threads, oldest: undefined };
    const joinedAt = this.stay(user, position)?.order ?? 0;
    const readByThread = this.#readByThread(user, position);
    const readInAll = readByThread.get(null) ?? Number.NEGATIVE_INFINITY;
    let looked = 0;
    for (const [thread, events] of this.#counting) {
      if (++looked % THREADS_PER_STEP === 0) yield;
      const readUpTo = Math.max(readInAll, readByThread.get(thread) ?? Number.NEGATIVE_INFINITY);
      const sentAt = this.newestSent(user, thread, position)?.order ?? 0;
      let count = 0;
      for (const event of events.newestFirst(position)) {
        if (event.order <= readUpTo || event.order <= sentAt || event.order < joinedAt) break;
        if (event.user === user || threadAt(event, position) !== thread) continue;
        if ((event.redactedAt ?? Number.POSITIVE_INFINITY) <= position) continue;
        count++;
        if (oldest === undefined || event.order < oldest.order) oldest = event;
        if (count === UNREAD_COUNT_MAX) break;
      }
      if (count === 0) continue;
      total += count;
      if (thread === MAIN) main = count;
      else threads.set(thread, count);
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

function orderedEvents(byThread: Map<string, OrderedEvents>, thread: string): OrderedEvents {
  let events = byThread.get(thread);
  if (events === undefined) {
    events = new OrderedEvents();
    byThread.set(thread, events);
  }
  return events;
}

function append<K, T>(map: Map<K, T[]>, key: K, item: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [item]);
  else list.push(item);
}
