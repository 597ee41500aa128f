/**
 * Events whose thread isn't settled (F3): each inherits the thread of an event that the room doesn't know yet, at first or
 * second hand.
 *
 *     $c ──relates to──▶ $b ──relates to──▶ $a (not known)          $b and $c await $a
 *
 * All events that await the same one form a group. When the awaited event comes, the whole group is settled in its thread; if
 * it is unsettled itself, its group joins the group of what it awaits; and if it awaits itself in turn, the relations form a
 * circle, and the group is settled as `main`.
 *
 * The store has one row for each unsettled event, with the event it relates to. Groups are worked out when a room is loaded.
 */
import { UNSETTLED_LIVE_EVENTS_MAX, UNSETTLED_PER_ROOM_MAX, UNSETTLED_PER_SERVER_MAX } from "../../src/limits.ts";
import { type EventId, type ServerName, serverOf, type UserId } from "../../src/matrix/ids.ts";
import type { Order, Position } from "../entry.ts";

export interface UnsettledEvent {
  readonly id: EventId;
  readonly position: Position;
  readonly order: Order;
  readonly sender: UserId;
  /** The event that this one relates to. */
  readonly target: EventId;
  /**
   * The count of live events at which it is settled as `main`, because a receipt of unknown thread waits for it (F6);
   * undefined while no receipt waits.
   */
  deadline?: number;
}

interface Group {
  /** An unknown event: the group is settled when it comes. */
  awaited: EventId;
  members: Set<UnsettledEvent>;
}

export class UnsettledThreads {
  /** Oldest first. */
  readonly #events = new Map<EventId, UnsettledEvent>();
  readonly #groups = new Map<EventId, Group>();
  readonly #groupOf = new Map<UnsettledEvent, Group>();
  readonly #byServer = new Map<ServerName, Set<UnsettledEvent>>();
  readonly #bySender = new Map<UserId, Set<UnsettledEvent>>();
  /** Events with a deadline, the earliest first. */
  readonly #deadlines = new Set<UnsettledEvent>();
  #changed: Map<Position, UnsettledEvent | undefined> | undefined;

