/**
 * The orders of events in a homeserver's answers.
 *
 *     event ──in the cache─────────────────────────────────────▶ its order
 *           ──otherwise: `op: orders`, a batch for each room────▶ its order, or none
 *           ──none, new in a timeline, of a known room──────────▶ a delta brings it, or the time is over
 *
 * - Orders come from Tidemark alone, never from what a homeserver shows. An order never changes, so it is cached for as long as
 *   there is space. Deltas bring those of new events, so most need no question. A log that was made again empties the cache.
 * - An answer to a client may be quicker than the push of the same event. So a live event is waited for: once, and for no longer
 *   than `PROXY_ORDER_WAIT_MS`. While pushes stall, nothing is.
 * - **It fails open.** While a partition isn't answered for, its events have the orders that are cached, nothing waits, and one
 *   question at a time tries whether it is back.
 */
import { setMaxListeners } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { LRUCache } from "lru-cache";
import type { Order } from "../../actors/entry.ts";
import { eachAtOnce } from "../at-once.ts";
import type { Answer } from "../bus/contract/questions.ts";
import { partitionOf } from "../bus/contract/subjects.ts";
import { TidemarkError } from "../errors.ts";
import { Slices } from "../in-slices.ts";
import { IntervalGate } from "../interval-gate.ts";
import {
  PROXY_ORDER_RETRY_MS,
  PROXY_ORDER_WAIT_MS,
  PROXY_ORDERS_ANSWER_MS,
  PROXY_ORDERS_CACHED_BYTES_MAX,
  PUSH_YOUNG_EVENT_MS,
} from "../limits.ts";
import { isEventId, isRoomId } from "../matrix/id-grammar.ts";
import type { EventId, RoomId } from "../matrix/ids.ts";
import { within } from "../within.ts";
import type { OrderPlace } from "./order-places.ts";
import type { OrderOf } from "./order-splice.ts";
import type { PushWatch } from "./push-watch.ts";

/** How an order was found: in the cache, by a question, by a delta that was waited for, or not at all. */
export type OrderSource = "cache" | "question" | "delta" | "none";

type OrdersAnswer = Pick<Answer<"orders">, "orders" | "position">;

export interface OrdersOfRooms {
  readonly partitions: number;
  /** Asks a room's owner. Rejects with `BUS_UNAVAILABLE` when nobody answers. */
  readonly ask: (room: RoomId, events: readonly EventId[]) => Promise<OrdersAnswer>;
}

interface OrderFinderOptions {
  /** Called with numbers of events. */
  readonly onFound: (source: OrderSource, events: number) => void;
  /** Called when answers begin to pass without orders that Tidemark may have, and when that ends. */
  readonly onAway: (isAway: boolean) => void;
  /** Called with how long an answer waited for deltas, ms. */
  readonly onWaited: (ms: number) => void;
  readonly pushes: Pick<PushWatch, "mayWait" | "inVain">;
}

/** Memory that an order takes beside its ids. */
const ORDER_COST_BYTES = 150;
/** Event ids in a question: however long they are, it is smaller than the broker's limit. */
const EVENTS_ASKED_AT_ONCE = 256;
/** Places of a step. */
const STEP_PLACES = 256;
/** Rooms that one answer asks about at a time. */
const ROOMS_ASKED_AT_ONCE = 64;
/** Events that were waited for in vain, and are not waited for again. */
const WAITED_FOR_MAX = 16_384;

/** An answer that waited for less, because the question took so long, has not waited in vain. */
const IN_VAIN_MS = PROXY_ORDER_WAIT_MS / 2;

const keyOf = (room: string, event: string) => `${room}\0${event}`;

/** What one room's events of an answer are. */
interface Wanted {
  readonly events: Set<EventId>;
  /** Those of a timeline, which are waited for. The value: whether it was sent a moment ago. */
  readonly live: Map<EventId, boolean>;
}

export class OrderFinder {
  readonly #options: OrderFinderOptions;
  readonly #cache: LRUCache<string, Order>;
  readonly #waitedFor = new LRUCache<string, true>({ max: WAITED_FOR_MAX });
  /** Called when the event's order comes. */
  readonly #waiting = new Map<string, Set<() => void>>();
  /** Partitions that don't answer. The gate lets one question through from time to time. */
  readonly #away = new Map<number, IntervalGate>();
  #source: OrdersOfRooms | undefined;
  /** Whether there is no connection to the broker. */
  #isCutOff = true;

  constructor(options: OrderFinderOptions) {
    this.#options = options;
    this.#cache = new LRUCache({
      maxSize: PROXY_ORDERS_CACHED_BYTES_MAX,
      sizeCalculation: (_, key) => key.length + ORDER_COST_BYTES,
    });
    options.onAway(true);
  }

  /** Tidemark can be asked from now on. */
  connect(source: OrdersOfRooms): void {
    this.#source = source;
    this.cutOff(false);
  }

  /** The connection to the broker is lost, or there again. */
  cutOff(isCutOff: boolean): void {
    this.#change(() => {
      this.#isCutOff = isCutOff;
      this.#away.clear(); // Whether they answer is to be seen.
    });
    if (isCutOff) this.#wakeAll();
  }

  /** A delta told the orders of events. */
  learn(
    room: RoomId,
    events: readonly { readonly event_id: EventId; readonly unsigned: { readonly order: Order } }[],
  ): void {
    // Who publishes answers as well.
    if (this.#source !== undefined && this.#away.size > 0) {
      const partition = partitionOf(room, this.#source.partitions);
      this.#change(() => this.#away.delete(partition));
    }
    for (const { event_id: event, unsigned } of events) {
      const key = keyOf(room, event);
      this.#cache.set(key, unsigned.order);
      this.#wake(key);
    }
  }

  /** Memory that the cached orders take. */
  get cachedBytes(): number {
    return this.#cache.calculatedSize;
  }

  /** What is cached is of a log that is no more. */
  forget(): void {
    this.#cache.clear();
  }

  readonly find = async (
    places: readonly OrderPlace[],
    { mayWait }: { readonly mayWait: boolean },
  ): Promise<OrderOf> => {
    const known = new Map<string, Order>();
    const wanted = new Map<RoomId, Wanted>();
    const now = Date.now();
    const isYoung = ({ sentAt }: OrderPlace) => sentAt !== undefined && Math.abs(now - sentAt) < PUSH_YOUNG_EVENT_MS;
    const slices = new Slices();
    for (const [i, place] of places.entries()) {
      const pause = i % STEP_PLACES === 0 ? slices.pause() : undefined;
      if (pause !== undefined) await pause;
      const { room, eventId, isTimeline } = place;
      if (room === undefined || !isRoomId(room) || !isEventId(eventId)) continue;
      const key = keyOf(room, eventId);
      const order = this.#cache.get(key);
      if (order !== undefined) known.set(key, order);
      else {
        const of = wantedIn(wanted, room as RoomId);
        of.events.add(eventId as EventId);
        if (mayWait && isTimeline) of.live.set(eventId as EventId, isYoung(place));
      }
    }
    if (known.size > 0) this.#options.onFound("cache", known.size);
    if (wanted.size > 0) {
      const limit = new AbortController();
      setMaxListeners(0, limit.signal); // As many as events are waited for. Node warns of more than ten.
      // Whatever is not known when the time is over stays unknown in this answer.
      await Promise.race([
        this.#ask(wanted, { known, limit: limit.signal }),
        delay(PROXY_ORDER_WAIT_MS, undefined, { signal: limit.signal }).catch(() => {}),
      ]);
      limit.abort();
      let missing = 0;
      for (const [room, { events }] of wanted)
        for (const event of events) if (!known.has(keyOf(room, event))) missing++;
      if (missing > 0) this.#options.onFound("none", missing);
    }
    return (room, event) => known.get(keyOf(room, event));
  };

  /** Asks for the orders in each room, and waits for those that are about to come. */
  async #ask(wanted: ReadonlyMap<RoomId, Wanted>, found: Found): Promise<void> {
    const { pushes, onWaited } = this.#options;
    const late: { readonly key: string; readonly isYoung: boolean }[] = [];
    await eachAtOnce(wanted, ROOMS_ASKED_AT_ONCE, async ([room, { events, live }]) => {
      const isKnown = await this.#askAbout(room, [...events], found);
      if (!isKnown) return;
      for (const [event, isYoung] of live) {
        const key = keyOf(room, event);
        if (!found.known.has(key) && !this.#waitedFor.has(key)) late.push({ key, isYoung });
      }
    });
    if (found.limit.aborted || late.length === 0 || !pushes.mayWait) return;
    const began = performance.now();
    await Promise.all(late.map(({ key }) => this.#wait(key, found)));
    const waitedMs = performance.now() - began;
    onWaited(waitedMs);
    const isMissing = late.some(({ key, isYoung }) => isYoung && !this.#cache.has(key));
    if (isMissing && waitedMs >= IN_VAIN_MS && !this.#isAway) pushes.inVain(began);
  }

  /** Returns whether Tidemark knows the room. */
  async #askAbout(room: RoomId, events: readonly EventId[], { known, limit }: Found): Promise<boolean> {
    let isKnown = true;
    for (let from = 0; from < events.length && !limit.aborted; from += EVENTS_ASKED_AT_ONCE) {
      const answer = await this.#answerOf(room, events.slice(from, from + EVENTS_ASKED_AT_ONCE));
      isKnown &&= answer !== undefined && answer.position > 0;
      let count = 0;
      for (const [event, order] of Object.entries(answer?.orders ?? {})) {
        if (order === null) continue;
        const key = keyOf(room, event);
        this.#cache.set(key, order);
        known.set(key, order);
        count++;
      }
      if (count > 0) this.#options.onFound("question", count);
    }
    return isKnown;
  }

  /** Returns undefined when nobody answers. */
  async #answerOf(room: RoomId, events: readonly EventId[]): Promise<OrdersAnswer | undefined> {
    const source = this.#source;
    if (source === undefined || this.#isCutOff) return undefined;
    const partition = partitionOf(room, source.partitions);
    if (this.#away.get(partition)?.pass() === false) return undefined;
    try {
      const answer = await within(PROXY_ORDERS_ANSWER_MS, source.ask(room, events));
      this.#change(() => this.#away.delete(partition));
      return answer;
    } catch (error) {
      // Another refusal is about the question, and says nothing about the partition.
      if (error instanceof TidemarkError && !error.shouldRetry()) return undefined;
      const gate = new IntervalGate(PROXY_ORDER_RETRY_MS);
      gate.pass();
      this.#change(() => this.#away.set(partition, gate));
      return undefined;
    }
  }

  async #wait(key: string, { known, limit }: Found): Promise<void> {
    if (!this.#cache.has(key)) {
      await new Promise<void>((resolve) => {
        const wake = () => {
          waiting.delete(wake);
          if (waiting.size === 0) this.#waiting.delete(key);
          limit.removeEventListener("abort", wake);
          resolve();
        };
        const waiting = this.#waiting.get(key) ?? new Set();
        this.#waiting.set(key, waiting.add(wake));
        limit.addEventListener("abort", wake);
      });
    }
    const order = this.#cache.get(key);
    if (order === undefined) {
      this.#waitedFor.set(key, true);
      return;
    }
    if (limit.aborted) return;
    known.set(key, order);
    this.#options.onFound("delta", 1);
  }

  #wake(key: string): void {
    for (const wake of [...(this.#waiting.get(key) ?? [])]) wake();
  }

  #wakeAll(): void {
    for (const key of [...this.#waiting.keys()]) this.#wake(key);
  }

  get #isAway(): boolean {
    return this.#isCutOff || this.#away.size > 0;
  }

  #change(change: () => void): void {
    const before = this.#isAway;
    change();
    if (this.#isAway !== before) this.#options.onAway(this.#isAway);
  }
}

interface Found {
  readonly known: Map<string, Order>;
  /** Aborted when the time of this answer is over. */
  readonly limit: AbortSignal;
}

function wantedIn(wanted: Map<RoomId, Wanted>, room: RoomId): Wanted {
  let of = wanted.get(room);
  if (of === undefined) {
    of = { events: new Set(), live: new Map() };
    wanted.set(room, of);
  }
  return of;
}