  /** `stored`: the unsettled events of a store, oldest first. */
  constructor(stored: Iterable<UnsettledEvent> = []) {
    for (const event of stored) this.#insert(event);
    for (const event of this.#events.values()) this.#joinChain(event);
    const limited = [...this.#events.values()].filter(({ deadline }) => deadline !== undefined);
    for (const event of limited.sort((a, b) => a.deadline! - b.deadline!)) this.#deadlines.add(event);
  }

  get size(): number {
    return this.#events.size;
  }

  get(id: EventId): UnsettledEvent | undefined {
    return this.#events.get(id);
  }

  /** The unknown event that an unsettled one awaits. */
  awaitedBy(id: EventId): EventId | undefined {
    const event = this.#events.get(id);
    return event === undefined ? undefined : this.#groupOf.get(event)!.awaited;
  }

  /** Adds an event that awaits `awaited`. Returns the oldest under a bound that is exceeded: to be settled as `main` (F3). */
  add(event: UnsettledEvent, awaited: EventId): UnsettledEvent | undefined {
    this.#insert(event);
    this.#join(event, awaited);
    this.#change(event.position, event);
    const ofServer = this.#byServer.get(serverOf(event.sender))!;
    if (ofServer.size > UNSETTLED_PER_SERVER_MAX) return first(ofServer);
    return this.#events.size > UNSETTLED_PER_ROOM_MAX ? first(this.#events.values()) : undefined;
  }

  /** The events that await one which has come. */
  awaiting(id: EventId): readonly UnsettledEvent[] {
    const group = this.#groups.get(id);
    return group === undefined ? [] : [...group.members];
  }

  /** Called when an event comes that is unsettled itself: what awaited it now awaits what it awaits. */
  merge(id: EventId, awaited: EventId): void {
    const from = this.#groups.get(id);
    if (from === undefined) return;
    this.#groups.delete(id);
    const into = this.#groups.get(awaited);
    if (into === undefined) {
      from.awaited = awaited;
      this.#groups.set(awaited, from);
      return;
    }
    // The smaller group is relabelled, so that chains of any length cost n log n in all.
    const [larger, smaller] = from.members.size > into.members.size ? [from, into] : [into, from];
    for (const event of smaller.members) {
      larger.members.add(event);
      this.#groupOf.set(event, larger);
    }
    larger.awaited = awaited;
    this.#groups.set(awaited, larger);
  }

  /** The event is settled. */
  delete(event: UnsettledEvent): void {
    this.#events.delete(event.id);
    this.#deadlines.delete(event);
    const group = this.#groupOf.get(event)!;
    this.#groupOf.delete(event);
    group.members.delete(event);
    if (group.members.size === 0) this.#groups.delete(group.awaited);
    remove(this.#byServer, serverOf(event.sender), event);
    remove(this.#bySender, event.sender, event);
    this.#change(event.position, undefined);
  }

  /** Called when a receipt of unknown thread waits for the event: sets its deadline, at which it is settled as `main` (F6). */
  limit(event: UnsettledEvent, liveEvents: number): void {
    if (event.deadline !== undefined) return;
    event.deadline = liveEvents + UNSETTLED_LIVE_EVENTS_MAX;
    this.#deadlines.add(event);
    this.#change(event.position, event);
  }

  /** Returns an event whose deadline has come; undefined if no event's has. */
  overdue(liveEvents: number): UnsettledEvent | undefined {
    const event = first(this.#deadlines);
    return event !== undefined && event.deadline! <= liveEvents ? event : undefined;
  }

  /** The greatest order of a user's unsettled events; 0 if the user has none. */
  newestOf(user: UserId): Order {
    let newest = 0;
    for (const { order } of this.#bySender.get(user) ?? []) newest = Math.max(newest, order);
    return newest;
  }

  /** Calls back with each position that changed since the last call: its unsettled event, or undefined when it is settled. */
  collect(each: (position: Position, event: UnsettledEvent | undefined) => void): void {
    const changed = this.#changed;
    this.#changed = undefined;
    if (changed !== undefined) for (const [position, event] of changed) each(position, event);
  }

  #insert(event: UnsettledEvent): void {
    this.#events.set(event.id, event);
    insert(this.#byServer, serverOf(event.sender), event);
    insert(this.#bySender, event.sender, event);
  }

  #join(event: UnsettledEvent, awaited: EventId): void {
    let group = this.#groups.get(awaited);
    if (group === undefined) {
      group = { awaited, members: new Set() };
      this.#groups.set(awaited, group);
    }
    group.members.add(event);
    this.#groupOf.set(event, group);
  }

  /** Joins a stored event, and the events of its chain of targets, to the group of what the last of them awaits. */
  #joinChain(event: UnsettledEvent): void {
    const chain: UnsettledEvent[] = [];
    let at: UnsettledEvent | undefined = event;
    let awaited = event.target;
    while (at !== undefined) {
      const group = this.#groupOf.get(at);
      awaited = group?.awaited ?? at.target;
      if (group !== undefined) break;
      chain.push(at);
      at = this.#events.get(awaited);
    }
    for (const each of chain) this.#join(each, awaited);
  }

  #change(position: Position, event: UnsettledEvent | undefined): void {
    this.#changed ??= new Map();
    this.#changed.set(position, event);
  }
}

function first<T>(items: Iterable<T>): T | undefined {
  for (const item of items) return item;
  return undefined;
}

function insert<K, T>(sets: Map<K, Set<T>>, key: K, item: T): void {
  const set = sets.get(key);
  if (set === undefined) sets.set(key, new Set([item]));
  else set.add(item);
}

function remove<K, T>(sets: Map<K, Set<T>>, key: K, item: T): void {
  const set = sets.get(key);
  set?.delete(item);
  if (set?.size === 0) sets.delete(key);
}
